"""Under Lightning: the module's hyperparameters are a config, and it builds what they describe.

Prints:

    AdamW, 20 steps
    LinearWarmupCosine(warmup=2, total=20, start=0.0, end=0.0, restarts=False)
    self.hparams is a MyConfig, also after load_from_checkpoint: True
"""

from __future__ import annotations

import logging
import warnings
from tempfile import TemporaryDirectory

import torch
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer.configs import (
    AdamWConfig,
    EpochsConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfig,
    OptimizerConfig,
)


class MyConfig(nshtrainer.Config):
    width: int = 8
    optimizer: OptimizerConfig = AdamWConfig(lr=0.05)
    lr_scheduler: LRSchedulerConfig = LinearWarmupCosineDecayLRSchedulerConfig(
        warmup_duration=EpochsConfig(value=0.2), max_duration="2 epochs"
    )


class MyModel(nshtrainer.LightningModuleBase[MyConfig]):
    """The base writes `configure_optimizers`. One of your own could be:

    optimizer = self.hparams.optimizer.create_optimizer(self.parameters())
    scheduler = self.hparams.lr_scheduler.create_scheduler(optimizer, self)
    return {"optimizer": optimizer, "lr_scheduler": scheduler}
    """

    def __init__(self, hparams: MyConfig) -> None:
        super().__init__(hparams)
        self.layer = torch.nn.Linear(self.hparams.width, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).square().mean()


logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", "The 'train_dataloader' does not have many workers")

trainer = nshtrainer.Trainer(
    {"max_epochs": 2, "accelerator": "cpu", "logger": False, "enable_checkpointing": False},
    enable_progress_bar=False,
    enable_model_summary=False,
)
model = MyModel(MyConfig())
trainer.fit(model, DataLoader(torch.randn(10, 8)))

optimizer = type(trainer.optimizers[0]).__name__
print(f"{optimizer}, {trainer.global_step} steps")
print(trainer.lr_scheduler_configs[0].scheduler.state_dict()["curve"])

with TemporaryDirectory() as folder:
    trainer.save_checkpoint(f"{folder}/model.ckpt")
    loaded = MyModel.load_from_checkpoint(f"{folder}/model.ckpt")
same = isinstance(model.hparams, MyConfig) and loaded.hparams == model.hparams
print(f"self.hparams is a MyConfig, also after load_from_checkpoint: {same}")
