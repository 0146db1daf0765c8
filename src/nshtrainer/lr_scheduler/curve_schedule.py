"""Base of schedules that are functions of the step."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, final

from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase, LRSchedulerMetadata
from nshtrainer.lr_scheduler.track import Curve, Track
from nshtrainer.run_length import RunLength, run_length_of

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

__all__ = ["METADATA", "CurveScheduleConfigBase", "build_driver"]

METADATA: LRSchedulerMetadata = {
    "interval": "step",
    "frequency": 1,
    "monitor": None,
    "reduce_on_plateau": False,
}
"""The options of a curve: a step with every update, without a metric."""


def build_driver(
    config: LRSchedulerConfigBase, optimizer: "Optimizer", module: Any
) -> "LRScheduler":
    """Resolve the tracks of a schedule for a run, and build the scheduler that applies them."""
    from nshtrainer.lr_scheduler.driver.plan import SchedulePlan
    from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler

    run = run_length_of(module)
    run.context.attach_check()
    return CurveScheduler(optimizer, SchedulePlan(run, config))


class CurveScheduleConfigBase(LRSchedulerConfigBase):
    """A schedule of the learning rate along a curve: write `curve`.

    The factor multiplies the rate of every parameter group, with each update of the optimizer.

    >>> from typing import Literal
    >>> from nshtrainer.lr_scheduler import lr_scheduler_registry
    >>> with lr_scheduler_registry.scoped():
    ...     @lr_scheduler_registry.register
    ...     class SawtoothConfig(CurveScheduleConfigBase):
    ...         name: Literal["sawtooth"] = "sawtooth"
    ...         period: int = 4
    ...         def curve(self, run):
    ...             return lambda step: 1 - step % self.period / self.period
    >>> curve = SawtoothConfig().curve(RunLength())
    >>> [curve(step) for step in range(6)]
    [1.0, 0.75, 0.5, 0.25, 1.0, 0.75]
    """

    is_curve: ClassVar[bool] = True

    @abstractmethod
    def curve(self, run: RunLength) -> Curve:
        """Return the factor on the base rate as a function of the step, for a run of this length.

        Args:
            run: The length of the run; read only the lengths that the schedule needs.

        Raises:
            ScheduleError: The schedule does not fit this run, or the length of the run is unknown.
        """

    def tracks(self, run: RunLength) -> tuple[Track, ...]:
        """Return the track of the learning rate of every group."""
        return (Track("lr", self.curve(run)),)

    def metadata(self) -> LRSchedulerMetadata:
        """Return the interval of a curve: every update, without a metric."""
        return LRSchedulerMetadata(METADATA)

    @final
    def create_scheduler_impl(
        self, optimizer: "Optimizer", lightning_module: Any, /
    ) -> "LRScheduler":
        """Resolve the curves for this run, and build the scheduler that applies them."""
        return build_driver(self, optimizer, lightning_module)
