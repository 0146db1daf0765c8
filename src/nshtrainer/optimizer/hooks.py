"""What can be put around the step of any optimizer, as hooks of it.

What steps stays the optimizer that it was: schedules, checkpoints and trainers know it. What a hook
has to remember lies in the optimizer's own state and groups, so it is saved and loaded with them. A
copy of an optimizer has no hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from nshtrainer.exceptions import OptimizerError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

__all__ = ["Lookahead", "Sharpness", "clip_adaptively", "on_gradients", "skip_unless_finite"]

Closure = Callable[[], Any]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def _parameters(optimizer: Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _with_gradient(optimizer: Optimizer) -> list[Tensor]:
    return [param for param in _parameters(optimizer) if param.grad is not None]


def _closure_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Closure | None:
    return args[1] if len(args) > 1 else kwargs.get("closure")


# -- before the update -----------------------------------------------------------------------------


def on_gradients(optimizer: Optimizer, change: Callable[[Optimizer], None]) -> None:
    """Let a function change the gradients before each update: after the closure, if there is one.

    Args:
        optimizer: What steps.
        change: What changes the gradients of its parameters.
    """

    def before(own: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        closure = _closure_of(args, kwargs)
        if closure is None:
            change(own)
            return None

        def run() -> Any:
            loss = closure()
            change(own)
            return loss

        return (own,), {"closure": run}

    optimizer.register_step_pre_hook(before)


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
    import torch

    with torch.no_grad():
        for param in _with_gradient(optimizer):
            grad: Any = param.grad
            dims = tuple(range(1, param.ndim)) or None
            largest = _norm(param, dims).clamp(min=eps) * limit
            grad.mul_((largest / _norm(grad, dims).clamp(min=1e-6)).clamp(max=1.0))


def _norm(value: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    import torch

    linalg: Any = torch.linalg  # its functions have no types
    return linalg.vector_norm(value, dim=dims, keepdim=dims is not None)


def skip_unless_finite(optimizer: Optimizer) -> None:
    """Take the gradients away where one is not finite: the update then changes nothing.

    Each group counts such updates, under `skipped`.
    """
    import torch

    grads: list[Any] = [param.grad for param in _with_gradient(optimizer)]
    if all(bool(torch.isfinite(grad).all()) for grad in grads):
        return
    for group in optimizer.param_groups:
        group["skipped"] = group.get("skipped", 0) + 1
        for param in group["params"]:
            param.grad = None


# -- around the update -----------------------------------------------------------------------------


class Sharpness:
    """A step hook that takes the gradient where the loss is highest nearby.

    Args:
        rho: The radius of the neighbourhood.
        adaptive: Whether it is scaled by the size of each weight.
    """

    def __init__(self, rho: float, *, adaptive: bool) -> None:
        self._rho = rho
        self._adaptive = adaptive

    def __call__(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Arguments:
        """Replace the closure by one that computes the loss twice: here, and uphill."""
        import torch

        closure = _closure_of(args, kwargs)
        if closure is None:
            raise OptimizerError(
                "sharpness-aware minimisation computes the loss twice an update, so step() needs a "
                "closure that computes the loss and its gradients"
            )

        @torch.enable_grad()
        def twice() -> Any:
            loss = closure()
            moved = self._climb(optimizer)
            try:
                closure()
            finally:
                with torch.no_grad():
                    for param, before in moved:
                        param.copy_(before)
            return loss

        return (optimizer,), {"closure": twice}

    def _climb(self, optimizer: Optimizer) -> list[tuple[Tensor, Tensor]]:
        """Go uphill by the radius; what was moved, and where it was."""
        import torch

        with torch.no_grad():
            params = _with_gradient(optimizer)
            scales: list[Any] = [param.abs() if self._adaptive else 1.0 for param in params]
            scaled: list[Tensor] = [p.grad * scale for p, scale in zip(params, scales, strict=True)]
            norms = [_norm(grad).to(params[0].device) for grad in scaled]
            step = self._rho / (_norm(torch.stack(norms)) + 1e-12)
            before = [param.clone() for param in params]
            for param, scale, grad in zip(params, scales, scaled, strict=True):
                param.add_(grad * scale * step.to(param.device))
        return list(zip(params, before, strict=True))


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
        for param in _parameters(optimizer):
            if "slow" not in optimizer.state.get(param, {}) and param not in self._first:
                self._first[param] = param.detach().clone()

    def after(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Count the update, and let slow and fast weights meet when it is time."""
        import torch

        with torch.no_grad():
            for group in optimizer.param_groups:
                count = group["lookahead_step"] = group.get("lookahead_step", 0) + 1
                for param in group["params"]:
                    # An optimizer makes its state where there is none: ours comes after it.
                    if param.grad is not None:
                        self._meet(param, optimizer.state[param], now=count % self._k == 0)

    def _meet(self, param: Tensor, state: dict[str, Any], *, now: bool) -> None:
        if "slow" not in state:
            state["slow"] = self._first.pop(param)
        if now:
            state["slow"].lerp_(param, self._alpha)
            param.copy_(state["slow"])
