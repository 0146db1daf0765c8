"""Step hooks for any optimizer: Lookahead, clipping of gradients, skipping of bad updates.

The optimizer stays the same object, which schedules, checkpoints and trainers know. Hooks keep
their values in the optimizer's own state and groups, so these are saved and loaded with it. Hooks
can be pickled, so that a copy of the optimizer has copies of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from nshtrainer.exceptions import BadUpdateError
from nshtrainer.optimizer.groups.parameters import shapes_needed
from nshtrainer.optimizer_record import StepSkipped, closure_of, params_of, record_of, skip_step

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

__all__ = [
    "ClipNorm",
    "Lookahead",
    "Skipping",
    "are_finite",
    "clip_adaptively",
    "clip_values",
    "elements_of",
    "is_finite",
    "norm_of",
    "params_with_grad",
    "register_grad_hook",
    "total_norm",
    "unscale_grads",
]

Closure = Callable[[], Any]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def params_with_grad(optimizer: Optimizer) -> list[Tensor]:
    """Return the parameters that have a gradient."""
    return [param for param in params_of(optimizer) if param.grad is not None]


def norm_of(
    value: Tensor, dims: tuple[int, ...] | None = None, *, dtype: torch.dtype | None = None
) -> Tensor:
    """Return the 2-norm of a tensor, or along some of its dimensions, which are kept.

    Args:
        value: The tensor.
        dims: The dimensions; `None`: all.
        dtype: The type of the computation; `None`: the type of the tensor.
    """
    import torch

    linalg: Any = torch.linalg  # its functions have no types
    return linalg.vector_norm(value, dim=dims, keepdim=dims is not None, dtype=dtype)


def unscale_grads(optimizer: Optimizer) -> None:
    """Divide gradients by a pending `grad_scale`.

    `GradScaler` and the clipping hook set `grad_scale` for a fused kernel, which divides by it.
    Hooks that read gradients before the step call this function first.
    """
    scale = getattr(optimizer, "grad_scale", None)
    if scale is not None:
        for param in params_with_grad(optimizer):
            grad: Any = param.grad
            grad.div_(scale.to(grad.device))
        vars(optimizer)["grad_scale"] = None


def register_grad_hook(
    optimizer: Optimizer, change: Callable[[Optimizer], None]
) -> RemovableHandle:
    """Register a function that changes the gradients before each update, after any closure.

    Args:
        optimizer: The optimizer.
        change: A function that changes the gradients of the optimizer's parameters.

    Returns:
        The handle of the hook.
    """
    return optimizer.register_step_pre_hook(_GradientHook(change))


class _GradientHook:
    """Step hook that changes the gradients, after the closure if there is one."""

    def __init__(self, change: Callable[[Optimizer], None]) -> None:
        self._change = change

    def __call__(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Arguments | None:
        closure = closure_of(args, kwargs)
        if closure is None:
            self._settle_and_change(optimizer)
            return None

        def run() -> Any:
            loss = closure()
            try:
                self._settle_and_change(optimizer)
            except StepSkipped as skipped:
                skipped.loss = loss
                raise
            return loss

        return (optimizer,), {"closure": run}

    def _settle_and_change(self, optimizer: Optimizer) -> None:
        unscale_grads(optimizer)
        self._change(optimizer)


class Lookahead:
    """Step hooks that keep slow weights, which follow the fast weights every few updates.

    Slow weights are in the state of each parameter under `slow`, and each group counts its updates
    under `lookahead_step`.

    Args:
        k: Updates of the fast weights for one of the slow weights.
        alpha: Share of the way that the slow weights move to the fast ones, which then restart
            there.
    """

    def __init__(self, k: int, alpha: float) -> None:
        self._k = k
        self._alpha = alpha
        self._first: dict[Tensor, Tensor] = {}

    def before(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Copy weights before their first update, where the slow weights start."""
        for param in params_of(optimizer):
            if "slow" not in optimizer.state.get(param, {}) and param not in self._first:
                with shapes_needed("lookahead", [param]):
                    self._first[param] = param.detach().clone()

    def after(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Count the update, and every `k` updates move the slow weights and reset the fast ones."""
        import torch

        with torch.no_grad():
            for group in optimizer.param_groups:
                updated = [param for param in group["params"] if param.grad is not None]
                count = group.get("lookahead_step", 0) + bool(updated)
                group["lookahead_step"] = count
                for param in updated:
                    # Optimizers initialize an empty state, so `slow` is written after the step.
                    self._update_slow(param, optimizer.state[param], now=count % self._k == 0)

    def _update_slow(self, param: Tensor, state: dict[str, Any], *, now: bool) -> None:
        if "slow" not in state:
            state["slow"] = self._first.pop(param)
        if now:
            state["slow"].lerp_(param, self._alpha)
            param.copy_(state["slow"])


_foreach_norm: Any = vars(torch)["_foreach_norm"]
"""Kernel for the norm of each tensor, which torch's `clip_grad_norm_` calls."""
_foreach_mul: Any = vars(torch)["_foreach_mul_"]


class ClipNorm:
    """Clipping of all gradients by their total norm, like torch's `clip_grad_norm_`.

    On a CPU, gradients within the limit are not written. A norm that overflows is computed again in
    64 bits. A fused kernel gets the factor for its own pass over the gradients, which leaves them
    clipped. On another device, or in a compiled step, 64 bits are used at once, because reading the
    norm would make the process wait.

    Args:
        limit: The largest total norm.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def attach(self, optimizer: Optimizer) -> None:
        """Register the step hooks."""
        record_of(optimizer).clipped = 0
        register_grad_hook(optimizer, self._clip)
        optimizer.register_step_post_hook(_forget_scale)

    @torch.no_grad()
    def _clip(self, optimizer: Optimizer) -> None:
        params = params_with_grad(optimizer)
        if _is_readable(params):
            self._clip_if_larger(optimizer, params)
        else:
            factor = self._wide_factor(params)
            if not torch.compiler.is_compiling():
                record_of(optimizer).clipped = record_of(optimizer).clipped + (factor < 1)
            for (device, dtype), grads in _by_kind([param.grad for param in params]).items():
                _foreach_mul(grads, factor.to(device, dtype))

    def _clip_if_larger(self, optimizer: Optimizer, params: Sequence[Tensor]) -> None:
        norm = total_norm(params)
        scale = (norm.item() + 1e-6) / self._limit  # as in torch's formula
        record_of(optimizer).clipped += scale > 1
        kernels = type(optimizer) in (SGD, Adagrad, Adam, AdamW)
        is_fused = kernels and all(group.get("fused") for group in optimizer.param_groups)
        if scale == math.inf:
            factor = self._wide_factor(params).item()
            for grad in [cast("Tensor", param.grad) for param in params]:
                grad.mul_(factor)
        elif scale > 1 and norm.dtype is torch.float32 and is_fused:
            # The kernel divides by this value, so the gradients are read and written once.
            vars(optimizer)["grad_scale"] = torch.tensor(scale, dtype=torch.float32)
        elif not scale <= 1:
            clip_grads_with_norm_(params, self._limit, norm)

    def _wide_factor(self, params: Sequence[Tensor]) -> Tensor:
        return (self._limit / (total_norm(params, wide=True) + 1e-6)).clamp(max=1.0)


def total_norm(params: Sequence[Tensor], *, wide: bool = False) -> Tensor:
    """Return the total norm of all gradients, also of sparse ones, which torch refuses.

    Args:
        params: The parameters that have the gradients.
        wide: Compute in 64 bits, where the squares of 32-bit numbers do not overflow.
    """
    kinds = _by_kind([elements_of(param.grad) for param in params])
    norms = [
        norm
        for (device, dtype), grads in kinds.items()
        for norm in _foreach_norm(grads, 2, _wide_type(device, dtype) if wide else None)
    ]
    if len(kinds) != 1:
        norms = [norm.to(norms[0].device) for norm in norms]
    return norm_of(torch.stack(norms)) if norms else torch.tensor(0.0)


def _by_kind(grads: Sequence[Any]) -> dict[tuple[torch.device, torch.dtype], list[Tensor]]:
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for grad in grads:
        kinds.setdefault((grad.device, grad.dtype), []).append(grad)
    return kinds


def _wide_type(device: torch.device, dtype: torch.dtype) -> torch.dtype | None:
    """Return the 64-bit type for a type, if the device has it; Apple's devices do not."""
    has_it = device.type in {"cpu", "cuda"}
    return torch.promote_types(dtype, torch.float64) if has_it else None


def _is_readable(values: Sequence[Tensor]) -> bool:
    """Return True if the values of tensors can be read without waiting."""
    is_compiling = torch.compiler.is_compiling()
    return not is_compiling and all(value.device.type == "cpu" for value in values)


def elements_of(grad: Any) -> Tensor:
    """Return the elements of a gradient, without the zeros of a sparse one."""
    return grad.coalesce().values() if grad.is_sparse else grad


def _forget_scale(optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
    vars(optimizer)["grad_scale"] = None


def clip_values(optimizer: Optimizer, limit: float) -> None:
    """Clip each element of the gradients to a size."""
    params = params_with_grad(optimizer)
    if params:  # torch fails without
        clip_grad_value_(params, limit)


def clip_adaptively(optimizer: Optimizer, limit: float, eps: float = 1e-3) -> None:
    """Clip the gradient of each unit to a share of the norm of its weights.

    A unit is the weights of one output in a matrix or a convolution, or a whole vector.

    Reference: A. Brock et al., High-Performance Large-Scale Image Recognition Without
    Normalization, arXiv:2102.06171.

    Args:
        optimizer: The optimizer of the parameters.
        limit: The largest norm of a gradient, as a share of the norm of the weights.
        eps: The smallest norm of weights that is used.
    """
    with torch.no_grad():
        for param in params_with_grad(optimizer):
            grad: Any = param.grad
            dims = tuple(range(1, param.ndim)) or None
            largest = norm_of(param, dims).clamp(min=eps) * limit
            norm = norm_of(grad, dims)
            if not _is_readable([norm]) or norm.isinf().any():
                norm = norm_of(grad, dims, dtype=_wide_type(grad.device, grad.dtype))
            grad.mul_((largest / norm.clamp(min=1e-6)).clamp(max=1.0))


@torch.no_grad()  # gradients may have a graph of their own
def are_finite(params: Sequence[Tensor]) -> bool:
    """Return True if all gradients are finite, including shards in other processes.

    A sum of all squares that overflows counts as infinite: optimizers keep squares in their state,
    and clipping by an infinite norm makes every gradient 0. The process waits for the device of the
    gradients, and reads one number from it.
    """
    norm = total_norm(params)
    most = _largest(norm.dtype)
    # In 16 bits a norm may be infinite although its square is finite in 32 bits.
    return bool(norm <= most) or bool(total_norm(params, wide=True) <= most)


def is_finite(param: Tensor) -> bool:
    """Return True if the gradient of one parameter and its square are finite."""
    elements = elements_of(param.grad)
    number: Any = (elements.abs() <= _largest(elements.dtype)).logical_not().sum()
    # A DTensor computes the sum over shards only in `full_tensor`.
    return not getattr(number, "full_tensor", lambda: number)()


def _largest(dtype: torch.dtype) -> float:
    """Return the largest number whose square is finite, at least in 32 bits."""
    return math.sqrt(torch.finfo(torch.promote_types(dtype, torch.float32)).max)


class Skipping:
    """Gradient hook that skips bad updates: neither the optimizer nor its schedule takes a step.

    Each group counts skipped updates under `skipped`, and consecutive ones under
    `skipped_in_a_row`.

    Args:
        max_norm: The largest norm of the gradients of a good update; `None`: any finite norm.
        max_in_a_row: The largest number of bad updates in a row; `None`: any number.
    """

    def __init__(self, max_norm: float | None, max_in_a_row: int | None) -> None:
        self._max_norm = max_norm
        self._max_in_a_row = max_in_a_row

    def __call__(self, optimizer: Optimizer) -> None:
        """Check the gradients, and skip a bad update.

        Without gradients there is no update, or another hook has skipped it. If `GradScaler` found
        the bad gradients, the kernel itself skips the step.
        """
        params = params_with_grad(optimizer)
        if not params:
            return
        bad = not self._is_good(params)
        if not (bad and getattr(optimizer, "found_inf", False)):
            self.count(optimizer, bad=bad)
            if bad:
                skip_step(optimizer)

    def count(self, optimizer: Optimizer, *, bad: bool) -> None:
        """Count an update in each group.

        Raises:
            BadUpdateError: Too many in a row were bad.
        """
        for group in optimizer.param_groups:
            group["skipped"] = group.get("skipped", 0) + bad
            group["skipped_in_a_row"] = (group.get("skipped_in_a_row", 0) + 1) * bad
        self._check(optimizer)

    @torch.no_grad()
    def _is_good(self, params: Sequence[Tensor]) -> bool:
        if self._max_norm is not None:
            return float(total_norm(params)) <= self._max_norm
        return are_finite(params)

    def _check(self, optimizer: Optimizer) -> None:
        most, group = self._max_in_a_row, optimizer.param_groups[0]
        if most is not None and group["skipped_in_a_row"] > most:
            raise BadUpdateError(
                f"{group['skipped_in_a_row']} updates in a row were bad, and max_in_a_row is "
                f"{most}: their gradients were not finite, or above max_norm; look at the data and "
                "the loss, lower lr, or raise max_in_a_row of `skipping` around the optimizer "
                f"({group['skipped']} skipped in all)"
            )
