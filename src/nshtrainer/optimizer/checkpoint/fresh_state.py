"""Optimizer state after one step of a copy, without changing the optimizer, and its size.

The copy steps on the `meta` device, where tensors have a shape and no memory. If the update reads a
number out of a tensor, which `meta` does not have, the copy steps on the CPU.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from nshtrainer.optimizer.groups.parameters import is_lazy

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

__all__ = [
    "IMPLEMENTATIONS",
    "Form",
    "after_a_step",
    "form_of",
    "fresh_states",
    "like",
    "state_bytes",
    "step_of_one",
]

Group: TypeAlias = Mapping[str, Any]
State: TypeAlias = dict[str, Any]
Form: TypeAlias = tuple[Any, ...]

_MOST_ON_CPU = 2**26
"""Largest number of elements of a tensor that is made for a step on the CPU."""

_EAGER = "force_eager"
"""Stance of `torch.compile` for the step: compiling takes longer than one step of one parameter."""

_FEW = 2**16
"""Largest number of elements of a tensor attribute, such as a table, that is copied."""

IMPLEMENTATIONS = ("capturable", "differentiable", "foreach", "fused")
"""Options that choose an implementation; the state is the same."""

Gradient: TypeAlias = Literal["dense", "sparse", "differentiable"]

_GRADIENTS: tuple[Gradient, ...] = ("dense", "sparse", "differentiable")
"""Kinds of gradients to try, in order; the last is for updates that differentiate a second time."""


def fresh_states(
    optimizer: Optimizer, group: Group, params: Iterable[Tensor]
) -> dict[Form, State | None]:
    """Return the state that one step makes for each form of parameter.

    >>> import torch
    >>> param = torch.ones(3, requires_grad=True)
    >>> optimizer = torch.optim.SGD([param], lr=0.1, momentum=0.9)
    >>> states = fresh_states(optimizer, optimizer.param_groups[0], [param])
    >>> states[form_of(param)]["momentum_buffer"]
    tensor(..., device='meta', size=(3,))

    Args:
        optimizer: The optimizer; it is not changed.
        group: Options of the parameters, as a parameter group has them.
        params: Parameters of the group.

    Returns:
        None for a form whose state is unknown: the optimizer needs a closure, has closures or
        weights as attributes, or needs a step on the CPU of more than 67 million elements.
    """
    # One parameter of each form is enough: a model repeats few shapes many times.
    first = {form_of(param): param for param in params}
    made = [like(param, "meta", "dense") for param in first.values()]
    states = after_a_step(optimizer, group, made)
    if states is not None:
        return {form: states.get(param, {}) for form, param in zip(first, made, strict=True)}
    # One form that cannot step must not hide the states of the others.
    each = {form: step_of_one(optimizer, group, param) for form, param in first.items()}
    return {form: found and found[1].get(found[0], {}) for form, found in each.items()}


def form_of(param: Tensor) -> Form:
    """Return the properties of a parameter that determine the form of its state."""
    is_strided = str(param.layout) == "torch.strided"
    return tuple(param.shape), param.dtype, param.stride() if is_strided else (), param.layout


def step_of_one(
    optimizer: Optimizer, group: Group, param: Tensor
) -> tuple[Tensor, dict[Any, State]] | None:
    """Return a parameter of this form, and the whole state after one step.

    The gradient is of the first kind that the step accepts; None if it accepts none.
    """
    # The CPU comes last: it takes memory, and time for every element.
    devices = ("meta", "cpu") if param.numel() <= _MOST_ON_CPU else ("meta",)
    for device, gradient in product(devices, _GRADIENTS):
        made = like(param, device, gradient)
        states = after_a_step(optimizer, group, [made])
        if states is not None:
            return made, states
    return None


def like(param: Tensor, device: str, gradient: Gradient) -> Tensor:
    """Return a parameter of the same form, with a gradient of ones."""
    import torch

    made = torch.zeros_like(param.detach(), device=device).requires_grad_()
    made.grad = torch.ones_like(made)
    if gradient == "differentiable":
        # The result of an operation has a graph, as with `backward(create_graph=True)`.
        made.grad = made + 1
    elif gradient == "sparse" and made.ndim:
        # Without entries: no row is updated, and the state is made all the same.
        none = torch.zeros((1, 0), dtype=torch.long, device=device)
        values = torch.zeros((0, *made.shape[1:]), dtype=made.dtype, device=device)
        make = cast("Any", torch).sparse_coo_tensor
        made.grad = make(none, values, made.shape, check_invariants=False)
    return made


def after_a_step(
    optimizer: Optimizer, group: Group, params: list[Tensor]
) -> dict[Any, State] | None:
    """Return the whole state of a copy after one step of these parameters; None if the step fails.

    Args:
        optimizer: The optimizer to copy.
        group: Options of the parameters.
        params: Parameters with gradients, as `like` makes them.
    """
    import torch

    try:
        bare = _bare_copy(optimizer, {**_settled(group), "params": params})
        # A step may draw random numbers, which must not change the run.
        with cast("Any", torch.random).fork_rng(devices=[]), torch.compiler.set_stance(_EAGER):
            bare.step()
    except Exception:  # noqa: BLE001 - the update may be any code
        return None
    return dict(bare.state)


def _settled(group: Group) -> dict[str, Any]:
    """Return the options of a group for the plain implementation, with copies of the tensors."""
    options = {k: v.detach().cpu() if hasattr(v, "detach") else v for k, v in group.items()}
    return copy.deepcopy(
        {key: value for key, value in options.items() if key != "params"}
        | {key: False for key in IMPLEMENTATIONS if key in options}
    )


def _bare_copy(optimizer: Optimizer, group: dict[str, Any]) -> Optimizer:
    """Return an optimizer as pickle makes it: one group, no state, no hooks, and its data."""
    # Not by the constructor, whose arguments are unknown and which may have effects.
    bare = type(optimizer).__new__(type(optimizer))
    own = {
        name: value
        for name, value in vars(optimizer).items()
        if not name.endswith("_hooks") and _is_data(value, set())
    }
    vars(bare).update(copy.deepcopy(own))
    defaults = optimizer.defaults
    bare.__setstate__({"defaults": defaults, "state": _States(), "param_groups": [group]})
    return bare


def _is_data(value: Any, seen: set[int]) -> bool:
    """Return True if a copy shares nothing that changes: no closures and no weights."""
    import torch

    if value is None or isinstance(value, (bool, int, float, str, type, torch.dtype)):
        return True
    if isinstance(value, torch.Tensor):
        return value.numel() <= _FEW and not value.requires_grad
    if isinstance(value, FunctionType):
        return value.__closure__ is None
    # An object that refers to itself would recurse without end.
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
    """Mapping from a parameter to its state, which is made at the first access."""

    def __missing__(self, param: Any) -> dict[str, Any]:
        return self.setdefault(param, {})


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
