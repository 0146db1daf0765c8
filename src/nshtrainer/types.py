"""Number types with a range, and choices: validated, and in the JSON Schema.

No number may be NaN or infinite, a boolean or a string. No number is above 1e15 or, if it may be
negative, below -1e15, except for whole numbers, which have 64 bits: much larger ones do not convert
to a float.

>>> from nshtrainer.config import Config
>>> class Noise(Config):
...     scale: NonNegative = 0.1
>>> Noise(scale=0)
Noise(scale=0.0)
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError
from typing_extensions import override

__all__ = [
    "Beta",
    "Finite",
    "Fraction",
    "FrozenDict",
    "Integer",
    "Label",
    "NonFinite",
    "NonNegative",
    "NonNegativeInt",
    "OrUnlimited",
    "Positive",
    "PositiveInt",
    "ScheduleClock",
    "TimeSpan",
]

GREATEST = 1e15
"""The largest number: products of larger ones with others would overflow a float of 32 bits."""

NonNegative = Annotated[float, Field(ge=0, le=GREATEST, allow_inf_nan=False, strict=True)]
"""A finite number >= 0."""

Positive = Annotated[float, Field(gt=0, le=GREATEST, allow_inf_nan=False, strict=True)]
"""A finite number > 0."""

Beta = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)]
"""The decay of a running average, in [0, 1)."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
"""A share of a whole, in [0, 1]."""

Finite = Annotated[float, Field(ge=-GREATEST, le=GREATEST, allow_inf_nan=False, strict=True)]
"""A finite number."""

_LARGEST = 2**63 - 1

Integer = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST, strict=True)]
"""A whole number."""

NonNegativeInt = Annotated[int, Field(ge=0, le=_LARGEST, strict=True)]
"""A whole number >= 0."""

PositiveInt = Annotated[int, Field(gt=0, le=_LARGEST, strict=True)]
"""A whole number > 0."""

OrUnlimited = Annotated[int, Field(ge=-1, le=_LARGEST, strict=True)]
"""A whole number >= 0, or -1 for no limit."""

NonFinite: TypeAlias = Literal["stop", "skip", "ignore"]
"""Reaction to NaN or Inf in a loss or a gradient: the run ends before the update, the update
is skipped, or it is made."""

ScheduleClock: TypeAlias = Literal["optimizer_steps", "successful_steps"]
"""The updates that move a schedule: all attempts, or the ones that no `GradScaler` skipped."""


def _shows(name: str) -> str:
    if not name.isprintable():
        raise ValueError(f"{name!r} has control characters; write a name that can be shown")
    return name


Label: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(_shows)]
"""A name for tables, pictures and loggers: text without control characters."""

_TIME_SPAN = r"^\d+:\d{1,2}:\d{1,2}:\d{1,2}$"
_TIME_ADVICE = "days:hours:minutes:seconds, such as 00:12:30:00"


def _time_span(text: str) -> str:
    if re.match(_TIME_SPAN, text) is None:
        raise PydanticCustomError("time_span", f"Input should be {_TIME_ADVICE}")
    return text


TimeSpan: TypeAlias = Annotated[
    str,
    AfterValidator(_time_span),
    Field(json_schema_extra={"pattern": _TIME_SPAN, "patternErrorMessage": _TIME_ADVICE}),
]
"""Days, hours, minutes and seconds, such as `00:12:30:00`."""

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A dict that cannot be changed, so that a config that holds one hashes.

    >>> FrozenDict({"lr": 0.1})["lr"]
    0.1
    """

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a config is frozen: make a new one with replace()")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    @override
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    @override
    def __reduce__(self) -> Any:
        return type(self), (dict(self),)
