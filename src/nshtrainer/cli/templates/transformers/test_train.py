"""Tests: pytest."""

from __future__ import annotations

from pathlib import Path

from train import read_config, train


def test_the_loss_falls(tmp_path: Path) -> None:
    losses = train(read_config(["num_epochs=2"]), str(tmp_path))
    assert losses[-1] < losses[0]
