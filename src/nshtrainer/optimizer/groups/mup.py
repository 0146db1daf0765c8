"""Rates and initial weights that carry over from a narrow model to a wide one (muP)."""

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
"""How an optimizer's update grows with the gradient: not at all, or in proportion."""


class WidthTransferConfig(Config):
    r"""Rates found on a narrow model, for a wide one: the maximal update parametrization.

    With $m$ = `width` / `base_width`, the rate of optimizers that scale the gradient away (Adam and
    its kin) is divided by $m$ for hidden and output weights. Under SGD it is divided by $m$ for
    output weights, and multiplied by $m$ for everything that is neither, as biases, embeddings
    and the first layer; the bias of the output is left as it is.

    It goes with an initialization in which the variance of an output weight falls with the square
    of the width: `initialize_(model)`. Attention must divide its scores by the size of a head, not
    by its root, which only the model can do. Weight decay is multiplied by the rate, so that it
    falls with it; a rule may say otherwise. Whether it works, `coordinate_check` shows.

    Reference: G. Yang, E. Hu et al., Tensor Programs V: Tuning Large Neural Networks via Zero-Shot
    Hyperparameter Transfer, table 3, arXiv:2203.03466.

    >>> WidthTransferConfig(base_width=64, width=256).factors("adam")
    {'hidden': 0.25, 'output': 0.25, 'input': 1.0, 'fixed': 1.0}
    """

    model_config = ConfigDict(defer_build=True)

    base_width: PositiveInt
    """The width of the model for which the rates were found."""

    width: PositiveInt
    """The width of this model."""

    hidden: Selection = SelectorConfig(role=("matrix", "conv"))
    """The weights of which both sides grow with the width; not the first layer, if it is one of
    these: `{role: matrix, none_of: stem}`."""

    output: Selection = SelectorConfig(role="head")
    """The output layer, of which only the side of the inputs grows with the width; its bias is left
    as it is."""

    def factors(self, rule: WidthRule | None) -> dict[str, float]:
        """The factors on the rate of each part of a model."""
        ratio = self.width / self.base_width
        hidden, inputs = (1 / ratio, 1.0) if rule == "adam" else (1.0, ratio)
        return {"hidden": hidden, "output": 1 / ratio, "input": inputs, "fixed": 1.0}

    def part_of(self, parameter: Parameter) -> str:
        """`hidden` or `output` weights, the output's bias (`fixed`), or everything else (`input`).

        Raises:
            OptimizerError: It is tied to an embedding, for which there is no one rate.
        """
        if not selects(self.output, parameter):
            return "hidden" if selects(self.hidden, parameter) else "input"
        if len(parameter.places) > 1:
            raise OptimizerError(
                f"width_transfer: {' and '.join(map(repr, parameter.names))} are one tied weight, "
                "and an output weight has another rate than an embedding; untie them"
            )
        return "output" if parameter.shaped.ndim > 1 else "fixed"

    def initialize_(self, model: Module) -> None:
        """Divide the output weights by the root of `width` / `base_width`, in place, once.

        The model has just been made, with the usual initialization: a variance that falls with the
        number of inputs.
        """
        import torch

        ratio = self.width / self.base_width
        with torch.no_grad():
            for parameter in inventory(model):
                if self.part_of(parameter) == "output":
                    parameter.tensor.div_(ratio**0.5)
