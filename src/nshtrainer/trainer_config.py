"""The options of Lightning's Trainer as a config: scalars, loggers and callbacks."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import Field, model_validator
from typing_extensions import Self

from nshtrainer.callbacks.base import CallbackConfig
from nshtrainer.config import Config
from nshtrainer.duration import DurationField, StepsConfig
from nshtrainer.loggers.base import LoggerField
from nshtrainer.metric import MetricConfig
from nshtrainer.resume import ResumeConfig
from nshtrainer.types import (
    Fraction,
    NonFinite,
    NonNegative,
    NonNegativeInt,
    OrUnlimited,
    PositiveInt,
    ScheduleClock,
    TimeSpan,
)
from nshtrainer.weight_averaging import WeightAveragingField

__all__ = ["OURS", "TrainerConfig"]

Limit: TypeAlias = NonNegativeInt | Fraction
"""A whole number of batches, or a share of them in [0, 1]: `1` is one batch, `1.0` is all."""

Interval: TypeAlias = PositiveInt | Annotated[float, Field(gt=0, le=1, strict=True)]
"""A whole number of batches, 1 or more, or a share of an epoch in (0, 1]."""

Precision: TypeAlias = Literal[
    "transformer-engine",
    "transformer-engine-float16",
    "16-true",
    "16-mixed",
    "bf16-true",
    "bf16-mixed",
    "32-true",
    "64-true",
    "64",
    "32",
    "16",
    "bf16",
    64,
    32,
    16,
]

OURS = frozenset(
    {
        "non_finite",
        "primary_metric",
        "resume",
        "schedule_clock",
        "seed",
        "telemetry",
        "weight_averaging",
    }
)
"""The options that are not Lightning's."""


class TelemetryConfig(Config):
    """Telemetry of the optimizer's steps, as with the callback `norm_logging`.

    >>> str(TelemetryConfig(every="100 steps").every)
    '100 steps'
    """

    every: DurationField = cast("Any", StepsConfig(value=50))
    """Time from one measurement to the next; at least one step of the optimizer."""


class TrainerConfig(Config):
    """Every scalar option of `lightning.Trainer`, with Lightning's own defaults.

    An option that is left out or `None` is Lightning's choice. Loggers and callbacks are configs;
    plug-ins, strategies and other objects are arguments of `nshtrainer.Trainer` in Python.

    >>> config = TrainerConfig(max_epochs=3, limit_train_batches=0.5)
    >>> config.lightning_arguments()
    {'max_epochs': 3, 'limit_train_batches': 0.5}
    """

    accelerator: str = "auto"
    """Hardware: `cpu`, `gpu`, `tpu`, `mps`, or `auto` for the best available."""

    strategy: str = "auto"
    """Strategy for several devices: `ddp`, `fsdp`, ..., or `auto`."""

    devices: OrUnlimited | tuple[NonNegativeInt, ...] | str = "auto"
    """Number of devices, the indices of some, -1 for all, or `auto`."""

    num_nodes: PositiveInt = 1
    """Machines, 1 or more."""

    precision: Precision | None = None
    """Floating-point format; left out, `32-true`."""

    logger: LoggerField = None
    """Loggers of metrics: one, such as `wandb`, or a list. `true` uses TensorBoard, or CSV if
    TensorBoard is not installed."""

    callbacks: tuple[CallbackConfig, ...] = ()
    """Callbacks, such as `early_stopping`, in order."""

    fast_dev_run: bool | NonNegativeInt = False
    """Run this many batches of everything (`true`: one) to find mistakes; nothing is saved."""

    max_epochs: OrUnlimited | None = None
    """Epochs to train, -1 for no limit; left out, 1000 unless steps or a time are limited."""

    min_epochs: NonNegativeInt | None = None
    """Epochs to train at least, regardless of early stopping."""

    max_steps: OrUnlimited = -1
    """Updates of the optimizer to train, -1 for no limit."""

    min_steps: NonNegativeInt | None = None
    """Updates of the optimizer to train at least."""

    max_time: TimeSpan | None = None
    """Time to train, as days:hours:minutes:seconds."""

    limit_train_batches: Limit | None = None
    """Training batches an epoch: a number, or a share in [0, 1]."""

    limit_val_batches: Limit | None = None
    """Validation batches: a number, or a share in [0, 1]."""

    limit_test_batches: Limit | None = None
    """Test batches: a number, or a share in [0, 1]."""

    limit_predict_batches: Limit | None = None
    """Prediction batches: a number, or a share in [0, 1]."""

    overfit_batches: Limit = 0.0
    """Train and validate on these batches alone: a number, or a share in [0, 1]; 0 for all."""

    val_check_interval: Interval | TimeSpan | None = None
    """When to validate within an epoch: after this many batches, this share, or this time."""

    check_val_every_n_epoch: PositiveInt | None = 1
    """Epochs between validations; `None` counts `val_check_interval` over all of training."""

    num_sanity_val_steps: OrUnlimited | None = None
    """Validation batches to try before training, -1 for all; left out, 2."""

    log_every_n_steps: NonNegativeInt | None = None
    """Updates between two log entries, 0 for none; left out, 50."""

    enable_checkpointing: bool | None = None
    """Save checkpoints; left out, true."""

    enable_progress_bar: bool | None = None
    """Show a progress bar; left out, true."""

    enable_model_summary: bool | None = None
    """List the layers at the start; left out, true."""

    accumulate_grad_batches: PositiveInt = 1
    """Batches whose gradients are summed for one update."""

    gradient_clip_val: NonNegative | None = None
    """Threshold for gradient clipping, 0 or more; left out, no clipping."""

    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    """Clip the norm of all gradients or each value; left out, the norm."""

    deterministic: bool | Literal["warn"] | None = None
    """Use deterministic algorithms alone; `warn` warns where there is none."""

    benchmark: bool | None = None
    """Let cuDNN try algorithms at the start; faster for inputs of constant size."""

    inference_mode: bool = True
    """Use `torch.inference_mode` for evaluation rather than `torch.no_grad`."""

    use_distributed_sampler: bool = True
    """Let Lightning's sampler distribute the data over devices."""

    profiler: Literal["simple", "advanced", "pytorch", "xla"] | None = None
    """Profiler of the run."""

    detect_anomaly: bool = False
    """Stop the backward pass at the first NaN; slow."""

    barebones: bool = False
    """Switch off everything but training, to measure its overhead."""

    sync_batchnorm: bool = False
    """Use the statistics of all devices in batch norm."""

    reload_dataloaders_every_n_epochs: NonNegativeInt = 0
    """Epochs between reloads of the data loaders, 0 for never."""

    default_root_dir: str | None = None
    """Folder of logs and checkpoints; left out, the working directory."""

    enable_autolog_hparams: bool = True
    """Log hyperparameters at the start."""

    model_registry: str | None = None
    """The name of the model in Lightning's registry of models."""

    non_finite: NonFinite | None = None
    """Reaction to NaN or Inf in a loss or a gradient: `stop` ends the run before the update, `skip`
    leaves the update out, `ignore` makes it. Left out, the setting of the hyperparameters, or else
    `stop`."""

    primary_metric: MetricConfig | None = None
    """The metric of schedules and checkpoints that name none."""

    resume: ResumeConfig | None = None
    """Resume policy for a changed config; left out, the setting of the hyperparameters, or else the
    checkpoint wins."""

    schedule_clock: ScheduleClock | None = None
    """Updates that move a schedule if the gradient scaler of 16-mixed leaves some out:
    `optimizer_steps` counts all attempts, `successful_steps` the updates that are made. Left out,
    the setting of the hyperparameters, or else `optimizer_steps`."""

    telemetry: TelemetryConfig | None = None
    """Log the norms of gradients, weights and updates of each parameter group; left out, do not."""

    weight_averaging: WeightAveragingField = cast("Any", None)
    """The average of the weights that is validated and saved, such as `ema`; left out, none."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)] | None = None
    """Seed of random numbers, in this process and in the workers of data loaders."""

    @model_validator(mode="after")
    def _has_a_logger(self) -> Self:
        needy = ["telemetry"] if self.telemetry is not None else []
        needy += [each.name for each in self.callbacks if each.needs_logger]
        if needy and self.logger is False:
            raise ValueError(f"{needy[0]} only logs, and logger is false; remove one of them")
        return self

    def lightning_arguments(self) -> dict[str, Any]:
        """Return the arguments for Lightning's Trainer: the options that are not at their defaults.

        The others are left to Lightning, which also reads them from the environment. Configs of
        loggers and callbacks are left out; `nshtrainer.Trainer` creates these.
        """
        fields = type(self).model_fields
        created = {"callbacks"} if isinstance(self.logger, bool) else {"callbacks", "logger"}
        left_out = OURS | created
        given = {name: value for name, value in dict(self).items() if name not in left_out}
        changed = {name: value for name, value in given.items() if value != fields[name].default}
        if isinstance(self.devices, tuple):
            changed["devices"] = list(self.devices)
        return changed
