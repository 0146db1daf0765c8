"""Check the options of a saved parameter group against the fields of the optimizer's config."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from nshtrainer.types import NonNegative

__all__ = ["find_out_of_range"]

_Found: TypeAlias = Iterator[tuple[str, str]]

_PREFIX = "initial_"
"""Prefix of the keys under which schedulers write base values."""


def find_out_of_range(
    cls: type[BaseModel] | None, saved: Mapping[Any, Any], own: Mapping[str, Any]
) -> _Found:
    """Yield each option and base value of a group that the config would refuse, with the reason.

    Only numbers, tuples of numbers and `None` are checked. An option that equals the optimizer's
    own is not checked, and a schedule may have set an option to 0.

    Args:
        cls: The class of the config; `None` if there is none, then only rates have a range.
        saved: The options of the saved group, of the right kinds.
        own: The options of the optimizer's group.
    """
    fields = () if cls is None else cls.model_fields
    texts = {key: value for key, value in saved.items() if isinstance(key, str)}
    scheduled = {"lr", *(key.removeprefix(_PREFIX).split(".")[0] for key in texts)}
    for key, value in texts.items():
        if key.startswith(_PREFIX) and key not in fields:
            yield from _find_base(cls, key, float(value), saved)
            continue
        number = _plain(value)
        # A value that the optimizer has now was accepted when it was built.
        is_same = key in own and _plain(own[key]) == number
        if _is_numeric(number) and not is_same and not (number == 0 and key in scheduled):
            yield from ((key, f"is {number}: {text}") for text in _problems(cls, key, number))


def _find_base(
    cls: type[BaseModel] | None, key: str, base: float, saved: Mapping[str, Any]
) -> _Found:
    """Yield the problem of a base value: it is not finite, or out of the range of its option."""
    option, _, item = key.removeprefix(_PREFIX).partition(".")
    value: Any = base
    if item:
        # The range is one of the whole tuple, so the item is put into the saved tuple.
        present = _plain(saved.get(option))
        values = cast("tuple[Any, ...]", present) if isinstance(present, tuple) else ()
        value = tuple(base if str(place) == item else each for place, each in enumerate(values))
    if not math.isfinite(base):
        yield key, "is not finite"
    elif base:
        yield from ((key, f"is {base}: {text}") for text in _problems(cls, option, value))


def _problems(cls: type[BaseModel] | None, option: str, value: Any) -> Iterator[str]:
    adapter = _adapter(cls, option)
    try:
        if adapter is not None:
            adapter.validate_python(value)
    except ValidationError as error:
        text = error.errors(include_url=False)[0]["msg"]
        yield f"{text[0].lower()}{text[1:]}"


@cache
def _adapter(cls: type[BaseModel] | None, option: str) -> TypeAdapter[Any] | None:
    """Return the validator of an option, the same as for the field of the config."""
    if cls is None or option not in cls.model_fields:
        return TypeAdapter(NonNegative) if option == "lr" else None
    return TypeAdapter(cls.model_fields[option].rebuild_annotation())


def _plain(value: Any) -> Any:
    """Return a tensor with one element as a number, and a list as a tuple."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, cast("Sequence[Any]", value)))
    return value.item() if getattr(value, "shape", None) in {(), (1,)} else value


def _is_numeric(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_numeric, cast("tuple[Any, ...]", value)))
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
