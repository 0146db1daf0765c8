r"""Configs of adaptive methods without Adam's momentum: Adagrad, RMSprop and others.

In the formulas $g$ is the gradient, $\theta$ the parameter, $t$ the update from 1, $\gamma$ `lr`,
$\lambda$ `weight_decay`; $v$ is a running average, or a sum, of $g^2$.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self, final

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.options import (
    Capturable,
    Foreach,
    Fused,
    Maximize,
)
from nshtrainer.optimizer.torch_config import ForeachConfigBase, TorchOptimizerConfigBase
from nshtrainer.types import Beta, Fraction, NonNegative, Positive

__all__ = [
    "AdadeltaConfig",
    "AdafactorConfig",
    "AdagradConfig",
    "RMSpropConfig",
    "RpropConfig",
]

_NonPositive = Annotated[float, Field(le=0, allow_inf_nan=False)]
_AtLeastOne = Annotated[float, Field(ge=1, allow_inf_nan=False)]
_BelowOne = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
_AboveOne = Annotated[float, Field(gt=1, allow_inf_nan=False)]


@final
@optimizer_registry.register
class AdagradConfig(ForeachConfigBase):
    r"""Gradients scaled by all past ones; good for sparse features, but steps shrink in long runs.

    $v \leftarrow v + g^2$, $\theta \leftarrow \theta - \gamma_t\,g / (\sqrt v + \epsilon)$ with
    $\gamma_t = \gamma / (1 + (t - 1)\eta)$ and $\eta$ `lr_decay`.

    Reference: J. Duchi et al., Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization, JMLR 12 (2011).

    >>> from torch import nn
    >>> AdagradConfig(lr_decay=0.1).create_optimizer(nn.Linear(2, 1)).defaults["lr_decay"]
    0.1
    """

    target = "torch.optim:Adagrad"
    width_rule = "adam"
    fused_for = ("float32", "float64")

    name: Literal["adagrad"] = "adagrad"

    lr: NonNegative = 1e-2
    """Learning rate: the size of the first update of one weight."""

    lr_decay: NonNegative = 0
    """Speed with which the rate falls with the number of updates."""

    weight_decay: NonNegative = 0
    """Factor on the weights that is added to the gradient; not with sparse gradients."""

    initial_accumulator_value: NonNegative = 0
    """Initial value of the sum of squares."""

    eps: NonNegative = 1e-10
    """Added to the root of the sum, so that nothing is divided by zero."""

    fused: Fused = None
    """Update with one kernel. None: the fastest that the parameters allow."""


@final
@optimizer_registry.register
class AdadeltaConfig(ForeachConfigBase):
    r"""Gradients scaled by recent gradients and updates, so that the rate has no unit.

    $\Delta = g\,\sqrt{u + \epsilon} / \sqrt{v + \epsilon}$, $\theta \leftarrow \theta -
    \gamma\Delta$, where $u$ is the running average of $\Delta^2$. The paper has no `lr`: it is 1
    there.

    Reference: M. D. Zeiler, ADADELTA: An Adaptive Learning Rate Method, arXiv:1212.5701.

    >>> from torch import nn
    >>> AdadeltaConfig(rho=0.95).create_optimizer(nn.Linear(2, 1)).defaults["rho"]
    0.95
    """

    target = "torch.optim:Adadelta"

    name: Literal["adadelta"] = "adadelta"

    lr: NonNegative = 1.0
    """Factor on the update."""

    rho: Fraction = 0.9
    """Decay of the two running averages."""

    eps: Positive = 1e-6
    """Added to both averages; it sets the size of the first updates."""

    weight_decay: NonNegative = 0
    """Factor on the weights that is added to the gradient (an L2 penalty)."""

    capturable: Capturable = False
    """Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."""


@final
@optimizer_registry.register
class RMSpropConfig(ForeachConfigBase):
    r"""Gradients scaled by the average of recent squares; usual in reinforcement learning.

    $\theta \leftarrow \theta - \gamma\,g / (\sqrt v + \epsilon)$. torch adds $\epsilon$ after the
    root; TensorFlow adds it before, which matters where $\epsilon$ is large.

    Reference: T. Tieleman, G. Hinton, Lecture 6.5, Neural Networks for Machine Learning, 2012;
    the centered form: A. Graves, arXiv:1308.0850.

    >>> from torch import nn
    >>> RMSpropConfig(momentum=0.9).create_optimizer(nn.Linear(2, 1)).defaults["momentum"]
    0.9
    """

    target = "torch.optim:RMSprop"
    width_rule = "adam"

    name: Literal["rmsprop"] = "rmsprop"

    lr: NonNegative = 1e-2
    """Learning rate: about the size of one update of one weight."""

    alpha: Beta = 0.99
    """Decay of the running average of the squared gradient."""

    eps: NonNegative = 1e-8
    """Added to the root of the average, so that nothing is divided by zero."""

    weight_decay: NonNegative = 0
    """Factor on the weights that is added to the gradient (an L2 penalty)."""

    momentum: Fraction = 0
    """Share of the last update that is kept."""

    centered: bool = False
    """Divide by the standard deviation of the gradient instead of its root mean square."""

    capturable: Capturable = False
    """Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."""


@final
@optimizer_registry.register
class RpropConfig(ForeachConfigBase):
    r"""Steps by the sign of the gradient only; for full batches, not for mini-batches.

    Each weight has its own step size, which grows by $\eta^+$ while the sign stays and shrinks by
    $\eta^-$ when it changes, within `step_sizes`; after a change of sign the weight skips one step.

    Reference: M. Riedmiller, H. Braun, A direct adaptive method for faster backpropagation
    learning: the RPROP algorithm, ICNN 1993.

    >>> from torch import nn
    >>> RpropConfig(etas=(0.5, 1.1)).create_optimizer(nn.Linear(2, 1)).defaults["etas"]
    (0.5, 1.1)
    """

    target = "torch.optim:Rprop"
    under_fsdp2 = "fails"
    lr_scope = "first_step"
    lr_zero = "not_first"

    name: Literal["rprop"] = "rprop"

    lr: Positive = 1e-2
    """First step size of every weight; later it has no effect, so a schedule is refused."""

    etas: tuple[_BelowOne, _AboveOne] = (0.5, 1.2)
    """Factors on a step size when the sign of the gradient changed, and when it stayed."""

    step_sizes: tuple[NonNegative, Positive] = (1e-6, 50)
    """Smallest and largest step size."""

    capturable: Capturable = False
    """Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."""

    @model_validator(mode="after")
    def _ordered_sizes(self) -> Self:
        low, high = self.step_sizes
        if low > high:
            raise ValueError(f"step_sizes are (smallest, largest); got {low} > {high}")
        return self


@final
@optimizer_registry.register
class AdafactorConfig(TorchOptimizerConfigBase):
    r"""Adam's second moment kept as one row and one column for each matrix: little memory.

    $\theta \leftarrow \theta - \alpha\,\hat u$ with $u = g / \sqrt{\hat v}$, $\hat u = u / \max(1,
    \mathrm{RMS}(u)/d)$, $\alpha = \rho\max(\epsilon_2, \mathrm{RMS}(\theta))$ and $\rho =
    \min(\gamma, 1/\sqrt t)$. It keeps no momentum. Other packages call $(\epsilon_1, \epsilon_2)$
    `eps` too, but take `beta2_decay` without its sign.

    Reference: N. Shazeer, M. Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost,
    arXiv:1804.04235.

    >>> from torch import nn
    >>> AdafactorConfig(lr=0.005).create_optimizer(nn.Linear(2, 1)).defaults["eps"]
    (None, 0.001)
    """

    target = "torch.optim:Adafactor"
    under_fsdp2 = "fails"

    name: Literal["adafactor"] = "adafactor"

    lr: NonNegative = 1e-2
    """Largest rate, relative to the size of the weights."""

    beta2_decay: _NonPositive = -0.8
    """Power of the number of the update, with which the decay of the second moment goes to 1."""

    eps: tuple[NonNegative | None, NonNegative] = (None, 1e-3)
    """Added to the squared gradient (None: the resolution of its type), and the smallest size of
    the weights by which the rate is scaled."""

    d: _AtLeastOne = 1.0
    """Root mean square above which an update is scaled down."""

    weight_decay: NonNegative = 0.0
    """Share of each weight taken off in an update, times the learning rate."""

    maximize: Maximize = False
    """Go up the gradient instead of down: the closure or loss is then an objective."""

    foreach: Foreach = None
    """Update lists of tensors at once. None: the fastest that the parameters allow."""
