"""What users write passes pyright and mypy in strict mode; nothing here is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR
from typing_extensions import assert_type

import nshtrainer
from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    CurveScheduleConfigBase,
    DurationConfig,
    EpochsConfig,
    FractionConfig,
    HyperparameterScheduleConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfig,
    LRSchedulerConfigBase,
    LRSchedulerEntry,
    LRSchedulerMetadata,
    MetricConfig,
    OptimizerConfig,
    OptimizerConfigBase,
    ReduceLROnPlateauConfig,
    SamplesConfig,
    SchedulesConfig,
    SGDConfig,
    StepsConfig,
    TimeConfig,
    TokensConfig,
    TrainerConfig,
)
from nshtrainer.legacy import read_hparams
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer import optimizer_registry

# -- a config and a module ---------------------------------------------------------------------


class MyConfig(nshtrainer.Config):
    width: int = 8
    optimizer: OptimizerConfig = AdamWConfig(lr=1e-3)
    lr_scheduler: LRSchedulerConfig | None = None
    freeze_for: DurationConfig = StepsConfig(value=0)
    primary_metric: MetricConfig | None = None


class MyModel(nshtrainer.LightningModuleBase[MyConfig]):
    def __init__(self, hparams: MyConfig) -> None:
        super().__init__(hparams)
        self.layer = nn.Linear(self.hparams.width, 1)

    def training_step(self, batch: Tensor) -> Tensor:
        return torch.square(self.layer(batch)).mean()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        assert_type(self.hparams, MyConfig)
        optimizer = self.hparams.optimizer.create_optimizer(self.parameters())
        assert_type(optimizer, Optimizer)
        if self.hparams.lr_scheduler is None:
            return optimizer
        scheduler = self.hparams.lr_scheduler.create_scheduler(optimizer, self)
        assert_type(scheduler, LRSchedulerEntry)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


class Named(nshtrainer.LightningModuleBase[MyConfig]):
    @classmethod
    def hparams_cls(cls) -> type[MyConfig]:
        return MyConfig


assert_type(MyModel.hparams_cls(), type[MyConfig])
assert_type(MyModel(MyConfig()).lr, float)
assert_type(Named({"width": 4}).hparams.width, int)
assert_type(MyModel.load_from_checkpoint("last.ckpt", overrides=["width=2"]), MyModel)

# -- configs as values -------------------------------------------------------------------------

config = MyConfig.from_file("run.yaml", overrides=["optimizer.lr=3e-4"])
assert_type(config, MyConfig)
assert_type(MyConfig.from_yaml("width: 3"), MyConfig)
assert_type(MyConfig.from_mapping({"width": 3}, plugins=False), MyConfig)
assert_type(config.replace(width=4), MyConfig)
assert_type(config.override("width=4"), MyConfig)
assert_type(config.to_dict(), dict[str, Any])
assert_type(config.to_yaml(), str)
assert_type(config.optimizer, OptimizerConfigBase)
assert_type(MyConfig.json_schema(), dict[str, Any])
assert_type(read_hparams("old.ckpt"), dict[str, Any])
assert_type(read_hparams("old.ckpt", MyConfig), MyConfig)
assert_type(optimizer_registry["adamw"], type[OptimizerConfigBase])

model = nn.Linear(2, 1)
assert_type(AdamWConfig(lr=1e-3, weight_decay=0.01).create_optimizer(model.parameters()), Optimizer)
AdamWConfig(betas=(0.9, 0.95), fused=True, foreach=None).create_optimizer(model)
SGDConfig(momentum=0.9).create_optimizer(model.named_parameters())
SGDConfig().create_optimizer([{"params": list(model.parameters()), "lr": 0.1}])

# -- durations ---------------------------------------------------------------------------------

schedule = LinearWarmupCosineDecayLRSchedulerConfig(
    warmup_duration={"name": "steps", "value": 1},
    max_duration="90 epochs",
    annealing=True,
)
LinearWarmupCosineDecayLRSchedulerConfig(
    warmup_duration=StepsConfig(value=1000), max_duration=EpochsConfig(value=5), min_lr_factor=0
)
LinearWarmupCosineDecayLRSchedulerConfig(
    warmup_duration="10%", max_duration=FractionConfig(value=1)
)
assert_type(
    schedule.warmup_duration,
    StepsConfig | EpochsConfig | FractionConfig | SamplesConfig | TokensConfig | TimeConfig,
)
assert_type(schedule.warmup_duration.resolve(RunLength(total_steps=10)), int)
assert_type(schedule.curve(RunLength(total_steps=10, steps_per_epoch=5))(3), float)
picture = schedule.plot(RunLength(total_steps=10)) + schedule.plot(total_steps=10, base_lr=0.1)
picture.save("picture.svg")

plateau = ReduceLROnPlateauConfig(
    patience=3, factor=0.5, metric=MetricConfig(monitor="val/loss", mode="min"), min_lr=(0.0, 1e-6)
)
assert_type(plateau.metadata(), LRSchedulerMetadata)

# -- your own ----------------------------------------------------------------------------------


@optimizer_registry.register
class MyOptimizerConfig(OptimizerConfigBase):
    name: Literal["my_optimizer"] = "my_optimizer"
    lr: float = 0.1

    def create_optimizer(self, params: Iterable[Tensor]) -> Optimizer:
        return torch.optim.SGD(params, lr=self.lr)


@lr_scheduler_registry.register
class HalvingConfig(LRSchedulerConfigBase):
    name: Literal["halving"] = "halving"
    epochs: int = 10

    def metadata(self) -> LRSchedulerMetadata:
        return {"interval": "epoch"}

    def create_scheduler_impl(
        self, optimizer: Optimizer, lightning_module: LightningModule
    ) -> LRScheduler:
        return StepLR(optimizer, self.epochs, gamma=0.5)


@lr_scheduler_registry.register
class SawtoothConfig(CurveScheduleConfigBase):
    name: Literal["sawtooth"] = "sawtooth"
    period: int = 4

    def curve(self, run: RunLength) -> Callable[[int], float]:
        return lambda step: 1 - step % self.period / self.period


@dataclass(frozen=True)
class Hyperbola:
    half: int

    def __call__(self, step: int) -> float:
        return self.half / (self.half + step)


@lr_scheduler_registry.register
class HyperbolaConfig(CurveScheduleConfigBase):
    name: Literal["hyperbola"] = "hyperbola"
    half: int = 100

    def curve(self, run: RunLength) -> Hyperbola:
        return Hyperbola(self.half)


MyConfig(optimizer=MyOptimizerConfig(), lr_scheduler=SawtoothConfig())
MyConfig(
    optimizer=AdamWConfig(tensor_lr=True),
    lr_scheduler=SchedulesConfig(
        default={
            "lr": CosineScheduleConfig(warmup_duration="untuned", min_lr=1e-6),
            "weight_decay": HyperparameterScheduleConfig(follows="lr"),
        },
        groups={"head": {"lr": HyperbolaConfig(half=5)}},
    ),
)
assert_type(HyperbolaConfig(half=1).curve(RunLength())(1), float)

# -- the trainer, and a plain loop -------------------------------------------------------------

nshtrainer.Trainer(TrainerConfig(max_epochs=3), enable_progress_bar=False).fit(MyModel(config))
nshtrainer.Trainer({"max_epochs": 3})

optimizer = config.optimizer.create_optimizer(model)
driven = schedule.create_scheduler(optimizer, RunLength(total_steps=10, steps_per_epoch=5))
assert_type(driven, LRSchedulerEntry)
driven["scheduler"].step()
driver = CurveScheduler(optimizer, schedule.curve(RunLength(total_steps=10)))
driver.step()
