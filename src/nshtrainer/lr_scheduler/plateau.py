"""Schedules that depend on a metric: reduce on plateau, and greedy."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal, final
from weakref import ref

from pydantic import Field, model_validator
from typing_extensions import Self

from nshtrainer.duration import DurationField, StepsConfig
from nshtrainer.exceptions import MetricError
from nshtrainer.lr_scheduler.base import (
    LRSchedulerConfigBase,
    LRSchedulerMetadata,
    lr_scheduler_registry,
)
from nshtrainer.lr_scheduler.compose import CurveConfig, curve_of_part
from nshtrainer.lr_scheduler.curves import Constant, Product, Warmup
from nshtrainer.lr_scheduler.track import Track
from nshtrainer.metric import MetricConfig
from nshtrainer.optimizer_record import record_of
from nshtrainer.run_length import RunLength, run_length_of
from nshtrainer.types import NonNegative, NonNegativeInt, Positive, PositiveInt

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import LRSchedulerConfigType
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    from nshtrainer.lr_scheduler.preview import Preview
    from nshtrainer.run_context import RunContext

__all__ = ["GreedyScheduleConfig", "MetricScheduleConfigBase", "ReduceLROnPlateauConfig"]

ReductionFactor = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class MetricScheduleConfigBase(LRSchedulerConfigBase):
    """A schedule that depends on a metric: write `metric_scheduler`.

    With a `warmup_duration` or a `schedule` the rate is the product of the metric's rate and these,
    which move with each update. The scheduler then has a method `observe(value)` for the metric
    beside `step()` for the updates; a plain loop calls both, and under Lightning, a
    `LightningModuleBase` or a `nshtrainer.Trainer` calls both.
    """

    metric: MetricConfig | None = None
    """The metric, and whether smaller or larger is better; left out: the primary metric."""

    warmup_duration: DurationField = StepsConfig(value=0)  # type: ignore[assignment]
    """Duration of the initial rise, from 1 / (W + 1); the metric does not count before its end."""

    schedule: CurveConfig | None = None
    """A schedule to multiply the rate with, by the update."""

    @abstractmethod
    def metric_scheduler(self, optimizer: Optimizer, mode: str) -> ReduceLROnPlateau:
        """Build the torch scheduler whose `step` takes the metric.

        Args:
            optimizer: The optimizer to drive.
            mode: `min` if a smaller metric is better, else `max`.
        """

    def metadata(self) -> LRSchedulerMetadata:
        """Return the interval: by the epoch on plateau; with a curve by the step.

        `monitor` is left out while the metric is the primary one.
        """
        metadata: LRSchedulerMetadata = {
            "interval": "step" if self._has_a_curve() else "epoch",
            "frequency": 1,
            "reduce_on_plateau": not self._has_a_curve(),
        }
        if self.metric is not None:
            metadata["monitor"] = self.metric.monitor
        return metadata

    def preview(self, run: RunLength, num_points: int = 200) -> Preview:
        """Return the values of the curve beside the metric, as if the metric had no effect."""
        from nshtrainer.lr_scheduler.preview import preview_tracks

        if not self._has_a_curve():
            return super().preview(run, num_points)
        return preview_tracks(self.tracks(run), run, num_points, label=self.name)

    def describe(self, run: RunLength) -> str:
        """Describe the metric, and the curve beside it, in a sentence."""
        from nshtrainer.lr_scheduler.preview import describe_tracks

        text = super().describe(run)
        if not self._has_a_curve():
            return text
        return f"{text}, times {describe_tracks(self.tracks(run), run, label=self.name)}"

    @final
    def create_scheduler_impl(
        self, optimizer: Optimizer, lightning_module: Any, /
    ) -> LRSchedulerConfigType:
        """Build the scheduler in the direction of the metric, with the curve if there is one."""
        run = run_length_of(lightning_module)
        context = run.context
        problem = context.observer_problem if self._has_a_curve() else context.plateau_problem
        if problem is not None:
            raise MetricError(problem)
        metric = self._metric_in(context)
        if self._has_a_curve():
            scheduler: Any = self._observing(optimizer, run, metric.mode)
        else:
            scheduler = self.metric_scheduler(optimizer, metric.mode)
            record_of(optimizer).metric_scheduler = ref(scheduler)
        return {"scheduler": scheduler, "monitor": metric.monitor}

    def _metric_in(self, context: RunContext) -> MetricConfig:
        metric, shown = self.metric or context.primary_metric, context.shown_metric
        if metric is None:
            raise MetricError(
                f"{self.name} names no metric, and there is no primary metric; write "
                "metric: {monitor: val/loss, mode: min}, or set primary_metric of the "
                "nshtrainer.Trainer or of the module's hyperparameters"
            )
        if shown is not None and metric.monitor != shown.monitor:
            raise MetricError(
                f"{self.name} looks at {metric.monitor}, and the trainer shows {shown.monitor} to "
                "its scheduler, and nothing else; name that one, or leave metric out"
            )
        return metric

    def _has_a_curve(self) -> bool:
        return self.schedule is not None or self.warmup_duration.value > 0

    def _observing(self, optimizer: Optimizer, run: RunLength, mode: str) -> Any:
        from nshtrainer.lr_scheduler.driver.metric_scheduler import ObservingScheduler
        from nshtrainer.lr_scheduler.driver.plan import SchedulePlan

        run.context.attach_check()
        return ObservingScheduler(
            optimizer,
            SchedulePlan(run, self),
            lambda shadow: self.metric_scheduler(shadow, mode),
        )

    def warmup_steps(self, run: RunLength) -> int:
        """Return the number of updates before the metric counts."""
        return self.warmup_duration.resolve(run, "warmup_duration")

    def tracks(self, run: RunLength) -> tuple[Track, ...]:
        """Return the track of the curve beside the metric: the warm-up times the schedule."""
        warmup = self.warmup_steps(run)
        parts = [] if self.schedule is None else [curve_of_part(self.schedule, run)]
        if warmup:
            parts.append(Warmup(Constant(), steps=warmup, start=1 / (warmup + 1)))
        return (Track("lr", parts[0] if len(parts) == 1 else Product(tuple(parts))),)


@lr_scheduler_registry.register
class ReduceLROnPlateauConfig(MetricScheduleConfigBase):
    """A reduction of the rate by a factor whenever a metric has stopped improving.

    This is torch's `ReduceLROnPlateau` with torch's defaults. Under Lightning, in a
    `LightningModuleBase` or a `nshtrainer.Trainer`, the metric is read once after each
    validation that produced a fresh value, however often validation runs.

    Without a `metric`, the `primary_metric` of the `nshtrainer.Trainer` is used, then that of the
    module's hyperparameters.

    Reference: `torch.optim.lr_scheduler.ReduceLROnPlateau`.

    Raises:
        MetricError: No metric is named anywhere, or the trainer would pass it wrongly.

    >>> loss = MetricConfig(monitor="val/loss", mode="min")
    >>> metadata = ReduceLROnPlateauConfig(patience=3, metric=loss).metadata()
    >>> metadata["monitor"], metadata["interval"]
    ('val/loss', 'epoch')
    """

    name: Literal["reduce_lr_on_plateau"] = "reduce_lr_on_plateau"

    factor: ReductionFactor = 0.1
    """Factor on the rate at each reduction, in [0, 1)."""

    patience: NonNegativeInt = 10
    """Values without improvement to tolerate; the next one reduces the rate."""

    threshold: NonNegative = 1e-4
    """Least improvement over the best value that counts as one; 0 or more."""

    threshold_mode: Literal["rel", "abs"] = "rel"
    """Meaning of `threshold`: a share of the best value, or an absolute difference."""

    cooldown: NonNegativeInt = 0
    """Values to wait after a reduction before counting again."""

    min_lr: NonNegative | tuple[NonNegative, ...] = 0.0
    """Lower bound of the rate: one number, or one for each parameter group."""

    eps: NonNegative = 1e-8
    """Reductions smaller than this are not made."""

    def metric_scheduler(self, optimizer: Optimizer, mode: Any) -> ReduceLROnPlateau:
        """Build torch's `ReduceLROnPlateau`."""
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        return ReduceLROnPlateau(
            optimizer,
            mode,
            factor=self.factor,
            patience=self.patience,
            threshold=self.threshold,
            threshold_mode=self.threshold_mode,
            cooldown=self.cooldown,
            min_lr=list(self.min_lr) if isinstance(self.min_lr, tuple) else self.min_lr,
            eps=self.eps,
        )


@lr_scheduler_registry.register
class GreedyScheduleConfig(MetricScheduleConfigBase):
    """A rate that rises while a metric improves, and falls when it has stopped improving.

    After more than `patience` improvements in a row the rate is divided by `factor`, after as many
    values without one it is multiplied by `factor`, between `min_lr` and `max_lr`.

    The metric is passed as for `reduce_lr_on_plateau`. `max_lr` is required: with transformers'
    default of 1.0 most runs diverge. A group whose rate is outside the bounds is not moved further
    away from them.

    Reference: S. Subramanian et al., "GreedyLR", arXiv 2512.14527; `transformers.GreedyLR`.

    Raises:
        MetricError: No metric is named anywhere, or the trainer would pass it wrongly.

    >>> GreedyScheduleConfig(max_lr=0.01, patience=2).factor
    0.95
    """

    example = "max_lr: 0.01"

    name: Literal["greedy"] = "greedy"

    factor: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.95
    """Factor on the rate to lower it, and divisor to raise it; in (0, 1)."""

    patience: NonNegativeInt = 10
    """Values of one kind in a row to tolerate; the next one changes the rate."""

    threshold: NonNegative = 1e-6
    """Least improvement over the best value that counts as one; 0 or more."""

    threshold_mode: Literal["rel", "abs"] = "abs"
    """Meaning of `threshold`: a share of the best value, or an absolute difference."""

    cooldown: NonNegativeInt = 0
    """Values to wait after the rate was lowered before counting again."""

    warmup: NonNegativeInt = 0
    """Values to wait after the rate was raised before counting again."""

    min_lr: NonNegative = 0.0
    """Lower bound of the rate."""

    max_lr: Positive
    """Upper bound of the rate."""

    eps: NonNegative = 1e-8
    """Changes smaller than this are not made."""

    window_size: PositiveInt = 1
    """Number of values over which the metric is averaged; 1 for no average."""

    reset_start: PositiveInt = 500
    """Reductions with every rate at `min_lr` before the schedule restarts."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.min_lr > self.max_lr:
            raise ValueError(f"min_lr {self.min_lr:g} is above max_lr {self.max_lr:g}; swap them")
        return self

    def metric_scheduler(self, optimizer: Optimizer, mode: Any) -> ReduceLROnPlateau:
        """Build the scheduler of the paper."""
        from nshtrainer.lr_scheduler.driver.metric_scheduler import GreedyLR

        options = {**dict(self)}
        for name in ("name", "metric", "warmup_duration", "schedule"):
            del options[name]
        return GreedyLR(optimizer, mode, **options)
