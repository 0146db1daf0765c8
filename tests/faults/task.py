"""What the faults happen to: two groups, three schedules, and a record of what is used."""

from __future__ import annotations

import json
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from nshtrainer import Config, LightningModuleBase
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig, SchedulesConfig

EPOCHS, BATCHES = 3, 6
STEPS = EPOCHS * BATCHES
WIDTH = 1500
"""Makes a checkpoint larger than everything else that a run writes."""

SCHEDULES = SchedulesConfig.model_validate(
    {
        "default": {
            "lr": {
                "name": "linear_warmup_cosine_decay",
                "warmup_duration": "20%",
                "max_duration": "100%",
            },
            "weight_decay": {"follows": "lr"},
            "betas.0": {"name": "linear", "min_factor": 0.9},
        }
    }
)


class TaskConfig(Config):
    optimizer: OptimizerConfig = AdamWConfig(lr=0.01, weight_decay=0.1, no_decay="bias_and_norm")
    lr_scheduler: LRSchedulerConfig = SCHEDULES


class Task(LightningModuleBase[TaskConfig]):
    """A line through noise; each update says what it used."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.net = nn.Sequential(nn.Linear(3, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))

    def training_step(self, batch: list[Tensor]) -> Tensor:
        happen("train", self.global_step)
        return self.net(batch[0]).square().mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/steps", float(self.global_step))  # the newest is always the best
        if not self.trainer.sanity_checking:
            happen("validate", self.global_step)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        happen("update", self.global_step)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        groups = [
            {key: value for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ]
        line = json.dumps({"step": self.global_step, "groups": groups})
        with Path("used.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


class Batches(LightningDataModule):
    """Noise, by one of the loaders."""

    def __init__(self, loader: str = "stateful, shuffled") -> None:
        super().__init__()
        self.loader = loader

    def train_dataloader(self) -> Any:
        noise = torch.randn(2 * BATCHES, 3, generator=torch.Generator().manual_seed(0))
        return LOADERS[self.loader](TensorDataset(noise))

    def val_dataloader(self) -> Any:
        return DataLoader(torch.ones(1, 3))


def _by_epoch(data: TensorDataset) -> DistributedSampler[Any]:
    """An order that is drawn from a seed and the number of the epoch."""
    return DistributedSampler(data, num_replicas=1, rank=0, shuffle=True, seed=0)


LOADERS: dict[str, Any] = {
    "plain": lambda data: DataLoader(data, 2),
    "plain, shuffled": lambda data: DataLoader(data, 2, shuffle=True),
    "plain, shuffled by epoch": lambda data: DataLoader(data, 2, sampler=_by_epoch(data)),
    "stateful": lambda data: StatefulDataLoader(data, 2),
    "stateful, shuffled": lambda data: StatefulDataLoader(data, 2, shuffle=True),
    "stateful, shuffled by epoch": lambda data: StatefulDataLoader(
        data, 2, sampler=_by_epoch(data)
    ),
}


# -- faults ------------------------------------------------------------------------------------


def happen(where: str, step: int) -> None:
    """Let happen what the environment asks for: `FAULT="SIGUSR1 train 8;SIGKILL train 9"`."""
    for fault in os.environ.get("FAULT", "- - -1").split(";"):
        what, wanted, at = fault.split()
        if (where, step) == (wanted, int(at)):
            FAULTS[what]()


def _signal(number: int) -> Any:
    return lambda: os.kill(os.getpid(), number)


def _raise() -> None:
    raise ZeroDivisionError("a fault of the user's code")


def _limit() -> None:
    """No file may be longer than this from here on."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))


def _fill() -> None:
    """Somebody fills the disk, but for a little."""
    with Path("disk/full").open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(4096))
        file.truncate(file.tell() - 50_000)


def _kill_while_saving() -> None:
    """The next checkpoint is half written when the process is killed."""
    sync = os.fsync

    def kill(file: int) -> None:
        if ".ckpt" in str(Path(f"/proc/self/fd/{file}").readlink()):
            os.ftruncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        sync(file)

    os.fsync = kill


FAULTS: dict[str, Any] = {
    **{name: _signal(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGKILL")},
    "SIGUSR1": _signal(signal.SIGUSR1),
    "exception": _raise,
    "fill": _fill,
    "limit": _limit,
    "kill-while-saving": _kill_while_saving,
}
