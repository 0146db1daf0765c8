"""Step hooks of sharpness-aware minimization (SAM)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.wrappers.hooks import (
    Arguments,
    norm_of,
    params_with_grad,
    unscale_grads,
)
from nshtrainer.optimizer_record import closure_of, record_of

__all__ = ["SAMHooks"]

Gradients = dict[Any, Any]
"""Gradients by parameter."""

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Buffers that norms such as batch norm update in a forward pass."""


def _statistics(modules: Iterable[Module]) -> list[Tensor]:
    found = [getattr(each, name, None) for each in modules for name in _STATISTICS]
    return [each for each in found if isinstance(each, Tensor)]


@contextmanager
def _statistics_kept(model: Module | None) -> Generator[None]:
    """Restore the running statistics of all modules that are called, which have seen the batch.

    Args:
        model: The model, if it is known; calls of modules in a compiled model cannot be observed.
    """
    modules = () if model is None else model.modules()
    kept = {id(each): (each, each.clone()) for each in _statistics(modules)}

    def note(module: Module, _inputs: Any) -> None:
        if not torch.compiler.is_compiling():
            for each in _statistics([module]):
                kept.setdefault(id(each), (each, each.clone()))

    hook = register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        hook.remove()
        with torch.no_grad():
            for each, value in kept.values():
                each.copy_(value)


class SAMHooks:
    """Step hooks that replace each gradient g by the gradient at a point uphill along g.

    Each group has the radius under `sam_rho`, which can be scheduled.

    Args:
        rho: The radius of the neighborhood.
        adaptive: Scale the radius by the magnitude of each weight.
    """

    def __init__(self, rho: float, *, adaptive: bool) -> None:
        self._rho = rho
        self._adaptive = adaptive

    def attach(self, optimizer: Optimizer) -> None:
        """Register the hook, and write the radius into the groups."""
        optimizer.register_step_pre_hook(self.before)
        for group in optimizer.param_groups:
            group["sam_rho"] = self._rho

    def before(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Arguments:
        """Replace the closure by one that computes the loss twice.

        Raises:
            OptimizerError: There is no closure.
        """
        closure = closure_of(args, kwargs)
        if closure is None:
            raise OptimizerError(
                "sharpness-aware minimization computes the loss twice an update, so step() needs a "
                "closure that computes the loss and its gradients"
            )

        @torch.enable_grad()
        def settled() -> Any:
            loss = closure()
            unscale_grads(optimizer)
            return loss

        @torch.no_grad()
        def twice() -> Any:
            loss = settled()
            self._compute_ahead(optimizer, settled)
            return loss

        return (optimizer,), {"closure": twice}

    def _compute_ahead(self, optimizer: Optimizer, closure: Any) -> None:
        here = {param: param.grad for param in params_with_grad(optimizer)}
        before = {param: param.clone() for param in here}
        self._climb(optimizer, here)
        for param in here:
            param.grad = None  # `here` still needs this tensor, so backward must make a new one
        try:
            with _statistics_kept(record_of(optimizer).model()):
                closure()
        finally:
            for param, value in before.items():
                param.copy_(value)

    def _climb(self, optimizer: Optimizer, here: Gradients) -> None:
        """Move the weights uphill by the radius."""
        if not here:
            return
        sizes: Gradients = {param: param.abs() if self._adaptive else 1.0 for param in here}
        scaled = {param: step * sizes[param] for param, step in here.items()}
        first = next(iter(here)).device
        norm = norm_of(torch.stack([norm_of(step).to(first) for step in scaled.values()])) + 1e-12
        for group in optimizer.param_groups:
            length = group.get("sam_rho", self._rho) / norm
            for param in group["params"]:
                if param in here:
                    param.add_(scaled[param] * sizes[param] * length.to(param.device))
