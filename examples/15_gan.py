"""Manual optimization: the two players of a GAN, each with an optimizer and a schedule of its own.

Prints:

    real and generated points near the circle: 100 % and 0 % before, more than 60 % after: True
    eighths of the circle that are covered: 8
    rates: lr-generator 0.002 -> 0.0002, lr-discriminator 0.004 -> 0.0004
    resumed in the middle, the weights are the same bit by bit: True
"""

from __future__ import annotations

import logging
import math
import warnings
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import nshtrainer
from nshtrainer.configs import AdamConfig, CosineScheduleConfig, LRSchedulerConfig, OptimizerConfig


class PlayerConfig(nshtrainer.Config):
    optimizer: OptimizerConfig = AdamConfig(lr=0.002, betas=(0.5, 0.99))
    lr_scheduler: LRSchedulerConfig = CosineScheduleConfig(max_duration="6 epochs", min_factor=0.1)


class GANConfig(nshtrainer.Config):
    generator: PlayerConfig = PlayerConfig()
    discriminator: PlayerConfig = PlayerConfig(optimizer=AdamConfig(lr=0.004, betas=(0.5, 0.99)))


def network(outputs: int) -> nn.Sequential:
    hidden = (nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    return nn.Sequential(*hidden, nn.Linear(64, outputs))


class GAN(nshtrainer.LightningModuleBase[GANConfig]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.automatic_optimization = False
        self.generator, self.discriminator = network(2), network(1)

    def configure_optimizers(self) -> Any:
        return [self.player("generator"), self.player("discriminator")]

    def player(self, name: str) -> Any:
        config: PlayerConfig = getattr(self.hparams, name)
        optimizer = config.optimizer.create_optimizer(getattr(self, name))
        scheduler = config.lr_scheduler.create_scheduler(optimizer, self)
        # The name is what LearningRateMonitor calls the rate; without it both were `lr-Adam`.
        return {"optimizer": optimizer, "lr_scheduler": {**scheduler, "name": f"lr-{name}"}}

    def training_step(self, batch: Any) -> None:
        real, noise = batch
        generator, discriminator = self.optimizers()
        fake = self.generator(noise).detach()
        self.update(discriminator, lambda: self.judged(real, 1) + self.judged(fake, 0))
        self.update(generator, lambda: self.judged(self.generator(noise), 1))
        for scheduler in self.lr_schedulers():
            scheduler.step()

    def update(self, optimizer: Any, loss: Any) -> None:
        self.toggle_optimizer(optimizer)  # the other player gets no gradients meanwhile
        optimizer.zero_grad()
        self.manual_backward(loss())
        optimizer.step()
        self.untoggle_optimizer(optimizer)

    def judged(self, points: Tensor, label: int) -> Tensor:
        logits = self.discriminator(points)
        labels = torch.full_like(logits, label)
        return nn.functional.binary_cross_entropy_with_logits(logits, labels)


class Rates(Callback):
    """The learning rate of each optimizer, at the first and at the last update."""

    def __init__(self) -> None:
        self.seen: dict[str, list[float]] = {}

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        for config in trainer.lr_scheduler_configs:
            self.seen.setdefault(config.name, []).append(config.scheduler.get_last_lr()[0])

    on_train_end = on_train_batch_start


def train(model: GAN, folder: str, ckpt_path: str | None = None, *callbacks: Any) -> GAN:
    trainer = pl.Trainer(
        max_epochs=6,
        accelerator="cpu",
        logger=False,
        callbacks=[ModelCheckpoint(folder, "{epoch}", every_n_epochs=3, save_top_k=-1), *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = DataLoader(TensorDataset(circle, noise), batch_size=128)
    trainer.fit(model, data, ckpt_path=ckpt_path)
    return model


def near(points: Tensor) -> Tensor:
    return (points.norm(dim=1) - 1).abs() < 0.2


logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", "The 'train_dataloader' does not have many workers")
warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")

torch.manual_seed(0)
angles = 2 * math.pi * torch.rand(128 * 30)
circle = torch.stack([angles.cos(), angles.sin()], 1) + 0.05 * torch.randn(len(angles), 2)
noise, unseen = torch.randn(len(angles), 2), torch.randn(2000, 2)

model = GAN(GANConfig())
before = near(model.generator(unseen)).float().mean()
rates = Rates()
with TemporaryDirectory() as folder:
    train(model, folder, None, rates)
    again = train(GAN(GANConfig()), folder, f"{folder}/epoch=2.ckpt")

points = model.generator(unseen)
after = near(points).float().mean()
real = near(circle).float().mean()
shares = f"{100 * real:.0f} % and {100 * before:.0f} % before"
print(f"real and generated points near the circle: {shares}, more than 60 % after: {after > 0.6}")
covered = torch.atan2(*points[near(points)].T).div(math.pi / 4).floor().unique()
print(f"eighths of the circle that are covered: {len(covered)}")
ends = [f"{name} {seen[0]:g} -> {seen[-1]:g}" for name, seen in rates.seen.items()]
print(f"rates: {', '.join(ends)}")
same = all(map(torch.equal, model.state_dict().values(), again.state_dict().values()))
print(f"resumed in the middle, the weights are the same bit by bit: {same}")
