"""Base class, registry and field type of learning-rate scheduler configs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeAlias,
    cast,
)

from typing_extensions import Required, TypedDict

from nshtrainer.config.named import NamedConfig
from nshtrainer.config.registry import Registry
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.track import Curve, Track
from nshtrainer.optimizer_record import optimizer_within
from nshtrainer.rate_use import check_schedule
from nshtrainer.run_length import RunLength, known_run_length, run_length_of

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule
    from lightning.pytorch.utilities.types import LRSchedulerConfigType
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

    from nshtrainer.lr_scheduler.preview import Preview
    from nshtrainer.plotting import Picture

__all__ = [
    "LRSchedulerConfig",
    "LRSchedulerConfigBase",
    "LRSchedulerEntry",
    "LRSchedulerMetadata",
    "lr_scheduler_registry",
]


class LRSchedulerMetadata(TypedDict, total=False):
    """Lightning's options for one scheduler."""

    interval: Literal["step", "epoch"]
    """The unit in which it moves: each optimizer update or each epoch. Default: `epoch`."""

    frequency: int
    """The number of these units between two moves. Default: 1."""

    monitor: str | None
    """The name of the metric to monitor. Default: none."""

    reduce_on_plateau: bool
    """True if `step` takes the value of the metric. Default: False."""

    strict: bool
    """True if a missing metric is an error."""

    name: str | None
    """The name under which `LearningRateMonitor` logs it."""


class LRSchedulerEntry(TypedDict, total=False):
    """A scheduler with Lightning's options, as Lightning takes it under `"lr_scheduler"`."""

    scheduler: Required[Any]
    """The torch scheduler; in a plain loop call its `step` after each update."""

    interval: str
    frequency: int
    monitor: str | None
    reduce_on_plateau: bool
    strict: bool
    name: str | None


class LRSchedulerConfigBase(NamedConfig):
    """The base of every scheduler config: derive from it to wrap a custom torch scheduler.

    Write `metadata` and `create_scheduler_impl`, and register the class. To write a schedule as a
    function of the step instead, derive from `CurveScheduleConfigBase`.

    >>> from typing import Literal
    >>> from torch.optim.lr_scheduler import StepLR
    >>> with lr_scheduler_registry.scoped():
    ...     @lr_scheduler_registry.register
    ...     class HalvingConfig(LRSchedulerConfigBase):
    ...         name: Literal["halving"] = "halving"
    ...         epochs: int = 10
    ...         def metadata(self):
    ...             return {"interval": "epoch"}
    ...         def create_scheduler_impl(self, optimizer, lightning_module):
    ...             return StepLR(optimizer, self.epochs, gamma=0.5)
    >>> HalvingConfig(epochs=5).metadata()
    {'interval': 'epoch'}
    """

    example: ClassVar[str] = ""
    """The fields of a typical config as YAML, without the name, for the docs and their plots."""

    is_curve: ClassVar[bool] = False
    """True if its values depend on the step alone, not on a metric or on a torch scheduler."""

    @abstractmethod
    def metadata(self) -> LRSchedulerMetadata:
        """Return the interval and the metric; keys may be left out. It must not raise."""

    @abstractmethod
    def create_scheduler_impl(
        self, optimizer: Optimizer, lightning_module: LightningModule, /
    ) -> LRScheduler | ReduceLROnPlateau | LRSchedulerConfigType:
        """Build the torch scheduler, or a dict with it under `scheduler` and further keys.

        Args:
            optimizer: The optimizer to drive.
            lightning_module: The module being trained, or the `RunLength` given instead.
        """

    def create_scheduler(
        self, optimizer: Optimizer, lightning_module: LightningModule | RunLength
    ) -> LRSchedulerEntry:
        """Return the entry for Lightning's `"lr_scheduler"`, with torch's under `"scheduler"`.

        Args:
            optimizer: The optimizer to drive.
            lightning_module: The module being trained; in a plain loop a `RunLength`.

        Raises:
            ScheduleError: The schedule does not fit this run, or its length is unknown; `optimizer`
                is no optimizer, or the class built no scheduler.
        """
        if not hasattr(optimizer, "param_groups"):
            raise ScheduleError(
                f"create_scheduler takes the optimizer first, then the module or a RunLength; got "
                f"a {type(optimizer).__name__} in its place"
            )
        optimizer = optimizer_within(optimizer)
        made = self.create_scheduler_impl(optimizer, lightning_module)  # type: ignore[arg-type]
        if made is None:  # pyright: ignore[reportUnnecessaryComparison] - a forgotten return
            raise ScheduleError(
                f"{type(self).__name__}.create_scheduler_impl returned None; return the scheduler"
            )
        given = dict(made) if isinstance(made, Mapping) else {"scheduler": made}
        defaults = {
            "interval": "epoch",
            "frequency": 1,
            "monitor": None,
            "reduce_on_plateau": False,
        }
        entry: dict[str, Any] = {**defaults, **self.metadata(), **given}
        entry = _fit_to_trainer(self.name, entry, lightning_module)
        check_schedule(optimizer, entry["scheduler"], lightning_module)
        return cast("LRSchedulerEntry", entry)

    def curve(self, run: RunLength) -> Curve:
        """Return the schedule as a pure function of the step, if it is one.

        Raises:
            NotImplementedError: The schedule is a torch scheduler, or depends on a metric.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no curve; only schedules that derive from "
            "CurveScheduleConfigBase can be computed without a run"
        )

    def tracks(self, run: RunLength) -> tuple[Track, ...]:
        """Return the scheduled hyperparameters with their curves, if the schedule has curves.

        Raises:
            NotImplementedError: The schedule is a torch scheduler.
        """
        raise NotImplementedError(f"{type(self).__name__} has no tracks, but a torch scheduler")

    def preview(self, run: RunLength | Any, num_points: int = 200) -> Preview:
        """Return the values of the schedule before it runs, by hyperparameter.

        Args:
            run: The length of the run, or a trainer that knows it; with `base_lr` the rates are
                absolute.
            num_points: The approximate number of steps to sample, evenly over the run.

        Raises:
            ScheduleError: The schedule has no values before it runs, or does not fit this run, or
                the length of the run is unknown.
        """
        from nshtrainer.lr_scheduler.preview import preview_tracks

        run = run_length_of(run)
        if not self.is_curve:
            raise ScheduleError(f"{self.describe(run)}; there is nothing to draw")
        return preview_tracks(self.tracks(run), run, num_points, label=self.name)

    def plot(
        self,
        run: Any = None,
        *,
        total_steps: int | None = None,
        base_lr: float | None = None,
        label: str = "",
    ) -> Picture:
        """Draw the schedule before it runs, for a notebook, the terminal or a file.

        Args:
            run: A `RunLength`, or the module or trainer that knows the length of the run.
            total_steps: Updates of the optimizer in the whole run, instead of `run`.
            base_lr: The rate that the schedule multiplies, instead of `run`; without a rate,
                factors are drawn.
            label: The name in the legend of several schedules; left out, the schedule's own.

        Raises:
            ScheduleError: The schedule has no values before it runs, or does not fit this run, or
                the length of the run is unknown.

        >>> from nshtrainer.configs import CosineScheduleConfig
        >>> CosineScheduleConfig(warmup_duration="10%").plot(total_steps=1000, base_lr=1e-3)
        <Picture of cosine: warm-up 0 to 100, cosine 100 to 1,000, last update 3.05e-9>
        """
        from nshtrainer.plotting.picture import Picture, Plot

        if run is not None and (total_steps is not None or base_lr is not None):
            raise ScheduleError("plot takes run, or total_steps and base_lr; leave out the one")
        length = RunLength(total_steps, base_lr=base_lr) if run is None else run_length_of(run)
        plot = Plot(label or self.name, self.preview(length), self.describe(length))
        return Picture((plot,))

    def describe(self, run: RunLength | Any) -> str:
        """Describe the schedule in a sentence: the phases and the last value of its curves.

        Args:
            run: The length of the run, or a trainer that knows it; with `base_lr` the rates are
                absolute.

        Raises:
            ScheduleError: The schedule does not fit this run, or the length of the run is unknown.
        """
        from nshtrainer.lr_scheduler.preview import describe_tracks

        run = run_length_of(run)
        if self.is_curve:
            return describe_tracks(self.tracks(run), run, label=self.name)
        metadata = self.metadata()
        metric = metadata.get("monitor")
        looks = f", looks at {metric}" if metric else ""
        often = metadata.get("interval", "epoch")
        return f"{self.name}: by the {often}{looks}; what it does is known only as it runs"


lr_scheduler_registry: Registry[LRSchedulerConfigBase] = Registry(
    LRSchedulerConfigBase,
    kind="lr_scheduler",
    entry_point_group="nshtrainer.lr_schedulers",
    modules=(
        "nshtrainer.lr_scheduler.schedules.decays",
        "nshtrainer.lr_scheduler.schedules.stages",
        "nshtrainer.lr_scheduler.schedules.power_law",
        "nshtrainer.lr_scheduler.schedules.steps",
        "nshtrainer.lr_scheduler.schedules.cycles",
        "nshtrainer.lr_scheduler.torch_schedules.simple",
        "nshtrainer.lr_scheduler.torch_schedules.cyclic",
        "nshtrainer.lr_scheduler.torch_schedules.nested",
        "nshtrainer.lr_scheduler.compose",
        "nshtrainer.lr_scheduler.per_group",
        "nshtrainer.lr_scheduler.plateau",
    ),
)
"""Every learning-rate scheduler config, by name."""

LRSchedulerConfig: TypeAlias = Annotated[LRSchedulerConfigBase, lr_scheduler_registry]
"""The type of a field that holds any registered scheduler config."""


def _fit_to_trainer(name: str, entry: dict[str, Any], source: Any) -> dict[str, Any]:
    """Refuse an interval that the trainer cannot follow, and drop keys that it would warn about.

    Lightning warns about options for a metric under manual optimization. With a metric the warning
    stays: the user has to pass the metric to this scheduler.
    """
    moves_by_update = entry["interval"] == "step" or entry["reduce_on_plateau"]
    if not moves_by_update or entry["frequency"] != 1:
        run = known_run_length(source)
        if run is not None and run.context.interval_problem is not None:
            often = f"every {entry['frequency']} {entry['interval']}s"
            raise ScheduleError(f"{name} moves {often}, and {run.context.interval_problem}")
    looks_at_metric = entry["monitor"] is not None or entry["reduce_on_plateau"]
    if looks_at_metric or getattr(source, "automatic_optimization", True):
        return entry
    return {key: entry[key] for key in entry.keys() - {"monitor", "reduce_on_plateau", "strict"}}
