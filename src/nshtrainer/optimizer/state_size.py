"""How many bytes an optimizer will keep beside its parameters, found out without a step of it.

A copy of the optimizer takes one step on the `meta` device, where tensors have a shape and no
memory. What the copy then keeps is what the optimizer will. Where an update needs a number out of a
tensor, which `meta` has not, it is a step on the CPU of one parameter of each form.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from nshtrainer.optimizer.lazy import is_lazy

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

__all__ = ["state_bytes"]

Group: TypeAlias = Mapping[str, Any]

_MOST_ON_CPU = 2**26
"""Elements of the largest tensor that is made for a step on the CPU."""

_EAGER = "force_eager"
"""Updates that compile themselves do without, for one step of one parameter."""

_FEW = 2**16
"""Elements of a tensor, such as a table, that a copy of an optimizer takes along."""

_OFF = ("capturable", "differentiable", "foreach", "fused")
"""How an update is computed; what is kept for it is the same."""

Gradient: TypeAlias = Literal["dense", "sparse", "differentiable"]

_GRADIENTS: tuple[Gradient, ...] = ("dense", "sparse", "differentiable")
"""What is tried in this order; the last is for updates that differentiate a second time."""


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
        None where it cannot be found out: a parameter is lazy, the optimizer needs a closure, has
        parts with functions or weights in them, or needs a step on the CPU of a tensor of more than
        67 million elements.
    """
    params = [param for param in map(_own_shard, group["params"]) if param.requires_grad]
    if any(map(is_lazy, params)):
        return None
    found = _after_a_step(optimizer, group, [_like(param, "meta", "dense") for param in params])
    if found is None:
        found = _one_by_one(optimizer, group, params)
    if found is None:
        return None
    return found + copies * sum(param.numel() * param.element_size() for param in params)


def _own_shard(param: Any) -> Tensor:
    return param.to_local() if hasattr(param, "to_local") else param


def _one_by_one(optimizer: Optimizer, group: Group, params: Sequence[Tensor]) -> int | None:
    """The sum over the parameters, of which those of one form need the same."""
    numbers = Counter(map(_form, params))
    total = 0
    for form, param in {_form(param): param for param in params}.items():
        size = _for_one(optimizer, group, param)
        if size is None:
            return None
        total += numbers[form] * size
    return total


def _form(param: Tensor) -> tuple[Any, ...]:
    return param.shape, param.dtype, param.stride(), param.layout


def _for_one(optimizer: Optimizer, group: Group, param: Tensor) -> int | None:
    """The bytes for one parameter, with the first form of gradient that the update takes."""
    devices = ("meta", "cpu") if param.numel() <= _MOST_ON_CPU else ("meta",)
    for device, gradient in product(devices, _GRADIENTS):
        found = _after_a_step(optimizer, group, [_like(param, device, gradient)])
        if found is not None:
            return found
    return None


def _like(param: Tensor, device: str, gradient: Gradient) -> Tensor:
    """A parameter of the same form, with a gradient of ones."""
    import torch

    made = torch.zeros_like(param.detach(), device=device).requires_grad_()
    made.grad = torch.ones_like(made)
    if gradient == "differentiable":
        made.grad = made + 1
    elif gradient == "sparse" and made.ndim:
        none = torch.zeros((1, 0), dtype=torch.long, device=device)
        values = torch.zeros((0, *made.shape[1:]), dtype=made.dtype, device=device)
        make = cast("Any", torch).sparse_coo_tensor
        made.grad = make(none, values, made.shape, check_invariants=False)
    return made


def _after_a_step(optimizer: Optimizer, group: Group, params: list[Tensor]) -> int | None:
    import torch

    try:
        bare = _bare_copy(optimizer, {**_settled(group), "params": params})
        with cast("Any", torch.random).fork_rng(devices=[]), torch.compiler.set_stance(_EAGER):
            bare.step()
    except Exception:  # noqa: BLE001 - the update may be anybody's code
        return None
    return sum(_sizes(dict(bare.state)))


def _settled(group: Group) -> dict[str, Any]:
    """The options of a group, for the plain implementation; the tensors in them are copies."""
    options = {k: v.detach().cpu() if hasattr(v, "detach") else v for k, v in group.items()}
    return copy.deepcopy(
        {key: value for key, value in options.items() if key != "params"}
        | {key: False for key in _OFF if key in options}
    )


def _bare_copy(optimizer: Optimizer, group: dict[str, Any]) -> Optimizer:
    """An optimizer as pickle makes it, with one group, no state, no hooks, and the data it has."""
    bare = type(optimizer).__new__(type(optimizer))
    own = {name: value for name, value in vars(optimizer).items() if _is_data(value, set())}
    vars(bare).update(copy.deepcopy(own))
    defaults = optimizer.defaults
    bare.__setstate__({"defaults": defaults, "state": _States(), "param_groups": [group]})
    return bare


def _is_data(value: Any, seen: set[int]) -> bool:
    """Whether it can be copied, and the copy shares nothing with it: no functions, no weights."""
    import torch

    if value is None or isinstance(value, (bool, int, float, str, type, torch.dtype)):
        return True
    if isinstance(value, torch.Tensor):
        return value.numel() <= _FEW and not value.requires_grad
    if id(value) in seen:
        return True
    seen.add(id(value))
    parts: Iterable[Any]
    if isinstance(value, Mapping):
        parts = (part for item in cast("Mapping[Any, Any]", value).items() for part in item)
    elif isinstance(value, (list, tuple, set)):
        parts = cast("Iterable[Any]", value)
    elif callable(value) or not hasattr(value, "__dict__"):
        return False
    else:
        parts = cast("dict[str, Any]", vars(value)).values()
    return all(_is_data(part, seen) for part in parts)


class _States(dict[Any, dict[str, Any]]):
    """A state for each parameter, made when it is asked for."""

    def __missing__(self, param: Any) -> dict[str, Any]:
        return self.setdefault(param, {})


def _sizes(value: Any) -> Iterator[int]:
    """The bytes of every tensor in a state."""
    import torch

    if hasattr(value, "__tensor_flatten__"):  # few bits a number, and what scales them
        for name in value.__tensor_flatten__()[0]:
            yield from _sizes(getattr(value, name))
    elif isinstance(value, torch.Tensor):
        yield value.numel() * value.element_size()
    elif isinstance(value, Mapping):
        for part in cast("Mapping[Any, Any]", value).values():
            yield from _sizes(part)
    elif isinstance(value, (list, tuple)):
        for part in cast("list[Any]", value):
            yield from _sizes(part)
