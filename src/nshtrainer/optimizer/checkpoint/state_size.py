"""How many bytes an optimizer will keep beside its parameters, found out without a step of it.

What a copy of the optimizer keeps after one step is what the optimizer will.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from nshtrainer.optimizer.checkpoint.fresh_state import after_a_step, form_of, like, step_of_one
from nshtrainer.optimizer.groups.lazy_parameters import is_lazy

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

__all__ = ["state_bytes"]

Group: TypeAlias = Mapping[str, Any]


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
        parts with closures or weights in them, or needs a step on the CPU of a tensor of more than
        67 million elements.
    """
    shards = (p.to_local() if hasattr(p, "to_local") else p for p in group["params"])
    params: list[Tensor] = [param for param in shards if param.requires_grad]
    if any(map(is_lazy, params)):
        return None
    states = after_a_step(optimizer, group, [like(param, "meta", "dense") for param in params])
    found = _one_by_one(optimizer, group, params) if states is None else sum(_sizes(states))
    if found is None:
        return None
    return found + copies * sum(param.numel() * param.element_size() for param in params)


def _one_by_one(optimizer: Optimizer, group: Group, params: Sequence[Tensor]) -> int | None:
    """The sum over the parameters, of which those of one form need the same."""
    numbers = Counter(map(form_of, params))
    total = 0
    for form, param in {form_of(param): param for param in params}.items():
        found = step_of_one(optimizer, group, param)
        if found is None:
            return None
        total += numbers[form] * sum(_sizes(found[1]))
    return total


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
