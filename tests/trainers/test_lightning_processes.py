"""Lightning in two processes, DDP and FSDP2: the weights, rates and averages of one process."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from tests.trainers.lightning_processes import (
    AVERAGES,
    Whole,
    first,
    fitted,
    saver,
    work,
)
from tests.trainers.processes import CONFIGS, always, by_itself
from tests.trainers.support import NO_SAVER

from nshtrainer.optimizer.torch_optim import portable_muon as muon

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        NO_SAVER,
        # torch 2.13 says so itself when one process saves or loads alone.
        "ignore:torch.distributed is disabled, unavailable or uninitialized",
    ),
]

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""Sums over two processes are rounded otherwise."""

FILES = [("ddp", ""), ("fsdp2", ""), ("fsdp2", "_file")]
every_kind = pytest.mark.parametrize(("kind", "file"), FILES)
every_config = pytest.mark.parametrize("config", CONFIGS)
every_average = pytest.mark.parametrize("average", AVERAGES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("lightning")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(muon, "bfloat16_is_emulated", always)
        for config, (kind, file) in product(CONFIGS, FILES):
            name = f"by_one_{kind}_{config}{file}"
            options: Any = {"callbacks": [saver(folder, name)], "as_folder": not file}
            with by_itself():
                torch.save(fitted(kind, config, 1, **options), folder / f"{name}.pt")
        mp.spawn(work, (folder,), nprocs=2)
        yield folder


def result(folder: Path, name: str) -> Any:
    return torch.load(folder / f"{name}.pt", weights_only=True)


def assert_same(one: Any, other: Any) -> None:
    assert one["rates"] == other["rates"]
    assert one["loss"] == other["loss"]
    assert all(torch.equal(one["values"][name], other["values"][name]) for name in other["values"])


def assert_close(one: Any, other: Any) -> None:
    assert one["rates"] == other["rates"]
    torch.testing.assert_close(one["values"], other["values"], **CLOSE)
    torch.testing.assert_close(one["loss"], other["loss"], **CLOSE)


def after_first_epoch(run: Any) -> Any:
    """The same without the rates that a run which goes on does not use again."""
    return {**run, "rates": {step: rate for step, rate in run["rates"].items() if step >= 4}}


@every_kind
@every_config
def test_two_processes_train_what_one_trains_at_the_same_rates(
    kind: str, file: str, config: str, folder: Path
) -> None:
    two = result(folder, f"{kind}_{config}{file}")
    # Four updates an epoch, as one process has them with batches of twice the size.
    assert list(two["rates"]) == list(range(8))
    assert_close(two, result(folder, f"by_one_{kind}_{config}{file}"))


@every_kind
@every_config
def test_a_resumed_run_equals_the_uninterrupted_one(
    kind: str, file: str, config: str, folder: Path
) -> None:
    resumed = result(folder, f"by_two_{kind}_{config}{file}_resumed")
    assert_same(resumed, after_first_epoch(result(folder, f"{kind}_{config}{file}")))


@every_kind
@every_config
def test_two_processes_go_on_from_the_checkpoint_of_one(
    kind: str, file: str, config: str, folder: Path
) -> None:
    resumed = result(folder, f"by_one_{kind}_{config}{file}_resumed")
    assert_close(resumed, after_first_epoch(result(folder, f"{kind}_{config}{file}")))


@every_kind
@every_config
def test_one_process_goes_on_from_the_checkpoint_of_two(
    kind: str, file: str, config: str, folder: Path
) -> None:
    path = first(folder, f"by_two_{kind}_{config}{file}")
    with by_itself():
        resumed = fitted(kind, config, 1, resume=path, as_folder=not file)
    assert_close(resumed, after_first_epoch(result(folder, f"{kind}_{config}{file}")))


@every_config
def test_a_run_without_shards_goes_on_from_a_file_of_one_with(config: str, folder: Path) -> None:
    path = first(folder, f"by_two_fsdp2_{config}_file")
    resumed = fitted("ddp", config, 1, resume=path)
    assert_close(resumed, after_first_epoch(result(folder, f"fsdp2_{config}_file")))


@every_average
def test_averages_of_two_processes_are_those_of_one(average: str, folder: Path) -> None:
    one = fitted("ddp", "grouped", 1, averaging=AVERAGES[average], cls=Whole)
    two = result(folder, average)
    assert_close(two, one)
    plain = result(folder, "ddp_grouped")["values"]
    assert not torch.allclose(two["values"]["net.embed.weight"], plain["net.embed.weight"])


@every_average
def test_a_resumed_run_ends_with_the_average_of_one_that_went_on(
    average: str, folder: Path
) -> None:
    assert_same(result(folder, f"{average}_resumed"), after_first_epoch(result(folder, average)))


def test_a_plateau_is_that_of_the_first_process_in_both(folder: Path) -> None:
    one, other = (result(folder, f"plateau_{rank}") for rank in (0, 1))
    assert one == other
    assert len(one) == 16
    assert len({*one.values()}) == 1  # the loss of the first one falls in every epoch


def test_processes_that_split_tensors_have_the_same_samples(folder: Path) -> None:
    assert result(folder, "samples") == [8, 4]


def test_an_average_of_shards_is_refused_before_the_first_step(folder: Path) -> None:
    assert "weight_averaging" in result(folder, "averaged")


def test_an_optimizer_older_than_its_shards_is_refused_before_the_first_step(
    folder: Path,
) -> None:
    assert "AdamW holds parameters no longer in Early" in result(folder, "early")
