"""Choose between the for-loop, foreach and fused optimizer implementations.

torch has up to three implementations of one algorithm: a plain loop over the tensors, `foreach`
(lists of tensors) and `fused` (one kernel). By default it takes the loop on a CPU and `foreach` on
a GPU, never `fused`. The fused kernels for CPUs take 0.2 to 0.5 of the time of the loop. But they
read memory straight through: where a gradient has other strides than its parameter, the result is
wrong, without an error.

The choice therefore has three parts. `should_use_fused` checks the parameters, once.
`FusedFallback` checks the gradients before each update, and returns to torch's default where the
kernel would read them wrongly. `keep_flags` keeps a checkpoint from overruling the choice.

The choice is written into the group, not passed to the constructor. `Optimizer.defaults` stays as
torch has it, so a group that is added later gets torch's default. And torch does not declare that
the optimizer handles gradient scaling itself, which would make Lightning refuse to clip under
`16-mixed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.optimizer.stand_ins import device_type
from nshtrainer.optimizer_record import closure_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    _State = Mapping[Any, Mapping[str, Any]]

__all__ = ["FLAGS", "FusedFallback", "keep_flags", "should_use_fused"]

FLAGS = ("foreach", "fused", "capturable")
"""Options that choose an implementation; the update is the same."""


def should_use_fused(
    dtypes: Sequence[str], params: Sequence[Tensor], options: Mapping[str, Any]
) -> bool:
    """Return True if the fused kernel updates these parameters fastest, and safely.

    All of this must be true: neither `fused` nor `foreach` is set (torch takes a `False` for either
    as a request for the loop); `differentiable` is off; no option is a tensor; every parameter is a
    plain tensor (no `DTensor` or other subclass), strided and dense in memory, of a listed type,
    and all are on the CPU or all on CUDA devices.

    >>> import torch
    >>> should_use_fused(["float32"], [torch.zeros(3)], {"fused": None})
    True
    >>> should_use_fused(["float32"], [torch.zeros(3, dtype=torch.complex64)], {"fused": None})
    False

    Args:
        dtypes: Names of the types for which the kernel is faster and as exact.
        params: The tensors of the group.
        options: The options that apply to the group.
    """
    from torch import Tensor

    if any(options.get(flag) is not None for flag in ("foreach", "fused")):
        return False
    values = [[v] if not isinstance(v, (tuple, list)) else cast("Any", v) for v in options.values()]
    if options.get("differentiable") or any(isinstance(v, Tensor) for v in chain(*values)):
        return False
    # False for an empty group too, which has no device.
    is_together = len(set(map(device_type, params))) == 1
    return is_together and all(_is_plain(param, dtypes) for param in params)


def _is_plain(param: Tensor, dtypes: Sequence[str]) -> bool:
    import torch

    return (
        type(param) in (torch.Tensor, torch.nn.Parameter)
        and param.layout is torch.strided
        and device_type(param) in ("cpu", "cuda")
        and str(param.dtype).removeprefix("torch.") in dtypes
        # Only a tensor that fills its memory without gaps or overlaps, in whatever order, keeps
        # its strides in `empty_like`; on `meta` this takes no memory.
        and (
            param.is_contiguous()
            or torch.empty_like(param, device="meta").stride() == param.stride()
        )
    )


class FusedFallback:
    """Step hook that turns `fused` off for groups whose gradients the kernel would misread.

    With a closure the check runs after it, when the gradients exist. A group that has returned to
    torch's default stays with it. Groups are identified by position, because `load_state_dict`
    makes new dicts.

    Args:
        groups: Positions of the groups for which nshtrainer chose `fused`.
    """

    def __init__(self, groups: Sequence[int]) -> None:
        self._groups = groups
        self._seen: dict[int, list[tuple[int, ...] | None]] = {}

    def forget(self, _optimizer: Optimizer) -> None:
        """Check the whole state again: after `load_state_dict` its strides may differ."""
        self._seen.clear()

    def __call__(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Check now, or replace the closure by one that checks after it has run."""
        import torch

        if torch.compiler.is_compiling():
            return None
        closure = closure_of(args, kwargs)
        if closure is None:
            self._check(optimizer)
            return None
        # The gradients of this step do not exist before the closure has run.
        return args[:1], {"closure": self._checked(optimizer, closure)}

    def _checked(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            loss = closure()
            self._check(optimizer)
            return loss

        return run

    def _check(self, optimizer: Optimizer) -> None:
        for index, group in enumerate(optimizer.param_groups):
            is_chosen = index in self._groups and group["fused"]
            if is_chosen and not self._takes(index, group, optimizer.state):
                # None, not False: torch then takes `foreach` where it would by default.
                group["fused"] = None

    def _takes(self, index: int, group: Mapping[str, Any], state: _State) -> bool:
        order = _order_of_gradients(group["params"])
        if order is None:
            return False
        # The state has the order of the parameters, so it is checked only after a change.
        if order != self._seen.get(index):
            self._seen[index] = order
            kept = ((param, state.get(param, {})) for param in group["params"])
            if not all(
                _same_order(param, value)
                for param, values in kept
                for key, value in values.items()
                if key != "step" and value is not None
            ):
                return False
        return not group.get("momentum") or _started_together(group["params"], state)


def _order_of_gradients(params: Sequence[Tensor]) -> list[tuple[int, ...] | None] | None:
    """Return the strides of each parameter with a gradient; None if one gradient has others."""
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


def _started_together(params: Sequence[Tensor], state: _State) -> bool:
    """Return True if all updated parameters have a momentum, or none; SGD's kernel needs it."""
    empty: dict[str, Any] = {}
    updated = (param for param in params if param.grad is not None)
    return len({state.get(p, empty).get("momentum_buffer") is None for p in updated}) < 2


def _same_order(param: Tensor, other: Tensor) -> bool:
    # The stride of a dimension of size 1 is never used, so unequal strides may be the same order.
    return other.stride() == param.stride() or (other.is_contiguous() and param.is_contiguous())


def keep_flags(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """Keep the optimizer's own `FLAGS` in its groups: a pre-hook of `load_state_dict`.

    The hook runs before torch reads the state, because torch reads the flags of the saved groups to
    decide where each `step` belongs: beside the parameter for `fused`, on the CPU otherwise. The
    state dict that the caller passed is not changed.
    """
    saved, own = state_dict["param_groups"], optimizer.param_groups
    groups = [
        {**theirs, **{flag: ours[flag] for flag in FLAGS if flag in ours}}
        for theirs, ours in zip(saved, own, strict=True)
    ]
    return {**state_dict, "param_groups": groups}
