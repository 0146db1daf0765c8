r"""Configs of the optimizers of schedulefree, which average weights instead of decaying the rate.

In the formulas $z$ is the newest weight, $x$ the average, and $y = (1-\beta)z + \beta x$ the point
of the gradient.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Gt, Lt
from typing_extensions import Doc, final

from nshtrainer.config.named import LAST
from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.types import Beta, NonNegative, NonNegativeInt

__all__ = ["AdamWScheduleFreeConfig", "RAdamScheduleFreeConfig", "SGDScheduleFreeConfig"]

_Inside = Annotated[float, Gt(0), Lt(1)]

_Decay = Annotated[NonNegative, Doc("Weight decay, taken at y."), LAST]
_StepPower = Annotated[NonNegative, Doc("Power of the step in the weights of the average."), LAST]
_RatePower = Annotated[
    NonNegative, Doc("Power of the largest rate so far in the weights of the average."), LAST
]
_Foreach = Annotated[bool | None, Doc("Update lists of tensors at once."), LAST]


@final
@optimizer_registry.register
class AdamWScheduleFreeConfig(PackageOptimizerConfigBase):
    """AdamW that averages its weights instead of decaying its rate.

    It needs neither a schedule nor the length of the run. Use the rates of AdamW or somewhat larger
    ones. In evaluation and in checkpoints the weights are the averages: `LightningModuleBase`
    switches; in a custom loop call `optimizer.eval()` and `optimizer.train()`.

    Reference: A. Defazio et al., The Road Less Scheduled, arXiv:2405.15682.

    >>> AdamWScheduleFreeConfig(warmup_steps=100).warmup_steps
    100
    """

    target = "schedulefree:AdamWScheduleFree"

    name: Literal["adamwschedulefree"] = "adamwschedulefree"

    lr: NonNegative = 0.0025
    """Learning rate."""

    betas: tuple[_Inside, Beta] = (0.9, 0.999)
    """Position of the gradient between the newest weights (0) and the average (1); decay of the
    square."""

    eps: NonNegative = 1e-8
    """Added to the denominator, so that nothing is divided by zero."""

    warmup_steps: NonNegativeInt = 0
    """Updates in which the rate grows to its value."""

    weight_decay: _Decay = 0
    r: _StepPower = 0.0
    weight_lr_power: _RatePower = 2.0
    foreach: _Foreach = True


@final
@optimizer_registry.register
class RAdamScheduleFreeConfig(PackageOptimizerConfigBase):
    """RAdam that averages its weights instead of decaying its rate: no warm-up either.

    Reference: A. Defazio et al., The Road Less Scheduled, arXiv:2405.15682.

    >>> RAdamScheduleFreeConfig().silent_sgd_phase
    True
    """

    target = "schedulefree:RAdamScheduleFree"
    takes_tensor_lr = False

    name: Literal["radamschedulefree"] = "radamschedulefree"

    lr: NonNegative = 0.0025
    """Learning rate."""

    betas: tuple[_Inside, Beta] = (0.9, 0.999)
    """Position of the gradient between the newest weights (0) and the average (1); decay of the
    square."""

    eps: NonNegative = 1e-8
    """Added to the denominator, so that nothing is divided by zero."""

    silent_sgd_phase: bool = True
    """Change no weight while the variance is not yet known."""

    weight_decay: _Decay = 0
    r: _StepPower = 0.0
    weight_lr_power: _RatePower = 2.0
    foreach: _Foreach = True


@final
@optimizer_registry.register
class SGDScheduleFreeConfig(PackageOptimizerConfigBase):
    """SGD that averages its weights instead of decaying its rate.

    Use rates ten to fifty times as large as for SGD with momentum.

    Reference: A. Defazio et al., The Road Less Scheduled, arXiv:2405.15682.

    >>> SGDScheduleFreeConfig(lr=5.0).momentum
    0.9
    """

    target = "schedulefree:SGDScheduleFree"

    name: Literal["sgdschedulefree"] = "sgdschedulefree"

    lr: NonNegative = 1.0
    """Learning rate."""

    momentum: _Inside = 0.9
    """Position of the gradient between the newest weights (0) and the average (1)."""

    warmup_steps: NonNegativeInt = 0
    """Updates in which the rate grows to its value."""

    weight_decay: _Decay = 0
    r: _StepPower = 0.0
    weight_lr_power: _RatePower = 2.0
    foreach: _Foreach = True
