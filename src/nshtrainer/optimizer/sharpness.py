"""Hooks that compute the loss twice an update: here, and where it is higher nearby.

One mechanism: a gradient g here, a way uphill from it, a gradient h there, and the gradient that
the optimizer gets of both. A relative of SAM says which way is uphill, or what is made of g and h.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.hooks import Arguments, closure_of, norm_of, settle, with_gradient

__all__ = ["FriendlySharpness", "GapSharpness", "LookSharpness", "Sharpness", "WeightedSharpness"]

Gradients = dict[Any, Any]
"""The gradient of each parameter that has one."""


class Sharpness:
    """Sharpness-aware minimisation: the optimizer gets h.

    Each group has the radius under `sam_rho`, where a schedule may move it.

    Args:
        rho: The radius of the neighbourhood.
        adaptive: Whether it is scaled by the size of each weight.
    """

    def __init__(self, rho: float, *, adaptive: bool) -> None:
        self._rho = rho
        self._adaptive = adaptive

    def attach(self, optimizer: Optimizer) -> None:
        """Put the hooks on an optimizer, and the radius into its groups."""
        optimizer.register_step_pre_hook(self.before)
        optimizer.register_step_post_hook(self._after)
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
                "sharpness-aware minimisation computes the loss twice an update, so step() needs a "
                "closure that computes the loss and its gradients"
            )

        @torch.enable_grad()
        def settled() -> Any:
            loss = closure()
            settle(optimizer)
            return loss

        @torch.no_grad()
        def twice() -> Any:
            loss = settled()
            if self.looks(optimizer):
                self._look(optimizer, settled)
            else:
                self.go_by(optimizer)
            return loss

        return (optimizer,), {"closure": twice}

    def _look(self, optimizer: Optimizer, closure: Any) -> None:
        here = {param: param.grad for param in with_gradient(optimizer)}
        before = {param: param.clone() for param in here}
        self._climb(optimizer, self.uphill(optimizer, here))
        for param in here:
            param.grad = None  # it is still needed: what fills the next one must not write into it
        try:
            closure()
        finally:
            for param, value in before.items():
                param.copy_(value)
        self.combine(optimizer, here)

    def _climb(self, optimizer: Optimizer, way: Gradients) -> None:
        """Go uphill by the radius."""
        if not way:
            return
        sizes: Gradients = {param: param.abs() if self._adaptive else 1.0 for param in way}
        scaled = {param: step * sizes[param] for param, step in way.items()}
        first = next(iter(way)).device
        norm = norm_of(torch.stack([norm_of(step).to(first) for step in scaled.values()])) + 1e-12
        for group in optimizer.param_groups:
            length = group.get("sam_rho", self._rho) / norm
            for param in group["params"]:
                if param in way:
                    param.add_(scaled[param] * sizes[param] * length.to(param.device))

    def _after(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        with torch.no_grad():
            self.after(optimizer)

    # -- what a relative says --------------------------------------------------------------------

    def looks(self, optimizer: Optimizer) -> bool:  # noqa: ARG002 - for those who do not always
        """Whether this update computes the loss twice."""
        return True

    def uphill(self, optimizer: Optimizer, here: Gradients) -> Gradients:  # noqa: ARG002
        """The way uphill, of any length."""
        return here

    def combine(self, optimizer: Optimizer, here: Gradients) -> None:
        """Make the gradient that the optimizer gets of g, and of h, which the parameters have."""

    def go_by(self, optimizer: Optimizer) -> None:
        """Make that gradient of g alone, where there is no h."""

    def after(self, optimizer: Optimizer) -> None:
        """What follows the update."""


def _both(optimizer: Optimizer, here: Gradients) -> tuple[list[Any], list[Any], list[Any]]:
    """The parameters that have both, their g and their h."""
    params = [param for param in with_gradient(optimizer) if param in here]
    return params, [here[param] for param in params], [param.grad for param in params]


def _dot(one: Iterable[Tensor], other: Iterable[Tensor]) -> Any:
    """The product of two vectors in pieces; 0 for pieces of nothing."""
    products = [(a * b).sum() for a, b in zip(one, other, strict=True)]
    return sum(product.to(products[0].device) for product in products)


class GapSharpness(Sharpness):
    r"""GSAM: $h - \alpha\, g_\perp$, with $g_\perp$ the part of $g$ at right angles to $h$.

    Args:
        rho: The radius of the neighbourhood.
        alpha: The weight of the gap.
        adaptive: Whether the radius is scaled by the size of each weight.
    """

    def __init__(self, rho: float, alpha: float, *, adaptive: bool) -> None:
        super().__init__(rho, adaptive=adaptive)
        self._alpha = alpha

    @override
    def combine(self, optimizer: Optimizer, here: Gradients) -> None:
        """Go on down the gap between the losses, where h does not object."""
        _, gs, hs = _both(optimizer, here)
        along = _dot(gs, hs) / (_dot(hs, hs) + 1e-12)
        for g, h in zip(gs, hs, strict=True):
            h.sub_(g - along.to(h.device) * h, alpha=self._alpha)


class WeightedSharpness(Sharpness):
    r"""WSAM: the weights go along $g + w\,(h - g)$; the second part with the rate alone.

    Args:
        rho: The radius of the neighbourhood.
        weight: The weight w of the sharpness.
        adaptive: Whether the radius is scaled by the size of each weight.
        decouple: Whether the optimizer gets g alone, and the sharpness goes past it.
    """

    def __init__(self, rho: float, weight: float, *, adaptive: bool, decouple: bool) -> None:
        super().__init__(rho, adaptive=adaptive)
        self._weight = weight
        self._decouple = decouple
        self._sharpness: Gradients = {}

    @override
    def attach(self, optimizer: Optimizer) -> None:
        """Put the hooks on an optimizer with a rate, by which the second part goes."""
        if self._decouple and any("lr" not in group for group in optimizer.param_groups):
            raise OptimizerError(
                f"the sharpness goes by the rate of the optimizer, and {type(optimizer).__name__} "
                "has no lr; set decouple to false, or choose another optimizer"
            )
        super().attach(optimizer)

    @override
    def combine(self, optimizer: Optimizer, here: Gradients) -> None:
        """Give the optimizer both parts, or the first and remember the second."""
        for param, g, h in zip(*_both(optimizer, here), strict=True):
            sharpness = h - g
            h.copy_(g)
            if self._decouple:
                self._sharpness[param] = sharpness
                h.add_(sharpness, alpha=0.0)  # who skips bad updates sees a bad second part too
            else:
                h.add_(sharpness, alpha=self._weight)

    @override
    def after(self, optimizer: Optimizer) -> None:
        """Follow the second part, unless somebody skipped the update."""
        for group in optimizer.param_groups:
            for param in group["params"]:
                if param.grad is not None and param in self._sharpness:
                    param.sub_(group["lr"] * self._weight * self._sharpness[param])
        self._sharpness.clear()


class LookSharpness(Sharpness):
    r"""LookSAM: h every k updates; between them $g + \alpha \lVert g\rVert v / \lVert v\rVert$.

    v, the part of h at right angles to g when h was last computed, lies in the state of each
    parameter under `look_sam`, and each group counts its updates under `look_sam_step`.

    Args:
        rho: The radius of the neighbourhood.
        k: Updates for one that computes the loss twice.
        alpha: The weight of v.
        adaptive: Whether the radius is scaled by the size of each weight.
    """

    def __init__(self, rho: float, k: int, alpha: float, *, adaptive: bool) -> None:
        super().__init__(rho, adaptive=adaptive)
        self._k = k
        self._alpha = alpha
        self._found: Gradients = {}

    @override
    def looks(self, optimizer: Optimizer) -> bool:
        """Every k updates."""
        return optimizer.param_groups[0].get("look_sam_step", 0) % self._k == 0

    @override
    def combine(self, optimizer: Optimizer, here: Gradients) -> None:
        """Remember where h points beside g."""
        params, gs, hs = _both(optimizer, here)
        along = _dot(gs, hs) / (_dot(gs, gs) + 1e-24)
        for param, g, h in zip(params, gs, hs, strict=True):
            self._found[param] = h - along.to(g.device) * g

    @override
    def go_by(self, optimizer: Optimizer) -> None:
        """Go where h pointed."""
        found = {p: optimizer.state.get(p, {}).get("look_sam") for p in with_gradient(optimizer)}
        besides = {param: beside for param, beside in found.items() if beside is not None}
        grads: list[Any] = [param.grad for param in besides]
        longer = (_dot(grads, grads) / (_dot(besides.values(), besides.values()) + 1e-24)) ** 0.5
        for grad, beside in zip(grads, besides.values(), strict=True):
            grad.add_(beside * longer.to(grad.device), alpha=self._alpha)

    @override
    def after(self, optimizer: Optimizer) -> None:
        """Count, and save what was found; an update that somebody skipped is none."""
        updated = with_gradient(optimizer)
        for param in updated:
            if param in self._found:
                optimizer.state[param]["look_sam"] = self._found[param]
        self._found.clear()
        for group in optimizer.param_groups:
            group["look_sam_step"] = group.get("look_sam_step", 0) + bool(updated)


class FriendlySharpness(Sharpness):
    r"""F-SAM: uphill is $g - \sigma m$, what the batch has of its own; $m$ averages $g$.

    m lies in the state of each parameter under `friendly_sam`.

    Args:
        rho: The radius of the neighbourhood.
        sigma: How much of the average is taken away.
        decay: The decay of the average.
        adaptive: Whether the radius is scaled by the size of each weight.
    """

    def __init__(self, rho: float, sigma: float, decay: float, *, adaptive: bool) -> None:
        super().__init__(rho, adaptive=adaptive)
        self._sigma = sigma
        self._decay = decay
        self._averages: Gradients = {}

    @override
    def uphill(self, optimizer: Optimizer, here: Gradients) -> Gradients:
        """Away from what all batches have in common; the first update knows nothing of that."""
        way: Gradients = {}
        for param, g in here.items():
            average = optimizer.state.get(param, {}).get("friendly_sam")
            way[param] = g if average is None else g - self._sigma * average
            self._averages[param] = g if average is None else average.lerp(g, 1 - self._decay)
        return way

    @override
    def after(self, optimizer: Optimizer) -> None:
        """Save the averages, unless somebody skipped the update."""
        for param in with_gradient(optimizer):
            if param in self._averages:
                optimizer.state[param]["friendly_sam"] = self._averages[param]
        self._averages.clear()
