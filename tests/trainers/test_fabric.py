"""`nshtrainer.create` under Fabric: one process, and two with DDP and FSDP2."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from tests.trainers.fabric_processes import Loop, make_fabric, save_and_resume, work
from tests.trainers.processes import CONFIGS, SECOND, always, by_itself

from nshtrainer.optimizer.torch_optim import portable_muon as muon

pytestmark = pytest.mark.filterwarnings(
    # torch 2.13 says so itself when one process saves or loads alone.
    "ignore:torch.distributed is disabled, unavailable or uninitialized"
)
EXAMPLE = Path(__file__).parents[2] / "examples" / "16_fabric.py"
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""Sums over two processes are rounded otherwise."""

every_kind = pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
every_config = pytest.mark.parametrize("config", CONFIGS)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What one process saved of each, in the precision that others have too."""
    folder = tmp_path_factory.mktemp("fabric")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(muon, "bfloat16_is_emulated", always)
        found = {name: save_and_resume(folder, "ddp", name, 1) for name in CONFIGS}
        torch.save(found, folder / "alone.pt")
        yield folder


@pytest.fixture(scope="module")
def results(alone: Path) -> dict[str, Any]:
    with by_itself():
        for config in CONFIGS:
            save_and_resume(alone, "fsdp2", config, 1)
    mp.spawn(work, (alone,), nprocs=2)
    both = [torch.load(alone / name, weights_only=True) for name in ("results.pt", "alone.pt")]
    return {**both[0], "alone": both[1]}


def same(one: Any, other: Any) -> bool:
    pairs = zip(one["values"].values(), other["values"].values(), strict=True)
    return one["groups"] == other["groups"] and all(torch.equal(*pair) for pair in pairs)


@every_config
def test_a_resumed_loop_equals_the_uninterrupted_one(config: str, alone: Path) -> None:
    found = torch.load(alone / "alone.pt", weights_only=True)[config]
    assert same(found["from_1"], found["uninterrupted"])
    names = [name for group in found["uninterrupted"]["names"] for name in group]
    assert sorted(names) == sorted(found["uninterrupted"]["values"])


@pytest.mark.slow
@every_kind
@every_config
def test_two_processes_train_what_one_trains(kind: str, config: str, results: Any) -> None:
    two, one = results[f"{kind}_{config}"]["uninterrupted"], results["alone"][config]
    one = one["uninterrupted"]
    assert (two["groups"], two["names"]) == (one["groups"], one["names"])
    torch.testing.assert_close(two["values"], one["values"], **CLOSE)


@pytest.mark.slow
@every_kind
@every_config
def test_two_processes_go_on_from_what_one_or_two_saved(
    kind: str, config: str, results: Any
) -> None:
    found = results[f"{kind}_{config}"]
    assert same(found["from_2"], found["uninterrupted"])
    torch.testing.assert_close(found["from_1"]["values"], found["uninterrupted"]["values"], **CLOSE)


@pytest.mark.slow
@every_kind
@every_config
def test_one_process_goes_on_from_what_two_saved(
    kind: str, config: str, alone: Path, results: Any
) -> None:
    with by_itself():
        loop = Loop(make_fabric(kind, 1), config)
        found = loop.load(alone / f"by_2_{kind}_{config}").train(SECOND).found
    expected = results[f"{kind}_{config}"]["uninterrupted"]
    torch.testing.assert_close(found["values"], expected["values"], **CLOSE)


@pytest.mark.slow
def test_an_optimizer_older_than_its_shards_is_refused(results: Any) -> None:
    assert "no longer in" in results["early"]


@pytest.mark.slow
def test_the_example_says_in_two_processes_what_it_says_in_one(tmp_path: Path) -> None:
    code = EXAMPLE.read_text(encoding="utf-8")
    assert "devices=1)" in code
    script = tmp_path / EXAMPLE.name
    script.write_text(code.replace("devices=1)", 'devices=2, strategy="ddp")'), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, done.stderr
    promised = textwrap.dedent(code.partition("Prints:\n\n")[2].partition('"""')[0])
    assert done.stdout.strip() == promised.strip()
