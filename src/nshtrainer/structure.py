"""Checks of the structure of saved data: types, shapes and keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any, TypeAlias, cast

__all__ = ["describe_form", "find_misfits", "find_odd_values"]

Path: TypeAlias = tuple[Any, ...]

_DEEPEST, _MOST = 100, 100_000
"""The most levels and values of plain data."""


def find_misfits(saved: Any, own: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield each part of saved data whose form differs from the same part of reference data.

    A mapping has at least the keys of the reference, a tensor has its shape, layout and type of
    number, and a number may replace a 0-d tensor. A tuple has the reference's length; in a list of
    another length each item is like the first. A reference of `None` or an empty one allows any
    form.

    >>> list(find_misfits({"step": 3, "lr": "0.1"}, {"step": 1, "lr": 0.5, "betas": [0.9]}))
    [(('lr',), 'is text, not a number'), (('betas',), 'is missing')]

    Args:
        saved: The data to check.
        own: The reference data.
        path: The path of both.
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


def find_odd_values(data: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield each part of data that is not plain, as in a JSON document.

    Plain values are text, numbers, booleans, `None`, and lists and mappings with text as keys.

    >>> list(find_odd_values({"lr": 0.1, "betas": [{1}, 1]}))
    [(('betas', 0), 'is set, not plain data')]

    Args:
        data: The data to check.
        path: The path of the data.
    """
    left = [(path, data)]
    for _ in range(_MOST):
        if not left:
            return
        where, value = left.pop()
        parts, problem = _parts_of(value)
        if problem:
            yield where, problem
        elif parts and len(where) - len(path) >= _DEEPEST:
            yield where, "is nested too deep"
        else:
            left += [((*where, key), part) for key, part in parts]
    yield path, "has too many values"


def _parts_of(value: Any) -> tuple[list[tuple[Any, Any]], str]:
    """Return the parts of a plain value, and the problem of the value."""
    if isinstance(value, Mapping):
        parts = [*cast("Mapping[Any, Any]", value).items()]
        odd = [key for key, _ in parts if not isinstance(key, str)]
        return parts, f"has {describe_form(odd[0])} as a key, not text" if odd else ""
    if isinstance(value, (list, tuple)):
        return [*enumerate(cast("list[Any]", value))], ""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return [], "is a number of more than 64 bits"
    is_plain = value is None or isinstance(value, (str, int, float))
    return [], "" if is_plain else f"is {describe_form(value)}, not plain data"


def describe_form(value: Any) -> str:
    """Return the form of a value in words, which are equal for values of one form."""
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
    """Return the type of number of a tensor, and its class and layout if they are unusual."""
    number = "integer"
    if tensor.is_floating_point() or tensor.is_complex():
        number = "complex" if tensor.is_complex() else "float"
    elif str(tensor.dtype) == "torch.bool":
        number = "bool"
    # A tensor of a wrapper class, such as a quantized one; a sharded one is compared as a whole.
    odd = hasattr(tensor, "__tensor_flatten__") and not hasattr(tensor, "to_local")
    layout = str(tensor.layout).removeprefix("torch.")
    words = {type(tensor).__name__: odd, layout: layout != "strided", number: True}
    return " ".join([*(word for word, is_so in words.items() if is_so), "tensor"])


def _is_scalar(value: Any) -> bool:
    """Return True for a number, and for a real 0-d tensor."""
    if not _is_tensor(value):
        return _is_number(value)
    return describe_form(value) in {"float tensor ()", "integer tensor ()"}


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, (bool, complex))


def _is_tensor(value: Any) -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
