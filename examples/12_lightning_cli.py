"""LightningCLI: the optimizer and the schedule from a file and from the command line.

In a program of yours the arguments are those of the command line, and `args` is left out:

    python train.py fit --config run.yaml --model.hparams.optimizer.name=sgd

Prints:

    the file: AdamW, lr 0.003, 20 steps
    the command line: SGD, lr 0.1, 20 steps
    saved for the next time: optimizer sgd, lr 0.1
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import yaml
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig

RUN = """\
seed_everything: 1
trainer:
  max_epochs: 2
  accelerator: cpu
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  enable_model_summary: false
model:
  hparams:
    optimizer: {name: adamw, lr: 3e-3, weight_decay: 0.05}
    lr_scheduler: {name: cosine, min_factor: 0.1}
"""


class MyConfig(nshtrainer.Config):
    width: int = 8
    optimizer: OptimizerConfig = AdamWConfig()
    lr_scheduler: LRSchedulerConfig | None = None


class MyModel(nshtrainer.LightningModuleBase[MyConfig]):
    def __init__(self, hparams: MyConfig) -> None:
        super().__init__(hparams)
        self.layer = torch.nn.Linear(hparams.width, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).square().mean()

    def train_dataloader(self) -> DataLoader[torch.Tensor]:
        return DataLoader(torch.randn(10, self.hparams.width))  # type: ignore[arg-type]


def described(cli: nshtrainer.LightningCLI) -> str:
    optimizer = type(cli.trainer.optimizers[0]).__name__
    rate = cli.model.hparams.optimizer.lr
    return f"{optimizer}, lr {rate}, {cli.trainer.global_step} steps"


logging.getLogger("lightning").setLevel(logging.ERROR)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended")
warnings.filterwarnings("ignore", "The 'train_dataloader' does not have many workers")
# Lightning 2.6 calls what jsonargparse 4.53 deprecates.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

with TemporaryDirectory() as folder:
    file = Path(folder, "run.yaml")
    file.write_text(RUN)
    fit = ["fit", f"--config={file}", f"--trainer.default_root_dir={folder}"]

    cli = nshtrainer.LightningCLI(MyModel, args=fit)
    print(f"the file: {described(cli)}")

    # Another optimizer starts from its own defaults: nothing of AdamW's stays.
    other = [f"--model.hparams.optimizer.{text}" for text in ("name=sgd", "lr=0.1")]
    overwrite = {"overwrite": True}
    cli = nshtrainer.LightningCLI(MyModel, args=[*fit, *other], save_config_kwargs=overwrite)
    print(f"the command line: {described(cli)}")

    saved = yaml.safe_load(Path(folder, "config.yaml").read_text())["model"]["hparams"]
    print("saved for the next time: optimizer {name}, lr {lr}".format(**saved["optimizer"]))
