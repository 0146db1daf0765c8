r"""Configs of methods that use whole matrices or the curvature: Muon and L-BFGS.

In the formulas $g$ is the gradient, $\theta$ the parameter, $\gamma$ `lr`, $\lambda$
`weight_decay`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from typing_extensions import final, override

from nshtrainer.optimizer.base import Params, optimizer_registry
from nshtrainer.optimizer.stand_ins import device_type
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase, target_class
from nshtrainer.types import Beta, NonNegative, PositiveInt

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from nshtrainer.run_length import RunLength

__all__ = ["LBFGSConfig", "MuonConfig"]

_PORTABLE = "nshtrainer.optimizer.torch_optim.portable_muon:PortableMuon"
_MAYBE_CPU = ("cpu", "meta")
"""Devices of parameters that are on a CPU, or may move to it."""

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Iterations = Annotated[int, Field(ge=1, lt=100)]


@final
@optimizer_registry.register
class MuonConfig(TorchOptimizerConfigBase):
    r"""Orthogonalized momentum, for the hidden matrices of a network.

    $B \leftarrow \mu B + (1-\mu) g$, $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma' O$,
    where $O$ is $B$ (or, with `nesterov`, a mean of $g$ and $B$) after `ns_steps` Newton-Schulz
    iterations $X \leftarrow aX + (bA + cA^2)X$, $A = XX^\top$, and $\gamma'$ is `lr` adjusted to
    the shape. It is for matrices; embeddings, biases, norms and the last layer are for AdamW, as in
    `muon_with_adamw`. torch computes the iterations in bfloat16. On a CPU without bfloat16
    arithmetic, a subclass of torch's Muon computes them in float32: its update is within 2 % of
    torch's, and at least ten times as fast.

    Reference: K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024;
    J. Liu et al., Muon is Scalable for LLM Training, arXiv:2502.16982.

    >>> from torch import nn
    >>> MuonConfig(lr=0.02).create_optimizer(nn.Linear(2, 4, bias=False)).defaults["momentum"]
    0.95
    """

    target = "torch.optim:Muon"
    needs_dimensions = 2
    own_options = frozenset({"flatten"})

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
    """Coefficients a, b, c of the Newton-Schulz iteration."""

    eps: NonNegative = 1e-7
    """Smallest norm by which the matrix is divided at the start."""

    ns_steps: _Iterations = 5
    """Number of Newton-Schulz iterations, below 100."""

    adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = None
    """Adjustment of the rate to the shape: `original` (also None) multiplies it by the root of rows
    over columns if that is above 1; `match_rms_adamw` allows the rates of AdamW."""

    flatten: bool = False
    """Take convolution kernels too, as matrices of their first dimension by all others. A stack of
    matrices, as in a mixture of experts, is refused: it would be orthogonalized as one matrix."""

    def create_optimizer(self, params: Params, /, *, run: RunLength | None = None) -> Optimizer:
        """Build the optimizer; only convolution kernels may be flattened."""
        from nshtrainer.optimizer.groups.group_dicts import refuse_stacks

        optimizer = super().create_optimizer(params, run=run)
        refuse_stacks(optimizer, params, type(self).__name__)
        return optimizer

    @override
    def chosen_target(self, params: Sequence[Tensor]) -> str:
        # Only CPUs emulate bfloat16.
        if all(param.ndim == 2 and device_type(param) not in _MAYBE_CPU for param in params):
            return self.target
        target_class(self.target)  # raises, with the remedy, if torch has no Muon
        from nshtrainer.optimizer.torch_optim.portable_muon import bfloat16_is_emulated

        flat = any(param.ndim > 2 for param in params)
        return _PORTABLE if flat or bfloat16_is_emulated() else self.target

    @override
    def takes(self, param: Tensor) -> bool:
        return param.ndim == 2 or (self.flatten and param.ndim > 2)


@final
@optimizer_registry.register
class LBFGSConfig(TorchOptimizerConfigBase):
    r"""Quasi-Newton method that evaluates the whole batch several times per update.

    $\theta \leftarrow \theta - \gamma H g$, where $H$ is computed from the last `history_size`
    changes of parameter and gradient. For small, smooth, deterministic problems; `step` needs a
    closure that computes the loss again. All parameters are in one group.

    Reference: D. C. Liu, J. Nocedal, On the limited memory BFGS method for large scale
    optimization, Math. Program. 45 (1989).

    >>> from torch import nn
    >>> config = LBFGSConfig(line_search_fn="strong_wolfe")
    >>> config.create_optimizer(nn.Linear(2, 1)).defaults["max_eval"]
    25
    """

    target = "torch.optim:LBFGS"
    under_fsdp2 = "fails"
    needs_closure = True
    needs_one_group = True

    name: Literal["lbfgs"] = "lbfgs"

    lr: NonNegative = 1
    """Factor on the update; with a line search, on its initial guess."""

    max_iter: PositiveInt = 20
    """Largest number of iterations in one call of `step`."""

    max_eval: PositiveInt | None = None
    """Largest number of evaluations of the closure in one `step`; None: `max_iter * 5 // 4`."""

    tolerance_grad: NonNegative = 1e-7
    """Stop when no element of the gradient is larger."""

    tolerance_change: NonNegative = 1e-9
    """Stop when the parameters, or the loss, change by less."""

    history_size: PositiveInt = 100
    """Number of past changes to keep; each takes twice the memory of the parameters."""

    line_search_fn: Literal["strong_wolfe"] | None = None
    """Line search for the length of an update; None: `lr` alone."""
