"""Types of fields that several schedules share, most with a description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field
from typing_extensions import Doc

from nshtrainer.config.named import FIRST
from nshtrainer.duration import AnyDuration, DurationConfig, DurationField
from nshtrainer.types import NonNegative

__all__ = [
    "DecayEnd",
    "DecayShape",
    "Decline",
    "HitEnd",
    "MinFactor",
    "MinRate",
    "WarmupField",
    "WarmupShape",
]

WarmupShape: TypeAlias = Literal["linear", "cosine", "exponential", "1-sqrt"]
DecayShape: TypeAlias = Literal["linear", "cosine", "exponential", "1-sqrt", "1-square"]

Decline: TypeAlias = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
"""A factor of at most 1, in (0, 1]."""

if TYPE_CHECKING:

    class WarmupField:
        """A warm-up field; its constructor argument may have more forms than its value."""

        def __get__(self, instance: object, owner: Any) -> AnyDuration | Literal["untuned"]: ...
        def __set__(
            self, instance: object, value: AnyDuration | str | Mapping[str, Any]
        ) -> None: ...
else:
    WarmupField = DurationConfig | Literal["untuned"]


MinFactor = Annotated[NonNegative, Doc("Factor at the end of the decay."), FIRST]

MinRate = Annotated[
    NonNegative | None, Doc("The same as an absolute rate, instead of `min_factor`."), FIRST
]

DecayEnd = Annotated[
    DurationField,
    Doc("End of the decay, counted from the beginning of the run: warm-up included."),
]

HitEnd = Annotated[
    bool,
    Doc("Reach the end value at the last update before the end, instead of the one after it."),
]
