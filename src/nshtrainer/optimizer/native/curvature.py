r"""Methods that use more than each weight's own gradient: the whole matrix, or the curvature.

In the formulas $g$ is the gradient, $\theta$ the parameter, $\gamma$ `lr`, $\lambda$
`weight_decay`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import final

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase
from nshtrainer.types import Beta, NonNegative, PositiveInt

__all__ = ["LBFGSConfig", "MuonConfig"]

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Iterations = Annotated[int, Field(ge=1, lt=100)]


@final
@optimizer_registry.register
class MuonConfig(TorchOptimizerConfigBase):
    r"""Momentum whose matrix is made orthogonal: for the hidden matrices of a network.

    $B \leftarrow \mu B + (1-\mu) g$, $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma' O$,
    where $O$ is $B$ (or, with `nesterov`, a mean of $g$ and $B$) after `ns_steps` Newton-Schulz
    iterations $X \leftarrow aX + (bA + cA^2)X$, $A = XX^\top$, and $\gamma'$ is `lr` adjusted to
    the shape. It takes 2-D parameters only; give embeddings, biases, norms and the last layer to
    AdamW. torch computes the iterations in bfloat16, which is slow on a CPU without support for it.

    Reference: K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024;
    J. Liu et al., Muon is Scalable for LLM Training, arXiv:2502.16982.

    >>> from torch import nn
    >>> MuonConfig(lr=0.02).create_optimizer(nn.Linear(2, 4, bias=False)).defaults["momentum"]
    0.95
    """

    target = "torch.optim:Muon"
    needs_dimensions = 2

    name: Literal["muon"] = "muon"

    lr: NonNegative = 1e-3
    """Learning rate, before it is adjusted to the shape of the matrix."""

    weight_decay: NonNegative = 0.1
    """Share of each weight taken off in an update, times the learning rate."""

    momentum: Beta = 0.95
    """Decay of the running average of the gradient."""

    nesterov: bool = True
    """Take the gradient one step ahead."""

    ns_coefficients: tuple[_Finite, _Finite, _Finite] = (3.4445, -4.775, 2.0315)
    """The coefficients a, b, c of the Newton-Schulz iteration."""

    eps: NonNegative = 1e-7
    """Least norm that the matrix is divided by at the start."""

    ns_steps: _Iterations = 5
    """Number of Newton-Schulz iterations, below 100."""

    adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = None
    """How the rate follows the shape: `original` (also None) by the root of rows over columns where
    that is above 1; `match_rms_adamw` so that rates found for AdamW may be used."""


@final
@optimizer_registry.register
class LBFGSConfig(TorchOptimizerConfigBase):
    r"""A quasi-Newton method that looks at the whole batch several times an update.

    $\theta \leftarrow \theta - \gamma H g$, where $H$ is made from the last `history_size` changes
    of parameter and gradient. For small, smooth, deterministic problems; `step` needs a closure
    that computes the loss anew. All parameters are in one group.

    Reference: D. C. Liu, J. Nocedal, On the limited memory BFGS method for large scale
    optimization, Math. Program. 45 (1989).

    >>> from torch import nn
    >>> config = LBFGSConfig(line_search_fn="strong_wolfe")
    >>> config.create_optimizer(nn.Linear(2, 1)).defaults["max_eval"]
    25
    """

    target = "torch.optim:LBFGS"
    needs_closure = True
    needs_one_group = True

    name: Literal["lbfgs"] = "lbfgs"

    lr: NonNegative = 1
    """Factor on the update; with a line search, on its first guess."""

    max_iter: PositiveInt = 20
    """Most iterations in one call of `step`."""

    max_eval: PositiveInt | None = None
    """Most evaluations of the closure in one call of `step`; None: `max_iter * 5 // 4`."""

    tolerance_grad: NonNegative = 1e-7
    """Stop when no element of the gradient is larger."""

    tolerance_change: NonNegative = 1e-9
    """Stop when the parameters, or the loss, change by less."""

    history_size: PositiveInt = 100
    """How many past changes are kept; each takes twice the memory of the parameters."""

    line_search_fn: Literal["strong_wolfe"] | None = None
    """How the length of an update is found; None: `lr` alone."""
