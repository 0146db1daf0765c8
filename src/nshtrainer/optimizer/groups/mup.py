"""Learning-rate transfer across width (muP)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import ConfigDict

from nshtrainer.config import Config
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import inventory
from nshtrainer.optimizer.groups.selectors import Selection, SelectorConfig, selects
from nshtrainer.types import PositiveInt

if TYPE_CHECKING:
    from torch.nn import Module

    from nshtrainer.optimizer.groups.parameters import Parameter

__all__ = ["WidthRule", "WidthTransferConfig"]

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
