"""Types of the options that several optimizers have, each with its description."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from typing_extensions import Doc

from nshtrainer.config.named import LAST
from nshtrainer.types import Beta, NonNegative

__all__ = [
    "AMSGrad",
    "Betas",
    "Capturable",
    "DecoupledWeightDecay",
    "Differentiable",
    "Eps",
    "Foreach",
    "Fused",
    "L2Penalty",
    "LearningRate",
    "Maximize",
    "RelativeDecay",
]

LearningRate: TypeAlias = Annotated[
    NonNegative, Doc("Learning rate: about the size of one update of one weight.")
]

Betas: TypeAlias = Annotated[
    tuple[Beta, Beta], Doc("Decay of the running averages of the gradient and of its square.")
]

Eps: TypeAlias = Annotated[
    NonNegative,
    Doc("Added to the root of the average square, so that nothing is divided by zero."),
]

L2Penalty: TypeAlias = Annotated[
    NonNegative, Doc("Factor on the weights that is added to the gradient (an L2 penalty).")
]

RelativeDecay: TypeAlias = Annotated[
    NonNegative, Doc("Share of each weight taken off in an update, times the learning rate.")
]

AMSGrad: TypeAlias = Annotated[
    bool,
    Doc(
        "Divide by the largest average square so far instead of the present one (arXiv:1904.09237)."
    ),
]

DecoupledWeightDecay: TypeAlias = Annotated[
    bool, Doc("Take the decay off the weights instead, as AdamW does.")
]

# -- how an update is computed: such fields stand behind all others --------------------------------

Maximize: TypeAlias = Annotated[
    bool,
    Doc("Go up the gradient instead of down: the closure or loss is then an objective."),
    LAST,
]

Foreach: TypeAlias = Annotated[
    bool | None,
    Doc("Update lists of tensors at once. None: the fastest that the parameters allow."),
    LAST,
]

Differentiable: TypeAlias = Annotated[
    bool,
    Doc("Let autograd go through the update, as meta-learning needs; slower."),
    LAST,
]

Capturable: TypeAlias = Annotated[
    bool,
    Doc("Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."),
    LAST,
]

Fused: TypeAlias = Annotated[
    bool | None,
    Doc("Update with one kernel. None: the fastest that the parameters allow."),
    LAST,
]
