r"""Configs of gradient descent, with momentum or with averaged weights.

In the formulas $g$ is the gradient, $\theta$ the parameter, $t$ the update from 1, $\gamma$ `lr`,
$\lambda$ `weight_decay`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator
from typing_extensions import Self, final, override

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.options import (
    Capturable,
    Fused,
)
from nshtrainer.optimizer.torch_config import ForeachConfigBase
from nshtrainer.types import Fraction, NonNegative

__all__ = ["ASGDConfig", "SGDConfig"]


@final
@optimizer_registry.register
class SGDConfig(ForeachConfigBase):
    r"""Stochastic gradient descent, optionally with momentum; the usual choice for convnets.

    $b \leftarrow \mu b + (1 - \tau)(g + \lambda\theta)$, $\theta \leftarrow \theta - \gamma b$,
    with $\mu$ `momentum` and $\tau$ `dampening`, which does not apply to the first update. Unlike
    in Sutskever et al., `lr` multiplies the whole buffer, so that a change of `lr` acts at once.

    Reference: I. Sutskever et al., On the importance of initialization and momentum in deep
    learning, ICML 2013.

    >>> from torch import nn
    >>> config = SGDConfig(lr=0.1, momentum=0.9, nesterov=True)
    >>> config.create_optimizer(nn.Linear(2, 1)).defaults["momentum"]
    0.9
    """

    target = "torch.optim:SGD"
    width_rule = "sgd"

    name: Literal["sgd"] = "sgd"

    lr: NonNegative = 1e-3
    """Learning rate: the factor on the gradient."""

    momentum: Fraction = 0
    """Share of the last update that is kept; 0 is plain gradient descent."""

    dampening: Fraction = 0
    """Share of the gradient that is left out of the momentum."""

    weight_decay: NonNegative = 0
    """Factor on the weights that is added to the gradient (an L2 penalty)."""

    nesterov: bool = False
    """Take the gradient one step ahead; needs `momentum` and no `dampening`."""

    fused: Fused = None
    """Update with one kernel. None: the fastest that the parameters allow."""

    @override
    def fused_dtypes(self) -> tuple[str, ...]:
        # Without momentum the loop is as fast. In 16 bits the kernel is less exact: by 0.06 after
        # five updates of 0.01 on a CPU, in torch 2.13.
        return ("float32", "float64") if self.momentum > 0 else ()

    @model_validator(mode="after")
    def _check_nesterov(self) -> Self:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs momentum > 0 and dampening 0")
        return self


@final
@optimizer_registry.register
class ASGDConfig(ForeachConfigBase):
    r"""Gradient descent that also keeps the average of the weights, in `state[p]["ax"]`.

    $\theta \leftarrow (1 - \lambda_0\eta)\,\theta - \eta g$ with $\eta = \gamma / (1 +
    \lambda_0\gamma t)^\alpha$, where $\lambda_0$ is `lambd`. The model itself holds the last
    weights, not the average.

    Reference: B. T. Polyak, A. B. Juditsky, Acceleration of Stochastic Approximation by Averaging,
    SIAM J. Control Optim. 30 (1992).

    >>> from torch import nn
    >>> ASGDConfig(t0=100).create_optimizer(nn.Linear(2, 1)).defaults["t0"]
    100.0
    """

    target = "torch.optim:ASGD"

    name: Literal["asgd"] = "asgd"

    lr: NonNegative = 1e-2
    """Learning rate: the factor on the gradient at the start."""

    lambd: NonNegative = 1e-4
    """Speed with which the weights and the rate decay."""

    alpha: NonNegative = 0.75
    """Power with which the rate falls."""

    t0: NonNegative = 1e6
    """Update at which averaging starts."""

    weight_decay: NonNegative = 0
    """Factor on the weights that is added to the gradient (an L2 penalty)."""

    capturable: Capturable = False
    """Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."""
