"""How many bytes an optimizer will keep beside its parameters, found out without a step of it.

A copy of the optimizer with one parameter of each shape takes one step, on the `meta` device, where
tensors have a shape and no memory. What the copy then keeps is what the optimizer will. Where an
update needs a number out of a tensor, which `meta` has not, the step is one of zeros on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

__all__ = ["state_bytes"]

Group: TypeAlias = Mapping[str, Any]

_MOST_ON_CPU = 2**26
"""Elements of the largest tensor that is made for a step on the CPU."""

_OFF = ("capturable", "differentiable", "foreach", "fused")
"""How an update is computed; what is kept for it is the same."""

_PLAIN = (bool, int, float, str, type(None))
"""Attributes that a copy takes over; what a step could change in them, it changes in the copy."""


def state_bytes(optimizer: Optimizer, group: Group, copies: int = 0) -> int | None:
    """The bytes that an optimizer keeps for a group once each parameter was updated.

    Frozen parameters count nothing. Of a sharded parameter the own shard counts.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.ones(3, requires_grad=True)], lr=0.1, momentum=0.9)
    >>> state_bytes(optimizer, optimizer.param_groups[0]), dict(optimizer.state)
    (12, {})

    Args:
        optimizer: The optimizer that updates the group; it is not touched.
        group: One of its parameter groups.
        copies: How many tensors of the size of each parameter its hooks keep in its state.

    Returns:
        None where it cannot be found out: the optimizer needs a closure, has parts that a copy
        lacks, or needs a step on the CPU of a tensor of more than 67 million elements.
    """
    known: dict[Any, int | None] = {}
    total = 0
    for param in map(_own_shard, group["params"]):
        if not param.requires_grad:
            continue
        key = param.shape, param.dtype, param.stride(), param.layout
        if key not in known:
            known[key] = _for_one(optimizer, group, param)
        size = known[key]
        if size is None:
            return None
        total += size + copies * param.numel() * param.element_size()
    return total


def _own_shard(param: Any) -> Tensor:
    return param.to_local() if hasattr(param, "to_local") else param


def _for_one(optimizer: Optimizer, group: Group, param: Tensor) -> int | None:
    """The bytes for one parameter; a sparse gradient is tried where a dense one is refused."""
    for device in ("meta", "cpu"):
        if device == "meta" or param.numel() <= _MOST_ON_CPU:
            for sparse in (False, True):
                found = _after_a_step(optimizer, group, _like(param, device, sparse=sparse))
                if found is not None:
                    return found
    return None


def _like(param: Tensor, device: str, *, sparse: bool) -> Tensor:
    """A parameter of the same form, with a gradient of zeros."""
    import torch

    made = torch.zeros_like(param.detach(), device=device).requires_grad_()
    made.grad = torch.zeros_like(made)
    if sparse and made.ndim:
        none = torch.zeros((1, 0), dtype=torch.long, device=device)
        values = torch.zeros((0, *made.shape[1:]), dtype=made.dtype, device=device)
        make = cast("Any", torch).sparse_coo_tensor
        made.grad = make(none, values, made.shape, check_invariants=False)
    return made


def _after_a_step(optimizer: Optimizer, group: Group, param: Tensor) -> int | None:
    import torch

    try:
        copy = _bare_copy(optimizer, {**_settled(group), "params": [param]})
        with cast("Any", torch.random).fork_rng(devices=[]):
            copy.step()
    except Exception:  # noqa: BLE001 - the update may be anybody's code
        return None
    return sum(_sizes(dict(copy.state)))


def _settled(group: Group) -> dict[str, Any]:
    """The options of a group as numbers, for the plain implementation."""
    import torch

    options = {k: v.item() if isinstance(v, torch.Tensor) else v for k, v in group.items()}
    return options | {key: False for key in _OFF if key in options}


def _bare_copy(optimizer: Optimizer, group: dict[str, Any]) -> Optimizer:
    """An optimizer as pickle makes it, with one group, no state and no hooks."""
    copy = type(optimizer).__new__(type(optimizer))
    own = {k: v for k, v in vars(optimizer).items() if isinstance(v, _PLAIN)}
    vars(copy).update(own)
    defaults = optimizer.defaults
    copy.__setstate__({"defaults": defaults, "state": _States(), "param_groups": [group]})
    return copy


class _States(dict[Any, dict[str, Any]]):
    """A state for each parameter, made when it is asked for."""

    def __missing__(self, param: Any) -> dict[str, Any]:
        return self.setdefault(param, {})


def _sizes(value: Any) -> Iterator[int]:
    """The bytes of every tensor in a state."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value.numel() * value.element_size()
    elif isinstance(value, Mapping):
        for part in cast("Mapping[Any, Any]", value).values():
            yield from _sizes(part)
    elif isinstance(value, (list, tuple)):
        for part in cast("list[Any]", value):
            yield from _sizes(part)
