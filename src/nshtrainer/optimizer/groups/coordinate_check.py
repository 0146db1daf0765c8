"""Coordinate check of muP: growth of activation changes with the width of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from nshtrainer.optimizer.groups.parameters import modules_by_path

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

    Start: TypeAlias = Callable[[int], tuple[Module, Optimizer, Callable[[], Tensor]]]

__all__ = ["coordinate_check"]


def coordinate_check(start: Start, widths: Sequence[int], *, steps: int = 3) -> dict[str, float]:
    """Return the power of the width with which each layer's outputs change in a few updates.

    Around 0 for every layer, learning rates transfer to other widths, as `width_transfer` assumes.
    Above 0, the change grows with the width, and the best rate falls. Below 0, a wider layer learns
    less.

    >>> import torch
    >>> from torch import nn
    >>> def start(width):
    ...     torch.manual_seed(0)
    ...     model = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 1))
    ...     optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    ...     return model, optimizer, lambda: model(torch.ones(1, 4)).square().mean()
    >>> powers = coordinate_check(start, [64, 256, 1024], steps=1)
    >>> powers["1"] > 0.5
    True

    Args:
        start: Width -> a model of this width, its optimizer, and a function that computes the loss
            on one fixed batch.
        widths: Two or more widths.
        steps: Updates between the two measurements.

    Returns:
        Name of a layer -> slope of the log of the mean change over the log of the width.
    """
    changes = [_changes(*start(width), steps) for width in widths]
    logs = [math.log(width) for width in widths]
    # The floor keeps a layer without any change from the logarithm of 0.
    return {
        name: _slope(logs, [math.log(max(change[name], 1e-30)) for change in changes])
        for name in changes[0]
    }


def _changes(
    model: Module, optimizer: Optimizer, loss: Callable[[], Tensor], steps: int
) -> dict[str, float]:
    """Return the mean absolute change of each layer's outputs."""
    first = _outputs(model, loss)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()  # pyright: ignore[reportUnknownMemberType]
        optimizer.step()
    last = _outputs(model, loss)
    return {name: (last[name] - first[name]).abs().mean().item() for name in first}


def _outputs(model: Module, loss: Callable[[], Tensor]) -> Mapping[str, Tensor]:
    import torch

    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                seen[name] = output.detach().double()

        return hook

    handles: list[RemovableHandle] = [
        layer.register_forward_hook(keep(name))
        for name, layer in modules_by_path(model).items()
        if not [*layer.children()]
    ]
    try:
        with torch.no_grad():
            loss()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((one - mean_x) ** 2 for one in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
