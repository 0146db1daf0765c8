"""Configs of Lightning's callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from typing_extensions import Self, override

from nshtrainer.callbacks.base import CallbackConfigBase, callback_registry
from nshtrainer.constructed import ConstructedConfig
from nshtrainer.types import (
    Finite,
    FrozenDict,
    Label,
    NonNegative,
    NonNegativeInt,
    OrUnlimited,
    Positive,
    PositiveInt,
    TimeSpan,
)

if TYPE_CHECKING:
    from lightning.pytorch import Callback

__all__ = [
    "BackboneFinetuningConfig",
    "DeviceStatsMonitorConfig",
    "EarlyStoppingCallbackConfig",
    "GradientAccumulationSchedulerConfig",
    "LearningRateMonitorConfig",
    "LightningCallbackConfigBase",
    "ModelCheckpointCallbackConfig",
    "RichProgressBarConfig",
    "TimerConfig",
]


def _as_number(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdecimal() else key


_Epoch = Annotated[NonNegativeInt, BeforeValidator(_as_number)]
"""An epoch as a key, which is text in JSON."""


class LightningCallbackConfigBase(ConstructedConfig, CallbackConfigBase):
    """Config of a callback of Lightning, with the arguments of its constructor as fields."""

    @override
    def create_callback(self) -> Callback:
        return self.build()


def _duration(span: str | None) -> timedelta | None:
    if span is None:
        return None
    days, hours, minutes, seconds = map(int, span.split(":"))
    return timedelta(days, hours=hours, minutes=minutes, seconds=seconds)


@callback_registry.register
class EarlyStoppingCallbackConfig(LightningCallbackConfigBase):
    """Stop the run when a metric has stopped improving.

    >>> EarlyStoppingCallbackConfig(monitor="val/loss", patience=5).create_callback().patience
    5
    """

    # Lightning's class, which reads the primary metric where none is named.
    target = "nshtrainer.integrations.lightning.callbacks.early_stopping:EarlyStopping"

    name: Literal["early_stopping"] = "early_stopping"

    monitor: Label | None = None
    """Name of the metric; left out, the primary metric."""

    min_delta: NonNegative = 0.0
    """Least change of the metric that is an improvement, in units of the metric."""

    patience: NonNegativeInt = 3
    """Checks in a row without an improvement after which the run stops."""

    verbose: bool = False
    """Log each improvement, and the reason of the stop."""

    mode: Literal["min", "max"] | None = None
    """`min` when smaller is better, `max` when larger is. Left out, the mode of the primary metric
    if that is the metric, or else `min`."""

    strict: bool = True
    """Raise an error if the metric is not logged."""

    check_finite: bool = True
    """Stop when the metric is NaN or Inf."""

    stopping_threshold: Finite | None = None
    """Value of the metric that is good enough to stop at once."""

    divergence_threshold: Finite | None = None
    """Value of the metric that is bad enough to stop at once."""

    check_on_train_epoch_end: bool | None = None
    """Check at the end of a training epoch, not of a validation. Left out, `true` if each epoch has
    one validation, at its end."""

    log_rank_zero_only: bool = False
    """Log messages in the first process only."""


@callback_registry.register
class ModelCheckpointCallbackConfig(LightningCallbackConfigBase):
    """Save checkpoints: the best by a metric, or one every so often.

    Beside it `nshtrainer fit` saves its own `best.ckpt` and `last.ckpt`.

    >>> config = ModelCheckpointCallbackConfig(monitor="val/loss", save_top_k=3)
    >>> config.create_callback().save_top_k
    3
    """

    target = "lightning.pytorch.callbacks:ModelCheckpoint"

    name: Literal["model_checkpoint"] = "model_checkpoint"

    dirpath: str | None = None
    """Folder of the checkpoints; left out, `checkpoints` in the folder of the first logger or of
    the run."""

    filename: str | None = None
    """Name of a file without `.ckpt`, with metrics in braces: `{epoch}-{val_loss:.2f}`. Left out,
    `{epoch}-{step}`."""

    monitor: Label | None = None
    """Name of the metric that tells which are best; left out, the newest is kept."""

    verbose: bool = False
    """Log each checkpoint."""

    save_last: bool | Literal["link"] | None = None
    """Copy the newest checkpoint to `last.ckpt`, or link to it."""

    save_top_k: OrUnlimited = 1
    """Number of best checkpoints to keep, -1 for all, 0 for none."""

    save_on_exception: bool = False
    """Save a checkpoint when an exception ends the run."""

    save_weights_only: bool = False
    """Leave out the state of the optimizer and the run, so that it cannot be resumed."""

    mode: Literal["min", "max"] = "min"
    """`min` when a smaller metric is better, `max` when a larger one is."""

    auto_insert_metric_name: bool = True
    """Write the name of a metric before its value in the name of the file. Set it to `false` for
    metrics with `/` in their names."""

    every_n_train_steps: NonNegativeInt | None = None
    """Updates between two checkpoints; excludes `train_time_interval` and `every_n_epochs`."""

    train_time_interval: TimeSpan | None = None
    """Time between two checkpoints, as days:hours:minutes:seconds."""

    every_n_epochs: NonNegativeInt | None = None
    """Epochs between two checkpoints, 0 for none; left out, 1 if no other interval is set."""

    save_on_train_epoch_end: bool | None = None
    """Save at the end of a training epoch, not of a validation; left out, Lightning's choice."""

    enable_version_counter: bool = True
    """Number files of equal names, `-v1`, instead of replacing them."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.monitor is None and self.save_top_k > 1:
            raise ValueError(
                f"save_top_k is {self.save_top_k}, and there is no metric to tell which are best; "
                "set monitor, or save_top_k to -1, 0 or 1"
            )
        intervals = ("every_n_train_steps", "train_time_interval", "every_n_epochs")
        given = [name for name in intervals if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; set one of them")
        return self

    @override
    def arguments(self) -> dict[str, Any]:
        interval = _duration(self.train_time_interval)
        return {**super().arguments(), "train_time_interval": interval}


@callback_registry.register
class LearningRateMonitorConfig(LightningCallbackConfigBase):
    """Log the learning rate of each parameter group.

    >>> LearningRateMonitorConfig(logging_interval="step").create_callback().logging_interval
    'step'
    """

    target = "lightning.pytorch.callbacks:LearningRateMonitor"
    needs_logger = True

    name: Literal["learning_rate_monitor"] = "learning_rate_monitor"

    logging_interval: Literal["step", "epoch"] | None = None
    """Log each update or each epoch; left out, as often as the schedule moves."""

    log_momentum: bool = False
    """Log momentum, or the first of `betas`, too."""

    log_weight_decay: bool = False
    """Log the weight decay too."""


@callback_registry.register
class GradientAccumulationSchedulerConfig(LightningCallbackConfigBase):
    """Change the number of accumulated batches at given epochs.

    Schedules and durations in epochs count the updates of each epoch as it is.

    >>> GradientAccumulationSchedulerConfig(scheduling={4: 2}).create_callback().scheduling
    {4: 2, 0: 1}
    """

    target = "lightning.pytorch.callbacks:GradientAccumulationScheduler"

    name: Literal["gradient_accumulation_scheduler"] = "gradient_accumulation_scheduler"

    scheduling: Annotated[
        Mapping[_Epoch, PositiveInt], AfterValidator(FrozenDict), Field(min_length=1)
    ]
    """Epoch, counted from 0, -> batches whose gradients are summed for one update from then on;
    one batch before the first epoch that is given."""


@callback_registry.register
class BackboneFinetuningConfig(LightningCallbackConfigBase):
    """Freeze the module's `backbone`, and add it to the optimizer at an epoch.

    Its learning rate starts low, and is multiplied by 2 in each later epoch until it is that of the
    first group. The callback writes the rate itself, which a schedule overwrites: with one, use
    `unfreeze`.

    >>> BackboneFinetuningConfig(unfreeze_backbone_at_epoch=3).unfreeze_backbone_at_epoch
    3
    """

    # Lightning's class, which continues in a resumed run.
    target = "nshtrainer.integrations.lightning.callbacks.backbone_finetuning:BackboneFinetuning"

    name: Literal["backbone_finetuning"] = "backbone_finetuning"

    unfreeze_backbone_at_epoch: NonNegativeInt = 10
    """Epoch, counted from 0, at whose start the backbone is trained."""

    backbone_initial_ratio_lr: Positive = 0.1
    """First learning rate of the backbone, as a factor on that of the first group."""

    backbone_initial_lr: Positive | None = None
    """First learning rate of the backbone, instead of `backbone_initial_ratio_lr`."""

    should_align: bool = True
    """Limit the learning rate of the backbone to that of the first group."""

    initial_denom_lr: Positive = 10.0
    """Divisor of the first learning rate where none is given, which Lightning does not use here."""

    train_bn: bool = True
    """Train the batch norms of the backbone from the start."""

    verbose: bool = False
    """Log both learning rates in each epoch."""

    rounding: NonNegativeInt = 12
    """Decimals of the logged learning rates."""


@callback_registry.register
class DeviceStatsMonitorConfig(LightningCallbackConfigBase):
    """Log the load and the memory of the devices.

    On a CPU it needs the package psutil.

    >>> type(DeviceStatsMonitorConfig().create_callback()).__name__
    'DeviceStatsMonitor'
    """

    target = "lightning.pytorch.callbacks:DeviceStatsMonitor"
    needs_logger = True

    name: Literal["device_stats_monitor"] = "device_stats_monitor"

    cpu_stats: bool | None = None
    """Log the CPU too; left out, only if the run uses no other device."""


@callback_registry.register
class RichProgressBarConfig(LightningCallbackConfigBase):
    """A progress bar drawn by rich.

    Under `nshtrainer fit` it replaces the default bar. Output to a file or pipe has no bar.

    >>> RichProgressBarConfig(leave=True).create_callback().refresh_rate
    100
    """

    target = "lightning.pytorch.callbacks:RichProgressBar"

    name: Literal["rich_progress_bar"] = "rich_progress_bar"

    refresh_rate: NonNegativeInt = 100
    """Batches between two updates of the bar, 0 for no bar."""

    leave: bool = False
    """Keep the bar of each epoch."""


@callback_registry.register
class TimerConfig(LightningCallbackConfigBase):
    """Measure the time of training, validation and test, and stop the run after a time.

    >>> TimerConfig(duration="00:12:00:00").create_callback().time_remaining()
    43200.0
    """

    target = "lightning.pytorch.callbacks:Timer"

    name: Literal["timer"] = "timer"

    duration: TimeSpan | None = None
    """Time to train, as days:hours:minutes:seconds; left out, no limit."""

    interval: Literal["step", "epoch"] = "step"
    """Stop after an update, or only after an epoch."""

    verbose: bool = True
    """Log when the time is over."""

    @override
    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "duration": _duration(self.duration)}
