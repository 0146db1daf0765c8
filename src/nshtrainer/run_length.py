"""Training-run length: total steps, steps per epoch, samples per step."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, replace
from fractions import Fraction
from functools import cache
from importlib import import_module
from operator import attrgetter
from types import UnionType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self, override

from nshtrainer.exceptions import RunLengthError, ScheduleError
from nshtrainer.trainer_settings import TrainerSettings

if TYPE_CHECKING:
    from nshtrainer.resume import ResumeConfig
    from nshtrainer.types import ScheduleClock

__all__ = ["LazyRunLength", "RunLength", "known_run_length", "run_length_of"]

_LENGTHS = (
    "total_steps",
    "steps_per_epoch",
    "total_time",
    "samples_per_step",
    "tokens_per_step",
    "shortened",
)

COUNTS = ("total_steps", "steps_per_epoch", "samples_per_step", "tokens_per_step")
"""Lengths that a trainer counts, and may count again."""

_POLICIES = ("resume", "schedule_clock")
"""Arguments of a plain loop that are kept in the settings."""

TICKS = 1_000_000
"""The number of positions of a schedule in a run that is limited by time."""


@dataclass(frozen=True)
class RunLength:
    """The length of a training run, as far as it is known.

    A plain loop passes the lengths; under a trainer they are read from the trainer, each when a
    schedule needs it: a schedule in steps never touches the data loader.

    Args:
        total_steps: Updates of the optimizer in the whole run, 1 or more. `None`: unknown.
        steps_per_epoch: Updates in one epoch: a number, or one number for each epoch; the last one
            repeats. `None`: unknown.
        total_time: Seconds that the run may take, if it is limited by time. Positions of a schedule
            are then ticks of the clock, a million in all, and `total_steps` is their number.
        samples_per_step: Samples in one update, over all devices and accumulated batches.
        tokens_per_step: Tokens in one update, likewise.
        shortened: The reason why the run is shorter than intended, such as `fast_dev_run`.
        unknown_because: The reason why lengths are unknown, and the remedy.
        base_lr: The rate that a schedule multiplies, for schedules with absolute rates. The
            optimizer fills it in, group by group.
        start: Steps of the whole run before this part, which determine where its epochs begin.
        beta2: The decay of the squared gradients, for warm-ups that derive their length from it.
            The optimizer fills it in as well.
        settings: The policies of the run and the limits of its trainer.
        resume: The policy for loading optimizer and scheduler states under a changed config;
            kept in `settings`.
        schedule_clock: The updates that move a schedule: every attempt (`optimizer_steps`), or only
            those that a `GradScaler` did not leave out (`successful_steps`); kept in `settings`.

    Raises:
        ScheduleError: A length is not a positive number; steps and a time are passed together; or
            the clock is unknown.

    >>> RunLength(total_steps=1000, steps_per_epoch=100).steps_in_epochs(3)
    300
    >>> RunLength(steps_per_epoch=(100, 50)).steps_in_epochs(2.5)
    175
    """

    total_steps: int | None = None
    steps_per_epoch: float | tuple[float, ...] | None = None
    total_time: float | None = field(default=None, kw_only=True)
    samples_per_step: float | None = field(default=None, kw_only=True)
    tokens_per_step: float | None = field(default=None, kw_only=True)
    shortened: str | None = field(default=None, kw_only=True)
    unknown_because: str | None = field(default=None, kw_only=True)
    base_lr: float | None = field(default=None, kw_only=True)
    beta2: float | None = field(default=None, kw_only=True)
    start: int = field(default=0, kw_only=True)
    settings: TrainerSettings = field(default=TrainerSettings(), kw_only=True, repr=False)
    resume: InitVar[ResumeConfig | None] = field(default=None, kw_only=True)
    schedule_clock: InitVar[ScheduleClock | None] = field(default=None, kw_only=True)

    def __post_init__(
        self, resume: ResumeConfig | None, schedule_clock: ScheduleClock | None
    ) -> None:
        if isinstance(self.steps_per_epoch, list):
            object.__setattr__(self, "steps_per_epoch", tuple(self.steps_per_epoch))
        if self.steps_per_epoch == ():
            raise ScheduleError("steps_per_epoch must have at least one number")
        per_epoch = self.steps_per_epoch
        for number in per_epoch if isinstance(per_epoch, tuple) else (per_epoch,):
            _check("steps_per_epoch", number, int | float, least=1)
        _check("total_steps", self.total_steps, int, least=1)
        for name in ("total_time", "samples_per_step", "tokens_per_step"):
            _check(name, getattr(self, name), int | float)
        if self.total_time is not None:
            if self.total_steps is not None:
                raise ScheduleError("the run has total_steps and total_time; give one of them")
            object.__setattr__(self, "total_steps", TICKS)
        chosen = {"resume": resume, "schedule_clock": schedule_clock}
        policies = {name: policy for name, policy in chosen.items() if policy is not None}
        object.__setattr__(self, "settings", replace(self.settings, **policies))

    def replace(self, **changes: Any) -> Self:
        """Return the run with some values changed, without reading the others."""
        policies = {name: changes.pop(name) for name in _POLICIES if name in changes}
        if policies:
            changes["settings"] = self.settings.replace(**policies)
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def slice(self, steps: int, start: int = 0) -> Self:
        """Return a part of the run, for a schedule that spans this part alone.

        Args:
            steps: The length of the part; 0 for unknown.
            start: The step of this run at which the part begins.
        """
        changes: dict[str, Any] = {"total_steps": steps or None, "start": self.start + start}
        if self.total_time is not None and self.total_steps:
            changes["total_time"] = self.total_time * steps / self.total_steps
        return self.replace(**changes)

    def by_time(self) -> Self | None:
        """Return the run limited by its time, if a trainer limits it so; else None."""
        return None

    def snapshot(self) -> RunLength:
        """Return the lengths that are known now, as a plain value."""
        return self

    def remedy(self, plain: str, trainer: str) -> str:  # noqa: ARG002 - for a trainer's
        """Return the remedy of a message for the loop of the run.

        Args:
            plain: What a loop without a trainer passes.
            trainer: What a trainer is given.
        """
        return plain

    def differs_from(self, other: RunLength) -> bool:
        """Return True if a length that is known here differs in the other run."""
        own = ((name, vars(self).get(name)) for name in COUNTS)
        return any(number not in (None, getattr(other, name)) for name, number in own)

    def to_dict(self) -> dict[str, Any]:
        """Return the lengths that are known now, as plain data for a checkpoint."""
        # Lengths that a trainer was not asked for are not read.
        known: dict[str, Any] = {name: vars(self).get(name) for name in _LENGTHS}
        if known["steps_per_epoch"].__class__ is tuple:
            known["steps_per_epoch"] = list(known["steps_per_epoch"])
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunLength:
        """Return the run with these lengths; keys of other releases are ignored."""
        ticks = {"total_steps"} if "total_time" in data else set[str]()
        return RunLength(**{name: data[name] for name in data.keys() & {*_LENGTHS} - ticks})

    def steps_in_epochs(self, epochs: float) -> int | None:
        """Return the updates in the first `epochs` epochs, rounded up; `None` if they are unknown.

        The arithmetic is exact: 1.1 epochs of 100 steps are 110 steps, not 111.
        """
        end = self.after_epochs(epochs, 0)
        return None if end is None else math.ceil(end)

    def after_epochs(self, epochs: float, position: Fraction | int) -> Fraction | None:
        """Return the exact position some epochs after another position, or before it if negative.

        Args:
            epochs: The number of epochs.
            position: The number of steps from the beginning, as a whole number or a fraction.
        """
        if self.steps_per_epoch is None:
            return None
        if not isinstance(self.steps_per_epoch, tuple):
            return position + Fraction(repr(epochs)) * Fraction(repr(self.steps_per_epoch))
        lengths = [Fraction(repr(number)) for number in self.steps_per_epoch]
        epoch = _epoch_at(lengths, Fraction(self.start + position))
        return _start_of(lengths, epoch + Fraction(repr(epochs))) - self.start

    def factor_of(self, rate: float, name: str) -> float:
        """Return the factor that makes an absolute rate of the base rate.

        Args:
            rate: The absolute rate, such as the least of a decay.
            name: The field of the rate, for messages.

        Raises:
            RunLengthError: The base rate is unknown.
            ScheduleError: The rate is above the base rate.
        """
        if self.base_lr is None:
            raise RunLengthError(
                f"{name}: {rate:g} is a rate, not a factor, and the base rate is unknown here; "
                "pass RunLength(base_lr=...), or create the scheduler with its optimizer"
            )
        if rate > self.base_lr:
            raise ScheduleError(
                f"{name}: {rate:g} is above the rate that it is the least of, which is "
                f"{self.base_lr:g}; lower the one or raise the other"
            )
        return rate / self.base_lr if rate else 0.0


for _name in _POLICIES:
    # The default of an `InitVar` stays on the class, where readers and `replace` would find it.
    setattr(RunLength, _name, property(attrgetter(f"settings.{_name}")))


def _epoch_at(lengths: list[Fraction], position: Fraction) -> Fraction:
    """Return the epochs up to a position."""
    for epoch, length in enumerate(lengths[:-1]):
        if position < length:
            return epoch + position / length
        position -= length
    return len(lengths) - 1 + position / lengths[-1]


def _start_of(lengths: list[Fraction], epoch: Fraction) -> Fraction:
    """Return the position at which an epoch, or a part of one, begins."""
    last = min(max(0, math.floor(epoch)), len(lengths) - 1)
    return sum(lengths[:last], Fraction()) + (epoch - last) * lengths[last]


def _check(name: str, number: object, kind: type | UnionType, *, least: int = 0) -> None:
    if number is None:
        return
    if isinstance(number, bool) or not isinstance(number, kind):
        whole = "a whole number" if kind is int else "a number"
        raise ScheduleError(f"{name} must be {whole}, not {number!r}")
    if not 0 < number < math.inf:  # type: ignore[operator]
        floor = f"at least {least}" if least else "above 0"
        raise ScheduleError(f"{name} must be {floor} and finite, not {number!r}")


_UNKNOWN = RunLength()


class LazyRunLength(RunLength):
    """A run whose lengths are read from their source on first use.

    A trainer's run derives from this class, and defines a `cached_property` for each length that it
    can read; the others are unknown.

    >>> from functools import cached_property
    >>> class RunOfLoader(LazyRunLength):
    ...     @cached_property
    ...     def steps_per_epoch(self):
    ...         return len(self._loader)
    >>> RunOfLoader(_loader=range(5)).steps_in_epochs(3)
    15

    Args:
        **held: The sources of the lengths, by names that begin with an underscore.
    """

    def __init__(self, **held: Any) -> None:
        # Not the base's `__init__`: it would set, and so read, every length.
        vars(self).update(held)

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._asked.items())})"

    @override
    def __eq__(self, other: object) -> bool:
        return self is other

    @override
    def __hash__(self) -> int:
        return id(self)

    @override
    def snapshot(self) -> RunLength:
        """Return the lengths that were read so far, without their sources."""
        policies = {name: getattr(self.settings, name) for name in _POLICIES}
        return _UNKNOWN.replace(**self._asked, **policies)

    @override
    def remedy(self, plain: str, trainer: str) -> str:
        """Return the remedy for a trainer."""
        return trainer

    @property
    def _asked(self) -> dict[str, Any]:
        own = vars(self).items()
        return {name: value for name, value in own if name[0] != "_" and name != "settings"}


def run_length_of(source: Any) -> RunLength:
    """Return the run length of an object: itself, or the one that its trainer knows.

    Args:
        source: A `RunLength`, or a module or trainer of a package that has an integration.

    Raises:
        ScheduleError: The class of the object is unknown.
    """
    found = known_run_length(source)
    if found is None:
        number = isinstance(source, int) and not isinstance(source, bool)
        example = f"total_steps={source}" if number else "total_steps=..., steps_per_epoch=..."
        raise ScheduleError(
            f"the run length of {type(source).__module__}.{type(source).__qualname__} is unknown; "
            "pass the LightningModule, a Trainer of Lightning or of transformers, or "
            f"RunLength({example})"
        )
    return found


def known_run_length(source: Any) -> RunLength | None:
    """Return the run length of an object; `None` for a package without an integration.

    The integration of a package is `nshtrainer.integrations.<package>` with a function
    `run_length_of`. It applies to subclasses of the package's classes as well.
    """
    if isinstance(source, RunLength):
        return source
    for cls in type(source).__mro__:
        package = cls.__module__.partition(".")[0]
        if package in _integrations():
            module: Any = import_module(f"nshtrainer.integrations.{package}")
            return module.run_length_of(source)
    return None


@cache
def _integrations() -> frozenset[str]:
    from pkgutil import iter_modules

    package = import_module("nshtrainer.integrations")
    return frozenset(module.name for module in iter_modules(package.__path__))
