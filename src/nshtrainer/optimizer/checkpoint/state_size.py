"""Estimate optimizer state size without taking a step.

The estimate is the size of the state of a copy after one step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from nshtrainer.optimizer.checkpoint.fresh_state import (
    Form,
    after_a_step,
    form_of,
    like,
    step_of_one,
)
from nshtrainer.optimizer.groups.lazy_parameters import is_lazy

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

__all__ = ["state_bytes"]

Group: TypeAlias = Mapping[str, Any]


def state_bytes(optimizer: Optimizer, group: Group, copies: int = 0) -> int | None:
    """Return the bytes of state for a group after each parameter was updated once.

    Frozen parameters have no state. Of a sharded parameter only the local shard counts.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.ones(3, requires_grad=True)], lr=0.1, momentum=0.9)
    >>> state_bytes(optimizer, optimizer.param_groups[0]), dict(optimizer.state)
    (12, {})

    Args:
        optimizer: The optimizer that updates the group; it is not changed.
        group: One of its parameter groups.
        copies: Number of tensors of the size of each parameter that hooks keep in the state.

    Returns:
        None if the size is unknown: a parameter is lazy, or the optimizer needs a closure, has
        closures or weights as attributes, or needs a step on the CPU of a tensor of more than
        67 million elements.
    """
    shards = (p.to_local() if hasattr(p, "to_local") else p for p in group["params"])
    params: list[Tensor] = [param for param in shards if param.requires_grad]
    if any(map(is_lazy, params)):
        return None
    found = _of_forms(optimizer, group, params)
    if found is None:
        # On `meta` all parameters fit at once.
        states = after_a_step(optimizer, group, [like(param, "meta", "dense") for param in params])
        found = _one_by_one(optimizer, group, params) if states is None else sum(_sizes(states))
    if found is None:
        return None
    return found + copies * sum(param.numel() * param.element_size() for param in params)


def _of_forms(optimizer: Optimizer, group: Group, params: Sequence[Tensor]) -> int | None:
    """Return the sum over the parameters, after steps of one and of two parameters of each form.

    Returns:
        None if a step fails, or if the size of a state depends on other parameters, as where the
        first parameter has a state for all.
    """
    forms = [form_of(param) for param in params]
    one, two = (_sizes_of_forms(optimizer, group, params, forms, each) for each in (1, 2))
    if one is None or one != two:
        return None
    return sum(number * sum(one[form]) for form, number in Counter(forms).items())


def _sizes_of_forms(
    optimizer: Optimizer,
    group: Group,
    params: Sequence[Tensor],
    forms: Sequence[Form],
    each: int,
) -> dict[Form, set[int]] | None:
    """Return the sizes of the states of each form after a step of a few of its parameters."""
    taken: Counter[Form] = Counter()
    made: dict[Tensor, Form] = {}
    for param, form in zip(params, forms, strict=True):  # in their order, which may have a meaning
        taken[form] += 1
        if taken[form] <= each:
            made[like(param, "meta", "dense")] = form
    states = after_a_step(optimizer, group, [*made])
    if states is None or not states.keys() <= made.keys():
        return None
    sizes: dict[Form, set[int]] = {}
    for param, form in made.items():
        sizes.setdefault(form, set()).add(sum(_sizes(states.get(param, {}))))
    return sizes


def _one_by_one(optimizer: Optimizer, group: Group, params: Sequence[Tensor]) -> int | None:
    """Return the sum over the parameters; parameters of one form have states of one size."""
    numbers = Counter(map(form_of, params))
    total = 0
    for form, param in {form_of(param): param for param in params}.items():
        found = step_of_one(optimizer, group, param)
        if found is None:
            return None
        total += numbers[form] * sum(_sizes(found[1]))
    return total


def _sizes(value: Any) -> Iterator[int]:
    """Yield the bytes of every tensor in a state."""
    import torch

    if hasattr(value, "__tensor_flatten__"):  # a quantized tensor: codes and scales
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
