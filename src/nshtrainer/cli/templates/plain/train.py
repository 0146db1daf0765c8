"""Train a classifier: python train.py [key=value ...]."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

import nshtrainer
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig


class TrainConfig(nshtrainer.Config):
    """The keys of run.yaml."""

    hidden_size: int = 64
    """Units of each hidden layer."""

    num_points: int = 4000
    """Points to train on."""

    batch_size: int = 64
    """Points in a batch."""

    num_epochs: int = 10
    """Passes over the data."""

    seed: int = 1
    """Seed of the initial weights and of the order of the data."""

    optimizer: OptimizerConfig
    """The optimizer."""

    lr_scheduler: LRSchedulerConfig
    """The schedule of the learning rate."""


def read_config(overrides: Sequence[str] = ()) -> TrainConfig:
    """Read run.yaml, with overrides such as `optimizer.lr=3e-3`."""
    return TrainConfig.from_file(Path(__file__).with_name("run.yaml"), overrides=overrides)


def make_data(config: TrainConfig) -> DataLoader[tuple[Tensor, ...]]:
    """Return batches of points, and whether they lie in a circle."""
    points = torch.rand(config.num_points, 2) * 2 - 1
    labels = (points.norm(dim=1, keepdim=True) < 0.8).float()
    return DataLoader(TensorDataset(points, labels), batch_size=config.batch_size, shuffle=True)


def make_model(config: TrainConfig) -> nn.Module:
    """Return a small network."""
    size = config.hidden_size
    return nn.Sequential(
        nn.Linear(2, size),
        nn.GELU(),
        nn.Linear(size, size),
        nn.GELU(),
        nn.Linear(size, 1),
    )


def train(config: TrainConfig) -> list[float]:
    """Train a model, and return the mean loss of each epoch."""
    torch.manual_seed(config.seed)
    data, model = make_data(config), make_model(config)
    run = nshtrainer.RunLength(total_steps=config.num_epochs * len(data), steps_per_epoch=len(data))
    optimizer, scheduler = nshtrainer.create(config.optimizer, config.lr_scheduler, model, run)
    losses: list[float] = []
    for epoch in range(config.num_epochs):
        total = 0.0
        for inputs, labels in data:
            optimizer.zero_grad()
            loss = binary_cross_entropy_with_logits(model(inputs), labels)
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item() / len(data)
        losses.append(total)
        print(f"epoch {epoch + 1}: loss {total:.4f}")
    return losses


if __name__ == "__main__":
    train(read_config(sys.argv[1:]))
