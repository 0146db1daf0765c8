"""Modules, data and trainers that the tests of this folder share: tiny, quiet, on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from tests.models import Transformer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

import nshtrainer
from nshtrainer import Config, LightningModuleBase
from nshtrainer.configs import LRSchedulerConfig, MetricConfig, OptimizerConfig, SGDConfig

QUIET = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}

BOTH_TRAINERS = (pl.Trainer, nshtrainer.Trainer)

MID_EPOCH = "ignore:You're resuming from a checkpoint that ended before the epoch ended"
"""Batches are seen again, which no test here looks at."""

NO_SAVER = "ignore:Be aware that when using `ckpt_path`, callbacks used to create the checkpoint"
"""A resumed run need not save again."""


def trainer(make: Any = nshtrainer.Trainer, **options: Any) -> Any:
    callbacks = options.get("callbacks", [])
    saves = any(isinstance(callback, pl.callbacks.Checkpoint) for callback in callbacks)
    return make(**{**QUIET, "enable_checkpointing": saves, **options})


class TinyConfig(Config):
    optimizer: OptimizerConfig = SGDConfig(lr=0.1)
    lr_scheduler: LRSchedulerConfig | None = None
    primary_metric: MetricConfig | None = None


class Tiny(LightningModuleBase[TinyConfig]):
    def __init__(self, hparams: Any = None) -> None:
        super().__init__(hparams if hparams is not None else {})
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: Tensor) -> Tensor:
        return self.layer(batch).square().mean()


class Deep(LightningModuleBase[TinyConfig]):
    """A transformer of two blocks, in ours."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.net = Transformer(depth=2)

    def training_step(self, batch: Tensor) -> Tensor:
        return self.net.loss()


class Plain(pl.LightningModule):
    """A module that is not ours."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: Tensor) -> Tensor:
        return self.layer(batch).square().mean()


class Rates(pl.Callback):
    """The learning rate of every update, by its index."""

    def __init__(self, group: int = 0) -> None:
        self.group = group
        self.seen: dict[int, float] = {}

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.seen[trainer.global_step] = float(optimizer.param_groups[self.group]["lr"])


class Rows(Dataset[Tensor]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        if index >= self.count:
            raise IndexError
        return torch.tensor([index / self.count, 1.0])


class Stream(IterableDataset[Tensor]):
    """Rows without a length."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.ones(self.count, 2))


class SizedStream(Stream):
    def __len__(self) -> int:
        return self.count


def data(batches: int = 10, kind: Any = Rows) -> DataLoader[Tensor]:
    return DataLoader(kind(2 * batches), batch_size=2)
