"""Facts of a training run, beside its length, that the optimizer and the schedule depend on."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, get_args

from typing_extensions import Self

from nshtrainer.exceptions import ScheduleError
from nshtrainer.types import ScheduleClock

if TYPE_CHECKING:
    from nshtrainer.metric import MetricConfig
    from nshtrainer.resume import ResumeConfig

__all__ = ["RunContext", "RunOptions"]

_KEPT = ("base_lr", "beta2", "start", "resume", "schedule_clock")
"""Fields that a resolved schedule needs after the trainer is gone."""


@dataclass(frozen=True)
class RunContext:
    """The group that a schedule is resolved for, policies of the run, and limits of its trainer.

    Args:
        base_lr: The rate that a schedule multiplies, for schedules with absolute rates. The
            optimizer fills it in, group by group.
        beta2: The decay of the squared gradients, for warm-ups that derive their length from it.
            The optimizer fills it in as well.
        start: Steps of the whole run before the part that a schedule spans, which determine where
            its epochs begin.
        shortened: The reason why the run is shorter than intended, such as `fast_dev_run`.
        unknown_because: The reason why lengths are unknown, and the remedy.
        resume: The policy for loading optimizer and scheduler states under a changed config.
        schedule_clock: The updates that move a schedule: every attempt (`optimizer_steps`), or only
            those that a `GradScaler` did not leave out (`successful_steps`).
        primary_metric: The metric of a schedule that names none.
        shown_metric: The only metric that the trainer passes to schedulers, if there is just one.
        plateau_problem: The reason why a reduce-on-plateau scheduler would get wrong values.
        observer_problem: The reason why a scheduler with a curve would get no metric.
        interval_problem: The reason why only schedulers that move with each update work.
        loop_problem: The reason why an optimizer gets no closure and no graph of the gradients.

    Raises:
        ScheduleError: The clock is unknown.

    >>> RunContext(base_lr=0.1).replace(schedule_clock="successful_steps").schedule_clock
    'successful_steps'
    """

    base_lr: float | None = None
    beta2: float | None = None
    start: int = 0
    shortened: str | None = None
    unknown_because: str | None = None
    resume: ResumeConfig | None = None
    schedule_clock: ScheduleClock = "optimizer_steps"
    primary_metric: MetricConfig | None = None
    shown_metric: MetricConfig | None = None
    plateau_problem: str | None = None
    observer_problem: str | None = None
    interval_problem: str | None = None
    loop_problem: str | None = None

    def __post_init__(self) -> None:
        clocks = get_args(ScheduleClock)
        if self.schedule_clock not in clocks:
            choices = " or ".join(map(repr, clocks))
            raise ScheduleError(f"schedule_clock must be {choices}, not {self.schedule_clock!r}")

    @property
    def policy(self) -> ResumeConfig:
        """The resume policy; by default, the checkpoint wins."""
        # Imported on use: configs take longer to import than a run length does.
        from nshtrainer.resume import ResumeConfig

        return self.resume or ResumeConfig()

    def replace(self, **changes: Any) -> Self:
        """Return the context with some values changed, without reading the others."""
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def snapshot(self) -> RunContext:
        """Return what a resolved schedule needs of the context, as a plain value."""
        return RunContext(**{name: getattr(self, name) for name in _KEPT})

    def attach_check(self) -> None:
        """Make a trainer compare the assumed length with its run's, and check its model."""


class RunOptions(TypedDict, total=False):
    """Arguments of `RunLength` beside the lengths: fields of its `RunContext`, or all of it."""

    base_lr: float | None
    beta2: float | None
    shortened: str | None
    unknown_because: str | None
    resume: ResumeConfig | None
    schedule_clock: ScheduleClock | None
    context: RunContext
