"""Unfreezing in two processes, whose gradients DDP has to exchange afterwards as well."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from tests.trainers.unfreezing_processes import CALLBACKS, Net, fitted, work


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled, unavailable or uninitialized")
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    mp.spawn(work, (tmp_path,), nprocs=2)
    start = Net().state_dict()
    for callback in CALLBACKS:
        two = torch.load(tmp_path / f"{callback}.pt", weights_only=True)
        for name, value in fitted(callback, 1).items():
            torch.testing.assert_close(two[name], value)
            assert not torch.equal(value, start[name])
    assert "use strategy ddp" in torch.load(tmp_path / "sharded.pt", weights_only=True)
