"""Step hooks that clip gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from nshtrainer.optimizer.wrappers.hooks import norm_of, params_with_grad, register_grad_hook
from nshtrainer.optimizer_record import record_of

__all__ = ["ClipNorm", "clip_adaptively", "clip_values", "elements_of", "total_norm"]

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
        if _can_be_looked_at(params):
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
        if scale == math.inf:
            factor = self._wide_factor(params).item()
            for grad in [cast("Tensor", param.grad) for param in params]:
                grad.mul_(factor)
        elif scale > 1 and norm.dtype is torch.float32 and _divides_by_itself(optimizer):
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


def _can_be_looked_at(values: Sequence[Tensor]) -> bool:
    """Return True if the values of tensors can be read without waiting."""
    is_compiling = torch.compiler.is_compiling()
    return not is_compiling and all(value.device.type == "cpu" for value in values)


def elements_of(grad: Any) -> Tensor:
    """Return the elements of a gradient, without the zeros of a sparse one."""
    return grad.coalesce().values() if grad.is_sparse else grad


def _divides_by_itself(optimizer: Optimizer) -> bool:
    """Return True if torch's fused kernels do the step, which divide by a `grad_scale`."""
    kernels = type(optimizer) in (SGD, Adagrad, Adam, AdamW)
    return kernels and all(group.get("fused") for group in optimizer.param_groups)


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
            if not _can_be_looked_at([norm]) or norm.isinf().any():
                norm = norm_of(grad, dims, dtype=_wide_type(grad.device, grad.dtype))
            grad.mul_((largest / norm.clamp(min=1e-6)).clamp(max=1.0))
