"""Step hooks for any optimizer: Lookahead, and changes of the gradients.

The optimizer stays the same object, which schedules, checkpoints and trainers know. Hooks keep
their values in the optimizer's own state and groups, so these are saved and loaded with it. Hooks
can be pickled, so that a copy of the optimizer has copies of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nshtrainer.optimizer.groups.lazy_parameters import shapes_needed
from nshtrainer.optimizer_record import StepSkipped, closure_of, params_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

__all__ = [
    "Lookahead",
    "norm_of",
    "params_with_grad",
    "register_grad_hook",
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
                    self._meet(param, optimizer.state[param], now=count % self._k == 0)

    def _meet(self, param: Tensor, state: dict[str, Any], *, now: bool) -> None:
        if "slow" not in state:
            state["slow"] = self._first.pop(param)
        if now:
            state["slow"].lerp_(param, self._alpha)
            param.copy_(state["slow"])
