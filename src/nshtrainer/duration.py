"""How long a phase of a schedule lasts, in the unit that the user thinks in.

`StepsConfig(value=1000)`, `{"name": "steps", "value": 1000}` and `"1000 steps"` are the same thing.
A step is one update of the optimizer, whatever the accumulation and the number of devices.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from nshtrainer.exceptions import RunLengthError
from nshtrainer.tagged import Tagged
from nshtrainer.types import Fraction, NonNegative, NonNegativeInt

if TYPE_CHECKING:
    from nshtrainer.lr_scheduler.run_length import RunLength

__all__ = ["DurationConfig", "DurationField", "EpochsConfig", "FractionConfig", "StepsConfig"]


class StepsConfig(Tagged):
    """A number of optimizer updates.

    >>> str(StepsConfig(value=1000))
    '1000 steps'
    """

    name: Literal["steps"] = "steps"

    value: NonNegativeInt
    """Updates of the optimizer, 0 or more."""

    def resolve(self, run: RunLength, field: str = "duration") -> int:  # noqa: ARG002 - see below
        """The number of steps; unlike the other durations, it asks nothing of the run."""
        return self.value

    def __str__(self) -> str:
        return f"{self.value} steps"


class EpochsConfig(Tagged):
    """A number of passes over the training data, fractions included.

    It becomes steps by exact decimal arithmetic, rounded up: 1.1 epochs of 100 steps are 110 steps.

    >>> from nshtrainer import RunLength
    >>> EpochsConfig(value=1.1).resolve(RunLength(steps_per_epoch=100))
    110
    """

    name: Literal["epochs"] = "epochs"

    value: NonNegative
    """Epochs, 0 or more; half an epoch is 0.5."""

    def resolve(self, run: RunLength, field: str = "duration") -> int:
        """The number of steps in this many epochs of `run`.

        Raises:
            RunLengthError: The run does not know its steps per epoch; the message names `field`.
        """
        steps = 0 if self.value == 0 else run.steps_in_epochs(self.value)
        if steps is None:
            why = (
                "the number of steps per epoch is unknown; give the duration in steps, set "
                "limit_train_batches to a number of batches, or pass RunLength(steps_per_epoch=...)"
            )
            raise _unknown(f"{field}: {self}", run, why)
        return steps

    def __str__(self) -> str:
        return f"{repr(self.value).removesuffix('.0')} epochs"


class FractionConfig(Tagged):
    """A part of the whole run: 0.1, written `"10%"`, is its first tenth.

    >>> from nshtrainer import RunLength
    >>> FractionConfig(value=0.1).resolve(RunLength(total_steps=5000))
    500
    """

    name: Literal["fraction"] = "fraction"

    value: Fraction
    """Share of the run's total steps, from 0 to 1."""

    def resolve(self, run: RunLength, field: str = "duration") -> int:
        """The number of steps in this share of `run`, rounded up.

        Raises:
            RunLengthError: The run does not know its total; the message names `field`.
        """
        if run.total_steps is None:
            why = (
                "the length of the run is unknown; set max_steps, or max_epochs (with "
                "limit_train_batches where the data has no length), give the duration in steps, "
                "take a schedule without an end, or pass RunLength(total_steps=...)"
            )
            raise _unknown(f"{field}: {self} of the run", run, why)
        return math.ceil(Decimal(repr(self.value)) * run.total_steps)

    def __str__(self) -> str:
        return f"{(Decimal(repr(self.value)) * 100).normalize():f}%"


def _unknown(what: str, run: RunLength, why: str) -> RunLengthError:
    return RunLengthError(f"{what} cannot become steps, because {run.unknown_because or why}")


_UNITS = {"step": "steps", "steps": "steps", "epoch": "epochs", "epochs": "epochs", "%": "fraction"}
_MULTIPLES = {"": 0, "k": 3, "M": 6, "B": 9}
_PATTERN = (
    r"^\s*([0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)\s*([kMB]?)\s*(steps?|epochs?|%)\s*$"
)
_WAYS = "write '1000 steps', '5 epochs' or '10%'"


def _read(value: Any) -> Any:
    """Text becomes a mapping; a bare number is refused; anything else is passed on."""
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        steps = f"'{value} steps' or " if isinstance(value, int) else ""
        raise _problem(f"a bare number has no unit; write {steps}'{value} epochs'")
    return value


def _from_text(text: str) -> dict[str, Any]:
    match = re.match(_PATTERN, text)
    if match is None:
        raise _problem(f"{text[:80]!r} is no duration; {_WAYS}")
    digits, multiple, unit = match.groups()
    unit = _UNITS[unit]
    number = Decimal(digits.replace("_", "")).scaleb(_MULTIPLES[multiple])
    if unit == "steps":
        if number != number.to_integral_value():
            raise _problem(f"{text!r}: steps are whole; write a whole number, or use epochs")
        return {"name": unit, "value": int(number)}
    return {"name": unit, "value": float(number / 100 if unit == "fraction" else number)}


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError("duration", "{text}", {"text": text})


AnyDuration: TypeAlias = StepsConfig | EpochsConfig | FractionConfig

_Text = Annotated[str, Field(pattern=_PATTERN, examples=["1000 steps", "5 epochs", "10%"])]

DurationConfig: TypeAlias = Annotated[
    Annotated[AnyDuration, Field(discriminator="name")],
    BeforeValidator(_read, json_schema_input_type=AnyDuration | _Text),
]
"""The type of a field that holds a duration: steps, epochs, or a fraction of the run."""

if TYPE_CHECKING:

    class DurationField:
        """What a constructor takes for a duration is wider than what the field then holds."""

        def __get__(self, instance: object, owner: Any) -> AnyDuration: ...
        def __set__(
            self, instance: object, value: AnyDuration | str | Mapping[str, Any]
        ) -> None: ...
else:
    DurationField = DurationConfig
