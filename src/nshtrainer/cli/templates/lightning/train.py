"""Train a classifier: nshtrainer fit train.py --config run.yaml."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset, random_split

import nshtrainer
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig


class ModelConfig(nshtrainer.Config):
    """Hyperparameters: the section `model` of run.yaml."""

    hidden_size: int = 64
    """Units of each hidden layer."""

    optimizer: OptimizerConfig
    """The optimizer."""

    lr_scheduler: LRSchedulerConfig
    """The schedule of the learning rate."""


class Model(nshtrainer.LightningModuleBase[ModelConfig]):
    """A small network. The base class builds the optimizer and the schedule."""

    def __init__(self, hparams: ModelConfig) -> None:
        super().__init__(hparams)
        size = self.hparams.hidden_size
        self.net = nn.Sequential(
            nn.Linear(2, size),
            nn.GELU(),
            nn.Linear(size, size),
            nn.GELU(),
            nn.Linear(size, 1),
        )

    def training_step(self, batch: list[Tensor]) -> Tensor:
        """Return the loss of a batch."""
        inputs, labels = batch
        loss = binary_cross_entropy_with_logits(self.net(inputs), labels)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[Tensor]) -> None:
        """Log the loss and the accuracy of a batch."""
        inputs, labels = batch
        scores = self.net(inputs)
        self.log("val/loss", binary_cross_entropy_with_logits(scores, labels))
        accuracy = ((scores > 0) == (labels > 0.5)).float().mean()
        self.log("val/accuracy", accuracy, prog_bar=True)


class Data(LightningDataModule):
    """Points, and whether they lie in a circle. The arguments are the section `data`."""

    def __init__(self, num_points: int = 4000, batch_size: int = 64) -> None:
        super().__init__()
        self.num_points = num_points
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        """Draw the points."""
        generator = torch.Generator().manual_seed(0)
        points = torch.rand(self.num_points, 2, generator=generator) * 2 - 1
        labels = (points.norm(dim=1, keepdim=True) < 0.8).float()
        data = TensorDataset(points, labels)
        self.train, self.val = random_split(data, [0.8, 0.2], generator)

    def train_dataloader(self) -> DataLoader[list[Tensor]]:
        """Return the batches to train on."""
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[list[Tensor]]:
        """Return the batches to validate on."""
        return DataLoader(self.val, batch_size=512)
