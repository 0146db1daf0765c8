"""Several optimizers as one in two processes: DDP, FSDP2, and checkpoints of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from tests.trainers.processes import (
    CONFIG,
    STEPS,
    load,
    make_model,
    save,
    train,
    values,
    work,
)
from torch import nn

pytestmark = [
    pytest.mark.slow,
    # torch 2.13 says so itself when one process saves or loads alone.
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled, unavailable or uninitialized"),
]

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""Sums over two processes are rounded otherwise; Muon's iterations in bfloat16 magnify it."""


def trained(steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = make_model()
    optimizer = CONFIG.create_optimizer(model)
    train(model, optimizer, range(steps))
    return model, optimizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("processes")
    save(*trained(STEPS), folder / "by_one")
    mp.spawn(work, (2, folder), nprocs=2)
    yield folder


def result(folder: Path, name: str) -> Any:
    return torch.load(folder / f"{name}.pt", weights_only=True)


def assert_close(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **CLOSE)


def test_under_ddp_it_does_what_one_process_does(folder: Path) -> None:
    assert_close(result(folder, "ddp"), values(trained(STEPS)[0]))


def test_under_fsdp2_it_does_what_one_process_does(folder: Path) -> None:
    assert_close(result(folder, "fsdp"), values(trained(STEPS)[0]))
    assert_close(result(folder, "fsdp_longer"), values(trained(2 * STEPS)[0]))


def test_a_run_resumed_under_fsdp2_equals_the_uninterrupted_one(folder: Path) -> None:
    one, other = result(folder, "by_two_resumed"), result(folder, "fsdp_longer")
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_what_one_process_saved_two_go_on_with(folder: Path) -> None:
    assert_close(result(folder, "by_one_resumed"), values(trained(2 * STEPS)[0]))


def test_what_two_processes_saved_one_goes_on_with(folder: Path) -> None:
    model = make_model()
    optimizer = CONFIG.create_optimizer(model)
    load(model, optimizer, folder / "by_two")
    parts = optimizer.routes.values()
    shared = [group for part in parts for group in part.param_groups]
    assert all(ours is theirs for ours, theirs in zip(optimizer.param_groups, shared, strict=True))
    train(model, optimizer, range(STEPS, 2 * STEPS))
    assert_close(values(model), result(folder, "fsdp_longer"))
