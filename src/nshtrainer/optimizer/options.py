"""Types of options that several optimizers share, some with a description.

Editors find the description of a field below it, but not in its type.
"""

from __future__ import annotations

from typing import Annotated

from typing_extensions import Doc

from nshtrainer.config.named import LAST
from nshtrainer.types import Beta, NonNegative

__all__ = [
    "Betas",
    "Capturable",
    "Eps",
    "Foreach",
    "Fused",
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
RelativeDecay = Annotated[
    NonNegative, Doc("Share of each weight taken off in an update, times the learning rate.")
]

# -- how an update is computed: these fields are listed after all others ---------------------------

Maximize = Annotated[bool, LAST]
Foreach = Annotated[bool | None, LAST]
Capturable = Annotated[bool, LAST]
Fused = Annotated[bool | None, LAST]
