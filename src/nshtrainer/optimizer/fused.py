"""Which of torch's implementations of one algorithm a group of parameters gets, and safely so.

torch has up to three: a plain loop over the tensors, `foreach` (lists of tensors), and `fused` (one
kernel). Left to itself it takes the loop on a CPU and `foreach` on a GPU, never `fused`. The fused
kernels for CPUs take 0.2 to 0.5 of the time of the loop, but they read memory straight through:
where the strides of a gradient are not those of its parameter the result is wrong, without an
error.

So there are three parts: `should_use_fused` looks at the parameters, once; `FusedFallback` looks at
the gradients before each update and goes back to torch's own choice where the kernel could not
follow;
`keep_flags` keeps a checkpoint from overruling the choice.

The choice is written into the group, not given to the constructor. `Optimizer.defaults` stays
torch's, so a group that is added later gets torch's choice; and torch does not declare that the
optimizer handles gradient scaling itself, which is what makes Lightning refuse to clip under
`16-mixed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.optimizer_record import closure_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    _State = Mapping[Any, Mapping[str, Any]]

__all__ = ["FLAGS", "FusedFallback", "keep_flags", "should_use_fused"]

FLAGS = ("foreach", "fused", "capturable")
"""The options that say how the update is computed, not what it is."""


def should_use_fused(
    dtypes: Sequence[str], params: Sequence[Tensor], options: Mapping[str, Any]
) -> bool:
    """Whether the fused kernel is the fastest way to update these parameters, and a safe one.

    It is where all of this holds: nobody gave `fused` or `foreach` (torch takes a `False` for
    either as a wish for the loop); no `differentiable`; no option is a tensor; every parameter is a
    plain tensor (no `DTensor` or other subclass), strided and dense in memory, of a listed type,
    all on the CPU or all on CUDA devices.

    >>> import torch
    >>> should_use_fused(["float32"], [torch.zeros(3)], {"fused": None})
    True
    >>> should_use_fused(["float32"], [torch.zeros(3, dtype=torch.complex64)], {"fused": None})
    False

    Args:
        dtypes: The names of the types for which the kernel is worth it.
        params: The tensors of the group.
        options: The options that hold for the group.
    """
    from torch import Tensor

    if any(options.get(flag) is not None for flag in ("foreach", "fused")):
        return False
    values = [[v] if not isinstance(v, (tuple, list)) else cast("Any", v) for v in options.values()]
    if options.get("differentiable") or any(isinstance(v, Tensor) for v in chain(*values)):
        return False
    is_together = len({param.device.type for param in params}) == 1
    return is_together and all(_is_plain(param, dtypes) for param in params)


def _is_plain(param: Tensor, dtypes: Sequence[str]) -> bool:
    import torch

    return (
        type(param) in (torch.Tensor, torch.nn.Parameter)
        and param.layout is torch.strided
        and param.device.type in ("cpu", "cuda")
        and str(param.dtype).removeprefix("torch.") in dtypes
        # Only a tensor that fills its memory without gaps or overlaps, in whatever order, keeps
        # its strides in `empty_like`; on `meta` this takes no memory.
        and (
            param.is_contiguous()
            or torch.empty_like(param, device="meta").stride() == param.stride()
        )
    )


class FusedFallback:
    """A step hook that leaves the fused kernel where the gradients are not what it takes.

    It looks after the closure, if there is one, since that is when the gradients are there. A group
    that goes back to torch's choice stays with it. The groups are known by their place, because
    `load_state_dict` makes new dicts.

    Args:
        groups: The places of the groups for which `fused` was our choice.
    """

    def __init__(self, groups: Sequence[int]) -> None:
        self._groups = groups
        self._seen: dict[int, list[tuple[int, ...] | None]] = {}

    def forget(self, _optimizer: Optimizer) -> None:
        """Look at the whole state again; after `load_state_dict` it may lie in another order."""
        self._seen.clear()

    def __call__(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Check now, or replace the closure by one that checks when it is done."""
        import torch

        if torch.compiler.is_compiling():
            return None
        closure = closure_of(args, kwargs)
        if closure is None:
            self._check(optimizer)
            return None
        return args[:1], {"closure": self._checked(optimizer, closure)}

    def _checked(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            loss = closure()
            self._check(optimizer)
            return loss

        return run

    def _check(self, optimizer: Optimizer) -> None:
        for index, group in enumerate(optimizer.param_groups):
            ours = index in self._groups and group["fused"]
            if ours and not self._takes(index, group, optimizer.state):
                group["fused"] = None

    def _takes(self, index: int, group: Mapping[str, Any], state: _State) -> bool:
        order = _order_of_gradients(group["params"])
        if order is None:
            return False
        # The state follows the parameters, so it is looked at only when something changed.
        if order != self._seen.get(index):
            self._seen[index] = order
            if not all(_state_fits(param, state.get(param, {})) for param in group["params"]):
                return False
        return not group.get("momentum") or _started_together(group["params"], state)


def _order_of_gradients(params: Sequence[Tensor]) -> list[tuple[int, ...] | None] | None:
    """The strides of the parameters that have a gradient; `None` if one gradient is not like it."""
    from torch import strided

    order: list[tuple[int, ...] | None] = []
    for param in params:
        grad = param.grad
        if grad is None:
            order.append(None)
            continue
        # A module may be made complex after its optimizer was built.
        is_same_type = grad.dtype is param.dtype and not grad.is_complex()
        if grad.layout is not strided or not is_same_type or not _same_order(param, grad):
            return None
        order.append(param.stride())
    return order


def _state_fits(param: Tensor, state: Mapping[str, Any]) -> bool:
    values = (value for key, value in state.items() if key != "step" and value is not None)
    return all(_same_order(param, value) for value in values)


def _started_together(params: Sequence[Tensor], state: _State) -> bool:
    """Whether all updated parameters have a momentum or none; the kernel of SGD fails otherwise."""
    empty: dict[str, Any] = {}
    updated = (param for param in params if param.grad is not None)
    return len({state.get(p, empty).get("momentum_buffer") is None for p in updated}) < 2


def _same_order(param: Tensor, other: Tensor) -> bool:
    # Strides of dimensions of size 1 say nothing, so two that differ may still be the same order.
    return other.stride() == param.stride() or (other.is_contiguous() and param.is_contiguous())


def keep_flags(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """A hook of `load_state_dict`: the groups keep their own `FLAGS`, whatever the checkpoint says.

    It runs before torch reads the state, because torch looks at the flags of the incoming groups to
    decide where each `step` belongs: beside the parameter for `fused`, on the CPU otherwise. What
    the caller passed is not changed.
    """
    saved, own = state_dict["param_groups"], optimizer.param_groups
    groups = [
        {**theirs, **{flag: ours[flag] for flag in FLAGS if flag in ours}}
        for theirs, ours in zip(saved, own, strict=True)
    ]
    return {**state_dict, "param_groups": groups}
