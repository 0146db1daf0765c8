"""What can be put around the step of any optimizer, as hooks of it.

What steps stays the optimizer that it was: schedules, checkpoints and trainers know it. What a hook
has to remember lies in the optimizer's own state and groups, so it is saved and loaded with them.
Hooks can be pickled, so that a copy of the optimizer has copies of them.
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
    """The parameters that an update would change."""
    return [param for param in params_of(optimizer) if param.grad is not None]


def norm_of(
    value: Tensor, dims: tuple[int, ...] | None = None, *, dtype: torch.dtype | None = None
) -> Tensor:
    """The 2-norm of a tensor, or along some of its dimensions, which are kept.

    Args:
        value: The tensor.
        dims: The dimensions; all, when `None`.
        dtype: The type in which it is computed; that of the tensor, when `None`.
    """
    import torch

    linalg: Any = torch.linalg  # its functions have no types
    return linalg.vector_norm(value, dim=dims, keepdim=dims is not None, dtype=dtype)


def unscale_grads(optimizer: Optimizer) -> None:
    """Give the gradients the size at which the step would read them.

    A fused kernel divides them by `grad_scale`, if somebody left one: `GradScaler`, or a hook that
    clips. Who looks at gradients before the step looks at settled ones.
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
    """Let a function change the gradients before each update: after the closure, if there is one.

    Args:
        optimizer: What steps.
        change: What changes the gradients of its parameters.

    Returns:
        The handle of the hook.
    """
    return optimizer.register_step_pre_hook(_GradientHook(change))


class _GradientHook:
    """A step hook that changes the gradients, after the closure if there is one."""

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
    """Step hooks that keep slow weights, which follow the fast ones every few updates.

    They lie in the state of each parameter under `slow`, and each group counts its updates under
    `lookahead_step`.

    Args:
        k: Updates of the fast weights for one of the slow weights.
        alpha: How far the slow weights go to the fast ones, which then begin there.
    """

    def __init__(self, k: int, alpha: float) -> None:
        self._k = k
        self._alpha = alpha
        self._first: dict[Tensor, Tensor] = {}

    def before(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Remember where the weights are that were never updated: there the slow ones begin."""
        for param in params_of(optimizer):
            if "slow" not in optimizer.state.get(param, {}) and param not in self._first:
                with shapes_needed("lookahead", [param]):
                    self._first[param] = param.detach().clone()

    def after(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Count the update, and let slow and fast weights meet when it is time."""
        import torch

        with torch.no_grad():
            for group in optimizer.param_groups:
                updated = [param for param in group["params"] if param.grad is not None]
                count = group.get("lookahead_step", 0) + bool(updated)
                group["lookahead_step"] = count
                for param in updated:
                    # An optimizer makes its state where there is none: ours comes after it.
                    self._meet(param, optimizer.state[param], now=count % self._k == 0)

    def _meet(self, param: Tensor, state: dict[str, Any], *, now: bool) -> None:
        if "slow" not in state:
            state["slow"] = self._first.pop(param)
        if now:
            state["slow"].lerp_(param, self._alpha)
            param.copy_(state["slow"])
