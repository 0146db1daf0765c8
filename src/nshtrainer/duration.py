"""Durations of the phases of a schedule, in steps, epochs, shares, samples, tokens or time.

`StepsConfig(value=1000)`, `{"name": "steps", "value": 1000}` and `"1000 steps"` are equivalent. A
step is one update of the optimizer, whatever the accumulation and the number of devices.

In a run that is limited by time, a position is a tick of the clock: shares of the run and times
become ticks, and counts of updates are refused, since the time of an update is unknown.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction as Exact
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from nshtrainer.config.messages import truncate
from nshtrainer.config.named import NamedConfig
from nshtrainer.exceptions import RunLengthError
from nshtrainer.types import Fraction, NonNegative, NonNegativeInt

if TYPE_CHECKING:
    from nshtrainer.run_length import RunLength

__all__ = [
    "DurationConfig",
    "DurationField",
    "EpochsConfig",
    "FractionConfig",
    "SamplesConfig",
    "StepsConfig",
    "TimeConfig",
    "TokensConfig",
]


_Length = Annotated[NonNegative, Field(le=1e12)]
"""An upper limit far beyond any run, up to which steps can be counted exactly."""

Position: TypeAlias = Exact | int
"""An exact number of steps from the beginning of a run; a phase starts at the next whole step."""


class _DurationConfig(NamedConfig):
    """A duration of any unit.

    Consecutive durations are added up exactly, and only the sums are rounded: 30% and 70% of 101
    steps end at step 101, and 1 epoch is as long as the epoch at that position.
    """

    __family__: ClassVar[str] = "DurationConfig"
    """The type of a field that holds any of them, in help."""

    @abstractmethod
    def exact(self, run: RunLength, field: str = "duration") -> Position:
        """Return the exact number of steps at the beginning of a run."""

    def resolve(self, run: RunLength, field: str = "duration") -> int:
        """Return the number of steps at the beginning of a run, rounded up.

        Raises:
            RunLengthError: The run lacks a length that the unit needs; the message names `field`.
        """
        return math.ceil(self.exact(run, field))

    def after(self, run: RunLength, field: str, begin: Position) -> Position:
        """Return the end of the duration if it begins at a position."""
        return begin + self.exact(run, field)

    def before(self, run: RunLength, field: str, end: Position) -> Position:
        """Return the beginning of the duration if it ends at a position."""
        return end - self.exact(run, field)


class StepsConfig(_DurationConfig):
    """A number of optimizer updates.

    >>> str(StepsConfig(value=1000))
    '1000 steps'
    """

    name: Literal["steps"] = "steps"

    value: NonNegativeInt
    """Updates of the optimizer, 0 or more."""

    def exact(self, run: RunLength, field: str = "duration") -> Position:
        """Return the number of steps, which needs no length of the run.

        Raises:
            RunLengthError: The length of the run is a time; the message names `field`.
        """
        _refuse_in_a_timed_run(self, run, field)
        return self.value

    def __str__(self) -> str:
        return f"{self.value} steps"


class EpochsConfig(_DurationConfig):
    """A number of passes over the training data, fractions included.

    Epochs become steps by exact decimal arithmetic, rounded up: 1.1 epochs of 100 steps are 110
    steps.

    >>> from nshtrainer import RunLength
    >>> EpochsConfig(value=1.1).resolve(RunLength(steps_per_epoch=100))
    110
    """

    name: Literal["epochs"] = "epochs"

    value: _Length
    """Epochs, 0 or more; half an epoch is 0.5."""

    def exact(self, run: RunLength, field: str = "duration") -> Position:
        """Return the number of steps in the first epochs of `run`.

        Raises:
            RunLengthError: The steps per epoch are unknown; the message names `field`.
        """
        return self._moved(run, field, 0, 1)

    def after(self, run: RunLength, field: str, begin: Position) -> Position:
        """Return the end of the epochs after a position, which may differ in length."""
        return self._moved(run, field, begin, 1)

    def before(self, run: RunLength, field: str, end: Position) -> Position:
        """Return the beginning of the epochs before a position."""
        return self._moved(run, field, end, -1)

    def _moved(self, run: RunLength, field: str, position: Position, sign: int) -> Position:
        _refuse_in_a_timed_run(self, run, field)
        if self.value == 0:
            return position
        moved = run.after_epochs(sign * self.value, position)
        if moved is None:
            remedy = run.remedy(
                plain="pass RunLength(steps_per_epoch=...), or give the duration in steps",
                trainer="give the duration in steps, set limit_train_batches to a number of "
                "batches, or pass RunLength(steps_per_epoch=...)",
            )
            why = f"the number of steps per epoch is unknown; {remedy}"
            raise _unknown(f"{field}: {self}", run, why)
        return moved

    def __str__(self) -> str:
        return f"{repr(self.value).removesuffix('.0')} epochs"


class FractionConfig(_DurationConfig):
    """A part of the whole run: 0.1, written `"10%"`, is its first tenth.

    >>> from nshtrainer import RunLength
    >>> FractionConfig(value=0.1).resolve(RunLength(total_steps=5000))
    500
    """

    name: Literal["fraction"] = "fraction"

    value: Fraction
    """Share of the run's total steps, from 0 to 1."""

    def exact(self, run: RunLength, field: str = "duration") -> Position:
        """Return the number of steps in this share of `run`.

        Raises:
            RunLengthError: The total number of steps is unknown; the message names `field`.
        """
        if run.total_steps is None:
            remedy = run.remedy(
                plain="pass RunLength(total_steps=...), give the duration in steps, or take a "
                "schedule without an end",
                trainer="set max_steps, or max_epochs (with limit_train_batches where the data "
                "has no length), give the duration in steps, take a schedule without an end, or "
                "pass RunLength(total_steps=...)",
            )
            why = f"the length of the run is unknown; {remedy}"
            raise _unknown(f"{field}: {self} of the run", run, why)
        return Exact(repr(self.value)) * run.total_steps

    def __str__(self) -> str:
        return f"{(Decimal(repr(self.value)) * 100).normalize():f}%"


class _ShownConfig(_DurationConfig):
    """A number of samples or tokens that the model is trained on, over all devices."""

    per_step: ClassVar[str]

    value: NonNegativeInt
    """The number of items, 0 or more."""

    def exact(self, run: RunLength, field: str = "duration") -> Position:
        """Return the number of updates that use this many items.

        Raises:
            RunLengthError: The number of items in a step is unknown; the message names `field`.
        """
        _refuse_in_a_timed_run(self, run, field)
        if self.value == 0:
            return 0
        per_step: float | None = getattr(run, self.per_step)
        if per_step is None:
            passed = f"pass RunLength({self.per_step}=...)"
            remedy = run.remedy(
                plain=f"{passed}, or give the duration in steps",
                trainer=f"give the duration in steps, {passed}, or give the module's "
                f"hyperparameters a field {self.per_step}",
            )
            why = f"{self.per_step} is unknown; {remedy}"
            raise _unknown(f"{field}: {self}", run, why)
        return self.value / Exact(repr(per_step))

    def __str__(self) -> str:
        return f"{self.value} {self.name}"


class SamplesConfig(_ShownConfig):
    """A number of samples that the model is trained on, over all devices.

    >>> from nshtrainer import RunLength
    >>> SamplesConfig(value=10_000).resolve(RunLength(samples_per_step=256))
    40
    """

    per_step = "samples_per_step"

    name: Literal["samples"] = "samples"


class TokensConfig(_ShownConfig):
    """A number of tokens that the model is trained on, over all devices.

    >>> from nshtrainer import RunLength
    >>> TokensConfig(value=3_000_000_000).resolve(RunLength(tokens_per_step=500_000))
    6000
    """

    per_step = "tokens_per_step"

    name: Literal["tokens"] = "tokens"


class TimeConfig(_DurationConfig):
    """A time on the clock, for a run that is limited by time: `"90 minutes"`, `"2.5 hours"`.

    >>> from nshtrainer import RunLength
    >>> TimeConfig(value=900).resolve(RunLength(total_time=3600))
    250000
    """

    name: Literal["time"] = "time"

    value: _Length
    """Seconds, 0 or more."""

    def exact(self, run: RunLength, field: str = "duration") -> Position:
        """Return the number of ticks in this time.

        Raises:
            RunLengthError: The run is not limited by time; the message names `field`.
        """
        if run.total_time is None:
            remedy = run.remedy(
                plain="pass RunLength(total_time=...), or give the duration in steps or as a "
                "share of the run",
                trainer="give the duration in steps or as a share of the run, limit the run by "
                "max_time alone, or pass RunLength(total_time=...)",
            )
            why = f"the length of the run is not a time; {remedy}"
            raise _unknown(f"{field}: {self}", run, why)
        share = Exact(repr(self.value)) / Exact(repr(float(run.total_time)))
        return share * (run.total_steps or 0)

    def __str__(self) -> str:
        return f"{repr(self.value).removesuffix('.0')} seconds"


def _refuse_in_a_timed_run(duration: Any, run: RunLength, field: str) -> None:
    if run.total_time is not None and duration.value:
        raise RunLengthError(
            f"{field}: {duration} cannot become a time, and the length of the run is one "
            f"({run.total_time:g} seconds); write a share such as '10%' or a time such as "
            "'5 minutes' in the whole schedule"
        )


def _unknown(what: str, run: RunLength, why: str) -> RunLengthError:
    return RunLengthError(f"{what} cannot become steps, because {run.unknown_because or why}")


_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_WHOLE = ("steps", "samples", "tokens")
_MULTIPLES = {None: 0, "k": 3, "M": 6, "B": 9}
_PATTERN = (
    r"^\s*([0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)\s*(?:([kMB])\s*)?"
    r"(%|(?:step|epoch|sample|token|second|minute|hour|day)s?)\s*$"
)
_WAYS = "write '1000 steps', '5 epochs', '10%', '1M samples', '3B tokens' or '30 minutes'"


def _read(value: Any) -> Any:
    """Turn text into a mapping, refuse a bare number, and return any other value."""
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise _without_unit(str(value))
    return value


def _from_text(text: str) -> dict[str, Any]:
    match = re.match(_PATTERN, text)
    if match is None and re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text):
        raise _without_unit(text)
    if match is None:
        raise _problem(f"{truncate(text)!r} is no duration; {_WAYS}")
    digits, multiple, unit = match.groups()
    number = Decimal(digits.replace("_", "")).scaleb(_MULTIPLES[multiple])
    if unit == "%":
        return {"name": "fraction", "value": float(number / 100)}
    unit = unit.removesuffix("s")
    if unit in _SECONDS:
        return {"name": "time", "value": float(number * _SECONDS[unit])}
    name = f"{unit}s"
    if name not in _WHOLE:
        return {"name": name, "value": float(number)}
    if number != number.to_integral_value():
        raise _problem(f"{truncate(text)!r}: {name} are whole; write a whole number")
    return {"name": name, "value": int(number)}


def _without_unit(number: str) -> PydanticCustomError:
    steps = f"'{number} steps' or " if number.lstrip("-").isdecimal() else ""
    return _problem(f"a bare number has no unit; write {steps}'{number} epochs'")


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError("duration", "{text}", {"text": text})


AnyDuration: TypeAlias = (
    StepsConfig | EpochsConfig | FractionConfig | SamplesConfig | TokensConfig | TimeConfig
)

_EXAMPLES = ["1000 steps", "5 epochs", "10%", "1M samples", "3B tokens", "30 minutes"]

_ADVICE = "write a number and a unit, such as '1000 steps', '5 epochs' or '10%'"

_Text = Annotated[
    str,
    # What an editor shows in place of the pattern.
    Field(pattern=_PATTERN, examples=_EXAMPLES, json_schema_extra={"patternErrorMessage": _ADVICE}),
]

_ByName: TypeAlias = Annotated[AnyDuration, Field(discriminator="name")]

DurationConfig: TypeAlias = Annotated[
    _ByName,
    BeforeValidator(_read, json_schema_input_type=_ByName | _Text),
]
"""The type of a field that holds a duration, in any unit."""

if TYPE_CHECKING:

    class DurationField:
        """A duration field, whose constructor argument may have more forms than its value."""

        def __get__(self, instance: object, owner: Any) -> AnyDuration: ...
        def __set__(
            self, instance: object, value: AnyDuration | str | Mapping[str, Any]
        ) -> None: ...
else:
    DurationField = DurationConfig
