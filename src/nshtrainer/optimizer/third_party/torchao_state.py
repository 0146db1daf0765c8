"""Conversion of torchao states to plain data, which any `torch.load` and Lightning can read.

torchao's states are tensors of custom classes, each made of a few plain tensors. `weights_only`
loads these classes only after torchao was imported. With a function for `map_location`, as
Lightning passes, torch does not load such a tensor at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["keep_state_plain"]

_HOMES = {
    "OptimState8bit": "torchao.optim.subclass_8bit",
    "OptimState4bit": "torchao.optim.subclass_4bit",
    "OptimStateFp8": "torchao.optim.subclass_fp8",
}
_CLASS, _TENSORS, _CONTEXT = "torchao", "tensors", "context"


def keep_state_plain(optimizer: Optimizer) -> None:
    """Make `state_dict` return plain tensors, and `load_state_dict` take plain and torchao ones."""
    optimizer.register_state_dict_post_hook(partial(_with_each, _plain))
    # First, so that the checks of the state see tensors.
    optimizer.register_load_state_dict_pre_hook(partial(_with_each, _restored), prepend=True)


def _with_each(
    change: Callable[[Any], Any], _optimizer: Optimizer, state_dict: dict[str, Any]
) -> dict[str, Any]:
    state = {
        index: {key: change(value) for key, value in values.items()}
        for index, values in state_dict["state"].items()
    }
    return {**state_dict, "state": state}


def _plain(value: Any) -> Any:
    name = type(value).__name__
    if name not in _HOMES:  # a DTensor among them, which is written by shards
        return value
    names, context = value.__tensor_flatten__()
    tensors = {key: getattr(value, key) for key in names}
    return {_CLASS: name, _TENSORS: tensors, _CONTEXT: list(context)}


def _restored(value: Any) -> Any:
    made: Any = value
    if not isinstance(value, dict) or _CLASS not in value:
        return made  # torchao's own, or a number
    cls = getattr(import_module(_HOMES[made[_CLASS]]), made[_CLASS])
    return cls.__tensor_unflatten__(made[_TENSORS], made[_CONTEXT])
