"""Training-run length: total steps, steps per epoch, samples per step."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cache
from importlib import import_module
from types import UnionType
from typing import Any

from typing_extensions import Self, Unpack, override

from nshtrainer.exceptions import RunLengthError, ScheduleError
from nshtrainer.run_context import RunContext, RunOptions

__all__ = ["LazyRunLength", "RunLength", "known_run_length", "run_length_of"]

COUNTS = ("total_steps", "steps_per_epoch", "samples_per_step", "tokens_per_step")
"""Lengths that a trainer counts, and may count again."""

_LENGTHS = (*COUNTS, "total_time")
_SAVED = (*_LENGTHS, "shortened")
_CONTEXT = frozenset(each.name for each in fields(RunContext))

TICKS = 1_000_000
"""The number of positions of a schedule in a run that is limited by time."""


@dataclass(frozen=True, init=False, repr=False)
class RunLength:
    """The length of a training run, as far as it is known.

    A plain loop passes the lengths, or its data loader to `RunLength.of`. Those of a trainer are
    read when a schedule needs them: a schedule in steps never touches the data loader.

    Args:
        total_steps: Updates of the optimizer in the whole run, 1 or more. `None`: unknown.
        steps_per_epoch: Updates in one epoch: a number, or one number for each epoch; the last one
            repeats. `None`: unknown.
        total_time: Seconds that the run may take, if it is limited by time. Positions of a schedule
            are then ticks of the clock, a million in all, and `total_steps` is their number.
        samples_per_step: Samples in one update, over all devices and accumulated batches.
        tokens_per_step: Tokens in one update, likewise.
        **options: What a schedule is resolved with beside the lengths: fields of `RunContext`, such
            as `resume`, `schedule_clock`, and `base_lr` for a curve without an optimizer.

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
    context: RunContext = field(default=RunContext(), kw_only=True)

    def __init__(
        self,
        total_steps: int | None = None,
        steps_per_epoch: float | tuple[float, ...] | None = None,
        *,
        total_time: float | None = None,
        samples_per_step: float | None = None,
        tokens_per_step: float | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        is_listed = isinstance(steps_per_epoch, (list, tuple))
        epochs: Any = tuple(steps_per_epoch) if is_listed else (steps_per_epoch,)
        if not epochs:
            raise ScheduleError("steps_per_epoch must have at least one number")
        for number in epochs:
            _check("steps_per_epoch", number, int | float, least=1)
        _check("total_steps", total_steps, int, least=1)
        lengths = {
            "total_time": total_time,
            "samples_per_step": samples_per_step,
            "tokens_per_step": tokens_per_step,
        }
        for name, number in lengths.items():
            _check(name, number, int | float)
        if total_time is not None:
            if total_steps is not None:
                raise ScheduleError("the run has total_steps and total_time; give one of them")
            total_steps = TICKS
        for name in options.keys() - RunOptions.__annotations__:
            raise TypeError(f"RunLength got an unexpected keyword argument {name!r}")
        given: dict[str, Any] = {name: v for name, v in options.items() if v is not None}
        context = given.pop("context", None)
        made = RunContext(**given)  # in any case, because this checks the values
        context = made if context is None else context.replace(**given)
        per_epoch = epochs if is_listed else steps_per_epoch
        vars(self).update(
            lengths, total_steps=total_steps, steps_per_epoch=per_epoch, context=context
        )

    @classmethod
    def of(
        cls,
        loader: Any,
        *,
        epochs: int | None = None,
        accumulate: int = 1,
        **options: Unpack[RunOptions],
    ) -> RunLength:
        """Return the length of a plain loop over a data loader.

        The last batches of an epoch make an update of their own if they are fewer than
        `accumulate`, as under Lightning.

        Args:
            loader: The `DataLoader`, or anything else with a length in batches. Samples per update
                are counted if it has a `batch_size`, over the processes of a `DistributedSampler`.
            epochs: The number of epochs. `None`: unknown.
            accumulate: Batches in one update.
            **options: As for `RunLength`.

        Raises:
            ScheduleError: The loader has no length or no batches, or a number is not positive.

        >>> RunLength.of(range(10), epochs=3, accumulate=4)
        RunLength(total_steps=9, steps_per_epoch=3)
        """
        _check("epochs", epochs, int, least=1)
        _check("accumulate", accumulate, int, least=1)
        try:
            batches = len(loader)
        except TypeError:
            raise ScheduleError(
                f"{type(loader).__name__}: has no length, so updates cannot be counted; pass "
                "RunLength(total_steps=...)"
            ) from None
        if batches == 0:
            raise ScheduleError(
                f"{type(loader).__name__}: has no batches; check the data, and drop_last for fewer "
                "samples than a batch"
            )
        per_epoch, samples = math.ceil(batches / accumulate), samples_per_batch(loader)
        shares = getattr(getattr(loader, "sampler", None), "num_replicas", 1)
        return RunLength(
            None if epochs is None else epochs * per_epoch,
            per_epoch,
            samples_per_step=samples and samples * accumulate * shares,
            **options,
        )

    @property
    def shortened(self) -> str | None:
        """The reason why the run is shorter than intended, such as `fast_dev_run`."""
        return self.context.shortened

    @property
    def unknown_because(self) -> str | None:
        """The reason why lengths are unknown, and the remedy."""
        return self.context.unknown_because

    def __repr__(self) -> str:
        # A trainer's run shows what was read; ticks are no length of their own.
        hidden = () if vars(self).get("total_time") is None else ("total_steps",)
        known = {n: vars(self).get(n) for n in _LENGTHS if n not in hidden}
        shown = ", ".join(f"{name}={v!r}" for name, v in known.items() if v is not None)
        return f"{type(self).__name__}({shown})"

    def replace(self, **changes: Any) -> Self:
        """Return the run with some values changed, without reading the others."""
        of_context = {name: changes.pop(name) for name in changes.keys() & _CONTEXT}
        other = copy.copy(self)
        vars(other).update(changes)
        if of_context:
            vars(other)["context"] = other.context.replace(**of_context)
        return other

    def slice(self, steps: int, start: int = 0) -> Self:
        """Return a part of the run, for a schedule that spans this part alone.

        Args:
            steps: The length of the part; 0 for unknown.
            start: The step of this run at which the part begins.
        """
        changes: dict[str, Any] = {
            "total_steps": steps or None,
            "start": self.context.start + start,
        }
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
        held = {**vars(self.context), **vars(self)}
        known: dict[str, Any] = {name: held.get(name) for name in _SAVED}
        if known["steps_per_epoch"].__class__ is tuple:
            known["steps_per_epoch"] = list(known["steps_per_epoch"])
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunLength:
        """Return the run with these lengths; keys of other releases are ignored."""
        ticks = {"total_steps"} if "total_time" in data else set[str]()
        return RunLength(**{name: data[name] for name in data.keys() & {*_SAVED} - ticks})

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
        epoch = _epoch_at(lengths, Fraction(self.context.start + position))
        epoch += Fraction(repr(epochs))
        last = min(max(0, math.floor(epoch)), len(lengths) - 1)
        return sum(lengths[:last], Fraction()) + (epoch - last) * lengths[last] - self.context.start

    def factor_of(self, rate: float, name: str) -> float:
        """Return the factor that makes an absolute rate of the base rate.

        Args:
            rate: The absolute rate, such as the least of a decay.
            name: The field of the rate, for messages.

        Raises:
            RunLengthError: The base rate is unknown.
            ScheduleError: The rate is above the base rate.
        """
        base = self.context.base_lr
        if base is None:
            raise RunLengthError(
                f"{name}: {rate:g} is a rate, not a factor, and the base rate is unknown here; "
                "pass RunLength(base_lr=...), or create the scheduler with its optimizer"
            )
        if rate > base:
            raise ScheduleError(
                f"{name}: {rate:g} is above the rate that it is the least of, which is "
                f"{base:g}; lower the one or raise the other"
            )
        return rate / base if rate else 0.0


def samples_per_batch(loader: Any) -> int | None:
    """Return the batch size of a data loader, or of its sampler; `None` if it has none."""
    size = getattr(loader, "batch_size", None)
    return (
        getattr(getattr(loader, "batch_sampler", None), "batch_size", None)
        if size is None
        else size
    )


def _epoch_at(lengths: list[Fraction], position: Fraction) -> Fraction:
    """Return the epochs up to a position."""
    for epoch, length in enumerate(lengths[:-1]):
        if position < length:
            return epoch + position / length
        position -= length
    return len(lengths) - 1 + position / lengths[-1]


def _check(name: str, number: object, kind: type | UnionType, *, least: int = 0) -> None:
    if number is None:
        return
    if isinstance(number, bool) or not isinstance(number, kind):
        whole = "a whole number" if kind is int else "a number"
        raise ScheduleError(f"{name} must be {whole}, not {number!r}")
    if not 0 < number < math.inf:  # type: ignore[operator]
        floor = f"at least {least}" if least else "above 0"
        raise ScheduleError(f"{name} must be {floor} and finite, not {number!r}")


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
    def __eq__(self, other: object) -> bool:
        return self is other

    @override
    def __hash__(self) -> int:
        return id(self)

    @override
    def snapshot(self) -> RunLength:
        """Return the lengths that were read so far, without their sources."""
        asked = {name: value for name, value in vars(self).items() if name[0] != "_"}
        plain = RunLength.__new__(RunLength)  # nothing is read or checked again
        return plain.replace(**{**asked, "context": self.context.snapshot()})

    @override
    def remedy(self, plain: str, trainer: str) -> str:
        """Return the remedy for a trainer."""
        return trainer


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
