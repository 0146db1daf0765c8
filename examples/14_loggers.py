"""Loggers get the hyperparameters as plain data, and the rates under the names of the groups.

The file that Lightning writes beside the metrics makes the same config again.

Prints:

    columns: lr-AdamW/bias, lr-AdamW/default, step
    the first rates: default 0.01, bias 0.001
    hparams.yaml is the config that was trained: True
"""

from __future__ import annotations

import csv
import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig


class MyConfig(nshtrainer.Config):
    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig


class MyModel(nshtrainer.LightningModuleBase[MyConfig]):
    def __init__(self, hparams: MyConfig) -> None:
        super().__init__(hparams)
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).square().mean()


config = MyConfig.from_yaml("""
    optimizer:
        name: adamw
        lr: 0.01
        groups: [{name: bias, select: "*.bias", lr_mult: 0.1}]
    lr_scheduler: {name: cosine}
""")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", "The 'train_dataloader' does not have many workers")

with TemporaryDirectory() as folder:
    logger = CSVLogger(folder)
    trainer = nshtrainer.Trainer(
        {"max_epochs": 1, "accelerator": "cpu", "log_every_n_steps": 1},
        logger=logger,
        callbacks=[LearningRateMonitor("step")],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(MyModel(config), DataLoader(torch.randn(10, 4)))
    with Path(logger.log_dir, "metrics.csv").open() as file:
        row = next(csv.DictReader(file))
    again = MyConfig.from_file(Path(logger.log_dir, "hparams.yaml"))

print(f"columns: {', '.join(sorted(row))}")
rates = [f"{name} {float(row[f'lr-AdamW/{name}']):g}" for name in ("default", "bias")]
print(f"the first rates: {', '.join(rates)}")
print(f"hparams.yaml is the config that was trained: {again == config}")
