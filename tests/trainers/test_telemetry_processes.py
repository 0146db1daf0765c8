"""Telemetry of sharded parameters: two processes measure what one does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from tests.trainers.processes import FIRST, KINDS, STEPS, Run, always, group, make_model, put

import nshtrainer
from nshtrainer.optimizer.torch_optim import portable_muon as muon

pytestmark = pytest.mark.slow


def measure(run: Run) -> dict[str, float]:
    telemetry = nshtrainer.watch_telemetry(run.optimizer, every=STEPS)
    run.train(FIRST)
    return telemetry.latest


def work(rank: int, world: int, folder: Path, config: str) -> None:
    with group(folder, rank, world):
        for kind, make in KINDS.items():
            put(folder / f"{kind}.pt", measure(Run.of(make(), config)))


@pytest.mark.parametrize("config", ["grouped", "routed"])
def test_shards_are_added_up(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "bfloat16_is_emulated", always)  # as in the processes
    mp.spawn(work, (2, tmp_path, config), nprocs=2)
    expected = measure(Run.of(make_model(), config))
    for kind in KINDS:
        found = torch.load(tmp_path / f"{kind}.pt", weights_only=True)
        assert found == pytest.approx(expected, rel=1e-3)
