"""Learning rates that follow the batch size and the width (muP), and the coordinate check."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import ConfigDict

from nshtrainer.config import Config
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import inventory, modules_by_path
from nshtrainer.optimizer.groups.selectors import Selection, SelectorConfig, selects
from nshtrainer.run_length import RunLength, known_run_length
from nshtrainer.types import PositiveInt

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

    from nshtrainer.optimizer.groups.parameters import Parameter

    Start: TypeAlias = Callable[[int], tuple[Module, Optimizer, Callable[[], Tensor]]]

__all__ = ["WidthRule", "WidthTransferConfig", "batch_size_of", "coordinate_check"]


def batch_size_of(run: RunLength | None, module: Any) -> float:
    """Return the samples per update, from the run if it is given, else from the module's trainer.

    Raises:
        OptimizerError: The number is unknown; the message has the remedy.
    """
    found = run or known_run_length(module)
    known = found and found.samples_per_step
    if known is None:
        reason = found and found.unknown_because
        # The reason has a remedy for other callers after its semicolon.
        because = f" ({reason.partition(';')[0]})" if reason else ""
        raise OptimizerError(
            f"lr_scaling: the batch of one update is unknown{because}; in a loop of your own give "
            "create_optimizer(module, run=RunLength(samples_per_step=...)); under Lightning create "
            "the optimizer from the module in configure_optimizers, with data loaders that have a "
            "batch_size, or with a samples_per_step in the hyperparameters"
        )
    return known


WidthRule: TypeAlias = Literal["adam", "sgd"]
"""Growth of an optimizer's update with the gradient: none (`adam`) or in proportion (`sgd`)."""


class WidthTransferConfig(Config):
    r"""Transfer of learning rates from a narrow to a wide model: maximal update parametrization.

    With $m$ = `width` / `base_width`, the rate of optimizers that normalize the gradient (Adam and
    its variants) is divided by $m$ for hidden and output weights. Under SGD it is divided by $m$
    for output weights, and multiplied by $m$ for everything else, such as biases, embeddings and
    the first layer; the rate of the output bias does not change.

    The transfer needs an initialization in which the variance of an output weight falls with the
    square of the width: `initialize_(model)`. The model itself must divide attention scores by the
    size of a head, not by its root. Weight decay is multiplied by the rate, so it falls with the
    rate; a rule may set another. Use `coordinate_check` to verify the transfer.

    Reference: G. Yang, E. Hu et al., Tensor Programs V: Tuning Large Neural Networks via Zero-Shot
    Hyperparameter Transfer, table 3, arXiv:2203.03466.

    >>> WidthTransferConfig(base_width=64, width=256).factors("adam")
    {'hidden': 0.25, 'output': 0.25, 'input': 1.0, 'fixed': 1.0}
    """

    model_config = ConfigDict(defer_build=True)

    base_width: PositiveInt
    """Width of the model for which the rates were found."""

    width: PositiveInt
    """Width of this model."""

    hidden: Selection = SelectorConfig(role=("matrix", "conv"))
    """Weights with both dimensions growing with the width. Exclude the first layer if it has one of
    these roles: `{role: matrix, none_of: stem}`."""

    output: Selection = SelectorConfig(role="head")
    """Output layer, where only the input dimension grows with the width; the rate of its bias does
    not change."""

    def factors(self, rule: WidthRule | None) -> dict[str, float]:
        """Return the factor on the learning rate for each part of a model."""
        ratio = self.width / self.base_width
        hidden, inputs = (1 / ratio, 1.0) if rule == "adam" else (1.0, ratio)
        return {"hidden": hidden, "output": 1 / ratio, "input": inputs, "fixed": 1.0}

    def part_of(self, parameter: Parameter) -> str:
        """Return the part: `hidden`, `output`, `fixed` (output bias) or `input` (all others).

        Raises:
            OptimizerError: An output weight is tied to an embedding, which has another rate.
        """
        if not selects(self.output, parameter):
            return "hidden" if selects(self.hidden, parameter) else "input"
        if len(parameter.places) > 1:
            raise OptimizerError(
                f"width_transfer: {' and '.join(map(repr, parameter.names))} are one tied weight, "
                "and an output weight has another rate than an embedding; untie them"
            )
        # The output bias has no dimension that grows with the width.
        return "output" if parameter.shaped.ndim > 1 else "fixed"

    def initialize_(self, model: Module) -> None:
        """Divide the output weights by the root of `width` / `base_width`, in place.

        Call this once, on a new model with the usual initialization, in which the variance falls
        with the number of inputs.
        """
        import torch

        ratio = self.width / self.base_width
        with torch.no_grad():
            for parameter in inventory(model):
                if self.part_of(parameter) == "output":
                    parameter.tensor.div_(ratio**0.5)


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
