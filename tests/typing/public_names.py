"""The public names have the types that their modules give them."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

import nshtrainer
from nshtrainer import Config, LightningModuleBase, MetricConfig, RunLength, Trainer, TrainerConfig
from nshtrainer.callbacks import EarlyStoppingCallbackConfig, UnfreezeCallbackConfig
from nshtrainer.configs import AOAdamW8bitConfig, BNBAdamW8bitConfig, EMACallbackConfig
from nshtrainer.loggers import CSVLoggerConfig, WandbLoggerConfig
from nshtrainer.lr_scheduler import (
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfigBase,
    ReduceLROnPlateauConfig,
)
from nshtrainer.optimizer import AdamWConfig, LionConfig, OptimizerConfigBase

assert_type(nshtrainer.__version__, str)
assert_type(RunLength(total_steps=10).total_steps, int | None)
assert_type(nshtrainer.RunLength(total_steps=10), RunLength)

assert_type(AOAdamW8bitConfig(), AOAdamW8bitConfig)
assert_type(BNBAdamW8bitConfig().lr, float)
assert_type(AdamWConfig().weight_decay, float)
assert_type(ReduceLROnPlateauConfig().patience, int)

assert_type(WandbLoggerConfig(project="digits").tags, tuple[str, ...] | None)
assert_type(EMACallbackConfig(decay=0.99).decay, float)
trainer = TrainerConfig(
    logger=(WandbLoggerConfig(), CSVLoggerConfig()),
    callbacks=(EarlyStoppingCallbackConfig(), UnfreezeCallbackConfig(select="a", after="1 epochs")),
)
assert_type(trainer.callbacks[0].name, Any)

optimizers: tuple[type[OptimizerConfigBase], ...] = (AdamWConfig, LionConfig, AOAdamW8bitConfig)
schedules: tuple[type[LRSchedulerConfigBase], ...] = (
    LinearWarmupCosineDecayLRSchedulerConfig,
    ReduceLROnPlateauConfig,
)
configs: tuple[type[Config], ...] = (MetricConfig, TrainerConfig)
classes: tuple[type, ...] = (LightningModuleBase, Trainer)
errors: tuple[type[ValueError], ...] = (nshtrainer.exceptions.ConfigError,)


def train_from_python() -> None:
    assert_type(nshtrainer.fit("train.py", "run.yaml").metrics, dict[str, float])
    assert_type(nshtrainer.load_run("run.yaml").trainer(), Trainer)
