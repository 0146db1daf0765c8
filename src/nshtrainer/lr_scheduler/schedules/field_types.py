"""Types of fields that several schedules share, most with a description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from nshtrainer.config.named import FIRST
from nshtrainer.duration import AnyDuration, DurationConfig
from nshtrainer.types import NonNegative

__all__ = [
    "DecayShape",
    "Decline",
    "MinFactor",
    "MinRate",
    "WarmupField",
    "WarmupShape",
]

WarmupShape: TypeAlias = Literal["linear", "cosine", "exponential", "1-sqrt"]
DecayShape: TypeAlias = Literal["linear", "cosine", "exponential", "1-sqrt", "1-square"]

Decline: TypeAlias = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
"""A factor of at most 1, in (0, 1]."""


def _explained(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Validate the word; an error says what it means, after those of a duration."""
    try:
        return handler(value)
    except ValidationError:
        text = "must be 'untuned' for 2 / (1 - beta2) steps"
        raise PydanticCustomError("untuned", text) from None


if TYPE_CHECKING:

    class WarmupField:
        """A warm-up field; its constructor argument may have more forms than its value."""

        def __get__(self, instance: object, owner: Any) -> AnyDuration | Literal["untuned"]: ...
        def __set__(
            self, instance: object, value: AnyDuration | str | Mapping[str, Any]
        ) -> None: ...
else:
    WarmupField = DurationConfig | Annotated[Literal["untuned"], WrapValidator(_explained)]


MinFactor = Annotated[NonNegative, FIRST]

MinRate = Annotated[NonNegative | None, FIRST]
