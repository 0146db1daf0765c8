"""Hooks that bound the gradients before an update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from nshtrainer.optimizer.hooks import norm_of, on_gradients, with_gradient

__all__ = ["ClipNorm", "clip_adaptively", "clip_values", "elements_of", "total_norm", "wide_norm"]

_foreach_norm: Any = vars(torch)["_foreach_norm"]
"""The norm of each tensor; what torch's own clipping calls, without what goes around it."""

_SMALL = 2.0**-84
"""What makes a number small enough for its square, and for the sum of 2^40 such squares."""


class ClipNorm:
    """Clips the gradients to a norm of all of them together, as torch's `clip_grad_norm_` does.

    On a CPU nothing is touched where nothing is to be clipped, a norm that overflows is computed
    again in more bits, and a fused kernel gets the factor for its own pass over the gradients,
    which leaves them clipped. Where the norm lies on another device, or the step is compiled,
    torch's way: to look at the norm would make this process wait.

    Args:
        limit: The largest norm.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def attach(self, optimizer: Optimizer) -> None:
        """Put the hooks on an optimizer."""
        on_gradients(optimizer, self._clip)
        optimizer.register_step_post_hook(_forget_scale)

    def _clip(self, optimizer: Optimizer) -> None:
        params = with_gradient(optimizer)
        norm = total_norm(params)
        if norm.device.type == "cpu" and not torch.compiler.is_compiling():
            scale = (norm.item() + 1e-6) / self._limit  # as in torch's formula
            if scale <= 1:
                return
            if scale == math.inf and _clip_by(params, self._limit, wide_norm(params)):
                return
            if scale < math.inf and norm.dtype is torch.float32 and _divides_by_itself(optimizer):
                vars(optimizer)["grad_scale"] = torch.tensor(scale, dtype=torch.float32)
                return
        clip_grads_with_norm_(params, self._limit, norm)


def total_norm(params: Sequence[Tensor]) -> Tensor:
    """The norm of all gradients together, also of sparse ones, which torch's function refuses."""
    return _norm([elements_of(param.grad) for param in params])


def wide_norm(params: Sequence[Tensor]) -> float:
    """The norm of all gradients together, also where it is no number of their own precision.

    It costs a copy of the gradients, for what `total_norm` says is infinite.
    """
    grads = [elements_of(param.grad) for param in params]
    wide = [grad.to(torch.promote_types(grad.dtype, torch.float32)) for grad in grads]
    return float(_norm([grad * _SMALL for grad in wide])) / _SMALL


def _norm(grads: list[Tensor]) -> Tensor:
    if len({(grad.device, grad.dtype) for grad in grads}) != 1:
        return get_total_norm(grads)
    return norm_of(torch.stack(_foreach_norm(grads)))


def elements_of(grad: Any) -> Tensor:
    """What a gradient holds; of a sparse one that is not all of it."""
    return grad.coalesce().values() if grad.is_sparse else grad


def _clip_by(params: Sequence[Tensor], limit: float, norm: float) -> bool:
    """Clip the gradients by a norm that is known, if it is finite, and return True if it is."""
    if not math.isfinite(norm):
        return False
    for param in params:
        grad: Any = param.grad
        grad.mul_(min(1.0, limit / norm))
    return True


def _divides_by_itself(optimizer: Optimizer) -> bool:
    """Whether the step is that of torch's fused kernels, which take a `grad_scale`."""
    kernels = type(optimizer) in (SGD, Adagrad, Adam, AdamW)
    return kernels and all(group.get("fused") for group in optimizer.param_groups)


def _forget_scale(optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
    vars(optimizer)["grad_scale"] = None


def clip_values(optimizer: Optimizer, limit: float) -> None:
    """Clip each element of the gradients to a size."""
    params = with_gradient(optimizer)
    if params:  # torch fails without
        clip_grad_value_(params, limit)


def clip_adaptively(optimizer: Optimizer, limit: float, eps: float = 1e-3) -> None:
    """Clip the gradient of each unit to a share of the norm of its weights.

    A unit is what one output sees of a matrix or a convolution, and all of a vector.

    Reference: A. Brock et al., High-Performance Large-Scale Image Recognition Without
    Normalization, arXiv:2102.06171.

    Args:
        optimizer: Whose gradients.
        limit: The largest norm of a gradient, as a share of that of the weights.
        eps: The least norm of weights that counts.
    """
    with torch.no_grad():
        for param in with_gradient(optimizer):
            grad: Any = param.grad
            dims = tuple(range(1, param.ndim)) or None
            largest = norm_of(param, dims).clamp(min=eps) * limit
            grad.mul_((largest / norm_of(grad, dims).clamp(min=1e-6)).clamp(max=1.0))
