"""A run limited by time in two processes: both use the rates of the first one's clock."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from tests.trainers.processes import group

from nshtrainer import RunLength
from nshtrainer.configs import LinearScheduleConfig


def worker(rank: int, folder: str) -> None:
    with group(Path(folder), rank, 2):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        config = LinearScheduleConfig()
        scheduler = config.create_scheduler(optimizer, RunLength(total_time=60))["scheduler"]
        time.sleep(0.2 * rank)  # the second one's own clock begins late
        rates = []
        for _ in range(5):
            optimizer.step()
            time.sleep(0.05)
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
        torch.save((rates, scheduler.state_dict()["last_epoch"]), f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_two_processes_use_the_same_rates(tmp_path: Path):
    torch.multiprocessing.spawn(worker, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first == second
    rates, position = first
    assert 1.0 > rates[0] > rates[-1] > 0.5
    assert position > 0
