"""A classifier of handwritten digits: what it is and what it learns from.

The optimizer and the schedule are in digits.yaml. From the root of the repository:

    nshtrainer fit examples/digits/train.py --config examples/digits/digits.yaml

The data comes with scikit-learn: 1797 grey images of 8x8 pixels, so nothing is downloaded.
"""

from __future__ import annotations

import torch
from lightning.pytorch import LightningDataModule
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split

import nshtrainer
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig

# More threads make so small a model no faster, and much slower on a machine that is busy.
torch.set_num_threads(1)


class DigitsConfig(nshtrainer.Config):
    """The `model` part of digits.yaml."""

    channels: int = 32
    """Channels of the first convolution; the second has twice as many."""

    dropout: float = 0.2
    """Share of the features that are dropped in training, in [0, 1)."""

    optimizer: OptimizerConfig = AdamWConfig(lr=1e-3)
    """The optimizer."""

    lr_scheduler: LRSchedulerConfig | None = None
    """Schedule of the learning rate; constant if None."""


class Digits(nshtrainer.LightningModuleBase[DigitsConfig]):
    """Two convolutions and a linear layer. The base builds the optimizer and the schedule."""

    def __init__(self, hparams: DigitsConfig) -> None:
        super().__init__(hparams)
        channels = self.hparams.channels
        self.net = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(self.hparams.dropout),
            nn.Linear(8 * channels, 10),
        )

    def training_step(self, batch: list[Tensor]) -> Tensor:
        images, labels = batch
        loss = cross_entropy(self.net(images), labels)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[Tensor]) -> None:
        images, labels = batch
        scores = self.net(images)
        self.log("val/loss", cross_entropy(scores, labels))
        accuracy = (scores.argmax(dim=1) == labels).float().mean()
        self.log("val/accuracy", accuracy, prog_bar=True)


class DigitsData(LightningDataModule):
    """The `data` part of digits.yaml: its keys are these arguments."""

    def __init__(self, batch_size: int = 64, val_share: float = 0.25, split_seed: int = 0) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.val_share = val_share
        self.split_seed = split_seed

    def setup(self, stage: str) -> None:
        assert stage in {"fit", "validate"}, "there is nothing set aside to test with"
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
        data = TensorDataset(images, torch.tensor(digits.target))
        num_val = round(len(data) * self.val_share)
        generator = torch.Generator().manual_seed(self.split_seed)
        self.train, self.val = random_split(data, [len(data) - num_val, num_val], generator)

    def train_dataloader(self) -> DataLoader[list[Tensor]]:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[list[Tensor]]:
        return DataLoader(self.val, 512)
