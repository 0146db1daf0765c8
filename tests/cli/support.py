"""A run that is over in a moment, and ways to start it."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nshtrainer.cli import main

MID_EPOCH = "ignore:You're resuming from a checkpoint that ended before the epoch:UserWarning"
"""Lightning's advice to use a data loader that can go on in the middle of an epoch."""

TRAIN = '''
import os
import signal

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig


def stop(phase, step):
    """Send the signal that the environment asks for: `STOP="SIGINT train 7"`."""
    number, wanted, at = os.environ.get("STOP", "- - -1").split()
    if (phase, step) == (wanted, int(at)):
        os.kill(os.getpid(), getattr(signal, number))


class LineConfig(nshtrainer.Config):
    """A line."""

    width: int = 2
    """Inputs."""

    optimizer: OptimizerConfig = AdamWConfig()
    lr_scheduler: LRSchedulerConfig | None = None


class Line(nshtrainer.LightningModuleBase[LineConfig]):
    def __init__(self, hparams):
        super().__init__(hparams)
        self.layer = torch.nn.Linear(self.hparams.width, 1)

    def training_step(self, batch):
        self.log("rate", self.optimizers().param_groups[0]["lr"])
        stop("train", self.global_step)
        return self.layer(batch).square().mean()

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.layer(batch).square().mean(), sync_dist=True)
        if batch_idx == 0 and not self.trainer.sanity_checking:
            stop("validate", self.global_step)


class Noise(LightningDataModule):
    def __init__(self, num_batches: int = 4, collate=print) -> None:
        super().__init__()
        self.num_batches = num_batches

    def train_dataloader(self):
        noise = torch.randn(self.num_batches, 2, generator=torch.Generator().manual_seed(0))
        return DataLoader(noise)

    def val_dataloader(self):
        return DataLoader(torch.ones(2, 2))
'''

RUN = """\
# A run of 12 steps.
model:
  optimizer: {name: adamw, lr: 0.1}
  lr_scheduler:
    name: linear_warmup_cosine_decay
    warmup_duration: 2 steps
    max_duration: 100%

data: {num_batches: 4}

trainer:
  accelerator: cpu
  max_epochs: 3
  log_every_n_steps: 1
  primary_metric: {monitor: val/loss, mode: min}
  seed: 0
"""


def enter(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write `train.py` and `run.yaml` into a folder, and make it the current one."""
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    (folder / "run.yaml").write_text(RUN, encoding="utf-8")
    patch.chdir(folder)
    patch.setattr(sys, "path", list(sys.path))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with `train.py` and `run.yaml`, as the current one."""
    return enter(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The rates of a run that nobody interrupts, trained once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = enter(tmp_path_factory.mktemp("whole"), patch)
        assert main(["fit", "train.py", "--config", "run.yaml", "--out", "whole"]) == 0
        return rates(folder / "whole")


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a group of processes of its own, which a signal may stop."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", MID_EPOCH, "-m", "nshtrainer", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def command_in(output: str) -> list[str]:
    """The arguments of the command that an interrupted run says."""
    line = next(line for line in output.splitlines() if line.startswith("to resume: "))
    words = shlex.split(line.removeprefix("to resume: "))
    return words[words.index("fit") :]


def rates(folder: Path) -> dict[int, float]:
    """The learning rate of each step, as logged."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows if row["rate"]]
    assert len(steps) == len(set(steps))
    return {int(row["step"]): float(row["rate"]) for row in rows if row["rate"]}


def only_run(name: str = "run") -> Path:
    """The folder of the one run of a config."""
    (folder,) = Path("runs", name).iterdir()
    return folder


def is_command(line: str) -> bool:
    """Return True if a CI service would obey a line of a log."""
    return line.lstrip().startswith("::") or re.search(r"##\w*\[", line) is not None
