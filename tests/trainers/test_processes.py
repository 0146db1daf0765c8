"""Groups, and several optimizers as one, in two processes: DDP, FSDP2, and checkpoints of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from tests.models import settings
from tests.trainers.processes import (
    CONFIGS,
    FIRST,
    KINDS,
    SECOND,
    Run,
    always,
    make_model,
    values,
    work,
)
from torch import Tensor

from nshtrainer.optimizer.torch_optim import portable_muon as muon
from nshtrainer.optimizer_record import parts_of

pytestmark = [
    pytest.mark.slow,
    # torch 2.13 says so itself when one process saves or loads alone.
    pytest.mark.filterwarnings(
        "ignore:torch.distributed is disabled, unavailable or uninitialized"
    ),
]

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
"""Sums over two processes are rounded otherwise."""


def trained(folder: Path, *steps: range) -> dict[str, Tensor]:
    run = Run.of(make_model(), folder.name)
    for some in steps:
        run.train(some)
    return values(run.model)


@pytest.fixture(scope="module", autouse=True)
def _in_float32() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(muon, "bfloat16_is_emulated", always)
        yield


@pytest.fixture(scope="module", params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes") / request.param
    Run.of(make_model(), request.param).train(FIRST).save(folder / "by_one")
    mp.spawn(work, (2, folder, request.param), nprocs=2)
    return folder


def result(folder: Path, name: str) -> Any:
    return torch.load(folder / f"{name}.pt", weights_only=True)


def assert_close(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_what_one_trains(kind: str, folder: Path) -> None:
    assert_close(result(folder, kind), trained(folder, FIRST))
    assert_close(result(folder, f"{kind}_longer"), trained(folder, FIRST, SECOND))


@pytest.mark.parametrize("kind", KINDS)
def test_their_groups_are_those_of_one_process(kind: str, folder: Path) -> None:
    optimizer = Run.of(make_model(), folder.name).train(FIRST).optimizer
    assert result(folder, f"{kind}_groups") == settings(optimizer, "lr", "weight_decay")


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_equals_the_uninterrupted_one(kind: str, folder: Path) -> None:
    one, other = result(folder, f"{kind}_from_{kind}"), result(folder, f"{kind}_longer")
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize("kind", KINDS)
def test_what_one_process_saved_two_go_on_with(kind: str, folder: Path) -> None:
    assert_close(result(folder, f"{kind}_from_one"), trained(folder, FIRST, SECOND))


@pytest.mark.parametrize("kind", KINDS)
def test_what_two_processes_saved_one_goes_on_with(kind: str, folder: Path) -> None:
    run = Run.of(make_model(), folder.name).load(folder / f"by_{kind}")
    shared = [group for part in parts_of(run.optimizer) for group in part.param_groups]
    groups = run.optimizer.param_groups
    assert all(ours is theirs for ours, theirs in zip(groups, shared, strict=True))
    assert_close(values(run.train(SECOND).model), result(folder, f"{kind}_longer"))
