"""Compare saved data with data of the form that it must have."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any, TypeAlias, cast

__all__ = ["describe_form", "find_misfits"]

Path: TypeAlias = tuple[Any, ...]


def find_misfits(saved: Any, own: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield each part of saved data whose form is not that of the same part in other data.

    A mapping has at least the keys of the other, a tensor has its shape, layout and type of number,
    and a number may stand for one of no dimensions. A tuple has its length; in a list of another
    length each item is as the first. Where the other part is `None` or empty, any form is right.

    >>> list(find_misfits({"step": 3, "lr": "0.1"}, {"step": 1, "lr": 0.5, "betas": [0.9]}))
    [(('lr',), 'is text, not a number'), (('betas',), 'is missing')]

    Args:
        saved: The data to check.
        own: Data of the right form.
        path: Keys that lead to both.
    """
    if own is None:
        return
    was, wanted = describe_form(saved), describe_form(own)
    if was != wanted and not (_is_scalar(saved) and _is_scalar(own)):
        yield path, f"is {was}, not {wanted}"
    elif isinstance(own, Mapping):
        for key, value in cast("Mapping[Any, Any]", own).items():
            if key in saved:
                yield from find_misfits(saved[key], value, (*path, key))
            else:
                yield (*path, key), "is missing"
    elif isinstance(own, (list, tuple)):
        yield from _misfits_in_list(saved, cast("list[Any] | tuple[Any, ...]", own), path)


def _misfits_in_list(
    saved: list[Any], own: list[Any] | tuple[Any, ...], path: Path
) -> Iterator[tuple[Path, str]]:
    if isinstance(own, tuple) and len(saved) != len(own):
        yield path, f"has {len(saved)} items, not {len(own)}"
        return
    items = own if len(saved) == len(own) else own[:1] * len(saved)
    for place, (value, item) in enumerate(zip(saved, items, strict=False)):
        yield from find_misfits(value, item, (*path, place))


def describe_form(value: Any) -> str:
    """Return what kind of value it is, in words that are the same for values of one form."""
    if _is_tensor(value):
        return "a nested tensor" if value.is_nested else f"{_type_of(value)} {tuple(value.shape)}"
    if _is_number(value):
        return "a number"
    kinds: list[tuple[Any, str]] = [
        (type(None), "none"),
        (bool, "true or false"),
        (str, "text"),
        (Mapping, "a mapping"),
        ((list, tuple), "a list"),
    ]
    return next((text for kind, text in kinds if isinstance(value, kind)), type(value).__name__)


def _type_of(tensor: Any) -> str:
    """Return the type of number, and what else tells how a tensor lies in memory."""
    number = "integer"
    if tensor.is_floating_point() or tensor.is_complex():
        number = "complex" if tensor.is_complex() else "float"
    elif str(tensor.dtype) == "torch.bool":
        number = "bool"
    # A tensor of a class of its own; a sharded one is compared as a whole.
    odd = hasattr(tensor, "__tensor_flatten__") and not hasattr(tensor, "to_local")
    layout = str(tensor.layout).removeprefix("torch.")
    words = {type(tensor).__name__: odd, layout: layout != "strided", number: True}
    return " ".join([*(word for word, is_so in words.items() if is_so), "tensor"])


def _is_scalar(value: Any) -> bool:
    """Return True for a number, and for a real tensor of no dimensions."""
    if not _is_tensor(value):
        return _is_number(value)
    return describe_form(value) in {"float tensor ()", "integer tensor ()"}


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, (bool, complex))


def _is_tensor(value: Any) -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
