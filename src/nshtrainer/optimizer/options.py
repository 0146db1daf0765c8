"""Types of options that several optimizers share, each with its description."""

from __future__ import annotations

from typing import Annotated

from typing_extensions import Doc

from nshtrainer.config.named import LAST
from nshtrainer.types import Beta, NonNegative

__all__ = [
    "Betas",
    "Capturable",
    "DecoupledWeightDecay",
    "Eps",
    "Foreach",
    "Fused",
    "L2Penalty",
    "LearningRate",
    "Maximize",
    "RelativeDecay",
]
LearningRate = Annotated[
    NonNegative, Doc("Learning rate: about the size of one update of one weight.")
]
Betas = Annotated[
    tuple[Beta, Beta], Doc("Decay of the running averages of the gradient and of its square.")
]
Eps = Annotated[
    NonNegative, Doc("Added to the root of the average square, so that nothing is divided by zero.")
]
L2Penalty = Annotated[
    NonNegative, Doc("Factor on the weights that is added to the gradient (an L2 penalty).")
]
RelativeDecay = Annotated[
    NonNegative, Doc("Share of each weight taken off in an update, times the learning rate.")
]
DecoupledWeightDecay = Annotated[
    bool, Doc("Take the decay off the weights instead, as AdamW does.")
]

# -- how an update is computed: these fields are listed after all others ---------------------------

Maximize = Annotated[
    bool, Doc("Go up the gradient instead of down: the closure or loss is then an objective."), LAST
]
Foreach = Annotated[
    bool | None,
    Doc("Update lists of tensors at once. None: the fastest that the parameters allow."),
    LAST,
]
Capturable = Annotated[
    bool,
    Doc("Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."),
    LAST,
]
Fused = Annotated[
    bool | None, Doc("Update with one kernel. None: the fastest that the parameters allow."), LAST
]
