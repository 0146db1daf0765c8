"""Tests: pytest."""

from __future__ import annotations

from train import read_config, train


def test_the_loss_falls() -> None:
    losses = train(read_config(["num_epochs=3", "num_points=1000"]))
    assert losses[-1] < losses[0]
