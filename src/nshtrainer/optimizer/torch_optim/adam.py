r"""Configs of Adam and its variants: running averages of the gradient and of its square.

In the formulas $g$ is the gradient, $\theta$ the parameter, $t$ the update from 1, $\gamma$ `lr`,
$\beta_1, \beta_2$ `betas`, $\lambda$ `weight_decay`; $m$ and $v$ are the running averages of $g$
and $g^2$, and $\hat m = m/(1-\beta_1^t)$, $\hat v = v/(1-\beta_2^t)$ their unbiased forms.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import final

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.options import (
    Capturable,
    Fused,
    Maximize,
)
from nshtrainer.optimizer.torch_config import ForeachConfigBase, TorchOptimizerConfigBase
from nshtrainer.types import Beta, NonNegative, Positive

__all__ = [
    "AdamConfig",
    "AdamWConfig",
    "AdamaxConfig",
    "NAdamConfig",
    "RAdamConfig",
    "SparseAdamConfig",
]

_FUSED_FOR = ("float32", "float64", "bfloat16")
"""All types but float16, in which the loop overflows and the kernel does not."""


@final
@optimizer_registry.register
class AdamWConfig(ForeachConfigBase):
    r"""Adam with decoupled weight decay: the usual first choice, above all for transformers.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$.
    The paper scales the decay by the schedule alone; here, as in torch, also by `lr`.

    Reference: I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101.

    >>> from torch import nn
    >>> optimizer = AdamWConfig(lr=3e-4, betas=(0.9, 0.95)).create_optimizer(nn.Linear(2, 1))
    >>> optimizer.defaults["betas"]
    (0.9, 0.95)
    """

    target = "torch.optim:AdamW"
    width_rule = "adam"
    fused_for = _FUSED_FOR
    foreach_takes_tensor_lr = False

    name: Literal["adamw"] = "adamw"

    lr: NonNegative = 1e-3
    """Learning rate: about the size of one update of one weight."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    eps: NonNegative = 1e-8
    """Added to the root of the average square, so that nothing is divided by zero."""

    weight_decay: NonNegative = 0.01
    """Share of each weight taken off in an update, times the learning rate."""

    amsgrad: bool = False
    """Divide by the largest average square so far instead of the present one (arXiv:1904.09237)."""

    fused: Fused = None
    """Update with one kernel. None: the fastest that the parameters allow."""

    capturable: Capturable = False
    """Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."""


@final
@optimizer_registry.register
class AdamConfig(ForeachConfigBase):
    r"""Adam: each weight has its own step size; good where no weight decay is wanted.

    $\theta \leftarrow \theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$, after
    $g \leftarrow g + \lambda\theta$. With weight decay AdamW is usually better.

    Reference: D. P. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, arXiv:1412.6980.

    >>> from torch import nn
    >>> AdamConfig(amsgrad=True).create_optimizer(nn.Linear(2, 1)).defaults["amsgrad"]
    True
    """

    target = "torch.optim:Adam"
    width_rule = "adam"
    fused_for = _FUSED_FOR
    foreach_takes_tensor_lr = False

    name: Literal["adam"] = "adam"

    lr: NonNegative = 1e-3
    """Learning rate: about the size of one update of one weight."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    eps: NonNegative = 1e-8
    """Added to the root of the average square, so that nothing is divided by zero."""

    weight_decay: NonNegative = 0
    """Factor on the weights that is added to the gradient (an L2 penalty)."""

    amsgrad: bool = False
    """Divide by the largest average square so far instead of the present one (arXiv:1904.09237)."""

    decoupled_weight_decay: bool = False
    """Take the decay off the weights instead, as AdamW does."""

    fused: Fused = None
    """Update with one kernel. None: the fastest that the parameters allow."""

    capturable: Capturable = False
    """Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."""


@final
@optimizer_registry.register
class NAdamConfig(ForeachConfigBase):
    r"""Adam with Nesterov momentum, which looks one step ahead; often a little faster than Adam.

    $\theta \leftarrow \theta - \gamma\,\bar m / (\sqrt{\hat v} + \epsilon)$, where $\bar m$ joins
    the next momentum and the present gradient, with $\mu_t = \beta_1(1 - 0.5 \cdot 0.96^{t\psi})$
    and $\psi$ `momentum_decay`.

    Reference: T. Dozat, Incorporating Nesterov Momentum into Adam, ICLR Workshop 2016.

    >>> from torch import nn
    >>> NAdamConfig().create_optimizer(nn.Linear(2, 1)).defaults["momentum_decay"]
    0.004
    """

    target = "torch.optim:NAdam"
    width_rule = "adam"

    name: Literal["nadam"] = "nadam"

    lr: NonNegative = 2e-3
    """Learning rate: about the size of one update of one weight."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    eps: NonNegative = 1e-8
    """Added to the root of the average square, so that nothing is divided by zero."""

    weight_decay: NonNegative = 0
    """Factor on the weights that is added to the gradient, or see `decoupled_weight_decay`."""

    momentum_decay: NonNegative = 4e-3
    """Speed with which the momentum grows to its full value; larger is faster."""

    decoupled_weight_decay: bool = False
    """Take the decay off the weights instead, as AdamW does."""

    capturable: Capturable = False
    """Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."""


@final
@optimizer_registry.register
class RAdamConfig(ForeachConfigBase):
    r"""Adam with a rectified start: no warm-up needed.

    $\theta \leftarrow \theta - \gamma\,\hat m\,r_t / (\sqrt{\hat v} + \epsilon)$, where $r_t$ grows
    from 0 to 1 as the variance of $v$ becomes known; in the first five updates $\theta \leftarrow
    \theta - \gamma\,\hat m$. On a CPU `foreach=True` takes 1.4 of the time of torch's default in
    these updates and 0.7 later, and needs more memory: set it for long runs.

    Reference: L. Liu et al., On the Variance of the Adaptive Learning Rate and Beyond,
    arXiv:1908.03265.

    >>> from torch import nn
    >>> RAdamConfig(foreach=True).create_optimizer(nn.Linear(2, 1)).defaults["foreach"]
    True
    """

    target = "torch.optim:RAdam"
    width_rule = "adam"

    name: Literal["radam"] = "radam"

    lr: NonNegative = 1e-3
    """Learning rate: about the size of one update of one weight."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    eps: NonNegative = 1e-8
    """Added to the root of the average square, so that nothing is divided by zero."""

    weight_decay: NonNegative = 0
    """Factor on the weights that is added to the gradient, or see `decoupled_weight_decay`."""

    decoupled_weight_decay: bool = False
    """Take the decay off the weights instead, as AdamW does."""

    capturable: Capturable = False
    """Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."""


@final
@optimizer_registry.register
class AdamaxConfig(ForeachConfigBase):
    r"""Adam with the largest gradient instead of the average square: steadier for rare features.

    $u \leftarrow \max(\beta_2 u, |g| + \epsilon)$, $\theta \leftarrow \theta - \gamma\,\hat m / u$.

    Reference: D. P. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, section 7.1,
    arXiv:1412.6980.

    >>> from torch import nn
    >>> AdamaxConfig().create_optimizer(nn.Linear(2, 1)).defaults["lr"]
    0.002
    """

    target = "torch.optim:Adamax"
    width_rule = "adam"

    name: Literal["adamax"] = "adamax"

    lr: NonNegative = 2e-3
    """Learning rate: about the size of one update of one weight."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running average of the gradient and of the running maximum."""

    eps: NonNegative = 1e-8
    """Added to the magnitude of the gradient, so that nothing is divided by zero."""

    weight_decay: NonNegative = 0
    """Factor on the weights that is added to the gradient (an L2 penalty)."""

    capturable: Capturable = False
    """Keep all state on the device so that a CUDA graph can capture the update; not for a CPU."""


@final
@optimizer_registry.register
class SparseAdamConfig(TorchOptimizerConfigBase):
    r"""Adam for sparse gradients: only the rows of an embedding that were used are updated.

    The formula is Adam's, but the averages of unused rows do not change, unlike in Adam with dense
    gradients. It takes sparse gradients only: `nn.Embedding(..., sparse=True)`.

    Reference: D. P. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, arXiv:1412.6980.

    >>> from torch import nn
    >>> optimizer = SparseAdamConfig().create_optimizer(nn.Embedding(10, 4, sparse=True))
    >>> optimizer.defaults["lr"]
    0.001
    """

    target = "torch.optim:SparseAdam"
    under_fsdp2 = "fails"
    needs_sparse_gradients = True

    name: Literal["sparseadam"] = "sparseadam"

    lr: Positive = 1e-3
    """Learning rate: about the size of one update of one weight."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    eps: Positive = 1e-8
    """Added to the root of the average square, so that nothing is divided by zero."""

    maximize: Maximize = False
    """Go up the gradient instead of down: the closure or loss is then an objective."""
