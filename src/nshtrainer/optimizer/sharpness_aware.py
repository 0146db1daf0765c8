"""Configs of SAM and its relatives: an optimizer that gets gradients from uphill."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from typing_extensions import final

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.wrapping import WrappingConfigBase
from nshtrainer.types import Beta, Fraction, NonNegative, PositiveInt

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.optimizer.sharpness import Sharpness

__all__ = [
    "FriendlySAMConfig",
    "GSAMConfig",
    "LookSAMConfig",
    "SAMConfig",
    "SharpnessConfigBase",
    "WSAMConfig",
]


class SharpnessConfigBase(WrappingConfigBase):
    r"""The base of SAM and its relatives: write their `hooks`.

    With $g = \nabla L(\theta)$ they compute $h = \nabla L(\theta + \rho\, g / \lVert g \rVert)$ as
    well, so an update computes the loss twice and `step` needs a closure. Under Lightning it has
    one, and what `training_step` logs is logged at both points. Batch norm sees both points too.

    Each parameter group has the radius under `sam_rho`, so `schedules` can move it.
    """

    rho: NonNegative = 0.05
    """Radius of the neighbourhood."""

    adaptive: bool = False
    r"""Scale the neighbourhood by $|\theta|$ (ASAM); `rho` is then about ten times as large."""

    @property
    def needs_closure(self) -> bool:
        """Always: the loss is computed twice."""
        return True

    @abstractmethod
    def hooks(self) -> Sharpness:
        """What is put around the step."""

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Put the hooks on the optimizer."""
        from nshtrainer.optimizer.needs import declare

        self.hooks().attach(optimizer)
        declare(optimizer, closure=True)


@final
@optimizer_registry.register
class SAMConfig(SharpnessConfigBase):
    r"""Sharpness-aware minimisation: gradients from where the loss is highest nearby.

    The optimizer gets $h = \nabla L(\theta + \rho\, g / \lVert g \rVert)$, with $g = \nabla
    L(\theta)$; with `adaptive`, $\nabla L(\theta + \rho\, \theta^2 g / \lVert \theta g \rVert)$
    (ASAM).

    Reference: P. Foret et al., Sharpness-Aware Minimization for Efficiently Improving
    Generalization, arXiv:2010.01412; J. Kwon et al., ASAM, arXiv:2102.11600.

    >>> SAMConfig(optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9}, rho=0.1).needs_closure
    True
    """

    name: Literal["sam"] = "sam"

    def hooks(self) -> Sharpness:
        """The hooks."""
        from nshtrainer.optimizer.sharpness import Sharpness

        return Sharpness(self.rho, adaptive=self.adaptive)


@final
@optimizer_registry.register
class GSAMConfig(SharpnessConfigBase):
    r"""SAM that also closes the surrogate gap: the loss nearby falls, and that here with it.

    The optimizer gets $h - \alpha\, g_\perp$, with $g_\perp = g - (g \cdot h)\, h / \lVert h
    \rVert^2$. In the paper $\rho$ follows the rate: `sam_rho: {follows: lr}` among `schedules`.

    Reference: J. Zhuang et al., Surrogate Gap Minimization Improves Sharpness-Aware Training,
    arXiv:2203.08065.

    >>> GSAMConfig(optimizer="adamw", rho=0.1).alpha
    0.4
    """

    name: Literal["gsam"] = "gsam"

    alpha: NonNegative = 0.4
    """Weight of the gap; 0 is SAM."""

    def hooks(self) -> Sharpness:
        """The hooks."""
        from nshtrainer.optimizer.sharpness import GapSharpness

        return GapSharpness(self.rho, self.alpha, adaptive=self.adaptive)


@final
@optimizer_registry.register
class WSAMConfig(SharpnessConfigBase):
    r"""SAM with the sharpness as a weighted term: between the optimizer alone and beyond SAM.

    $g + w\,(h - g)$ with $w = \gamma / (1 - \gamma)$: the optimizer alone for $\gamma = 0$, SAM for
    $\gamma = 1/2$.
    With `decouple` the optimizer gets $g$, and then $\theta \leftarrow \theta - \eta w\,(h - g)$
    with $\eta$ its rate; without, it gets the sum.

    Reference: Y. Yue et al., Sharpness-Aware Minimization Revisited: Weighted Sharpness as a
    Regularization Term, arXiv:2305.15817.

    >>> WSAMConfig(optimizer="sgd", gamma=0.8).decouple
    True
    """

    name: Literal["wsam"] = "wsam"

    gamma: Beta = 0.9
    """Share of the sharpness, in [0, 1)."""

    decouple: bool = True
    """Whether the sharpness goes past the optimizer, and so past its momentum and its scaling."""

    def hooks(self) -> Sharpness:
        """The hooks."""
        from nshtrainer.optimizer.sharpness import WeightedSharpness

        weight = self.gamma / (1 - self.gamma)
        return WeightedSharpness(self.rho, weight, adaptive=self.adaptive, decouple=self.decouple)


@final
@optimizer_registry.register
class LookSAMConfig(SharpnessConfigBase):
    r"""SAM that computes the second gradient every few updates only, and remembers where it led.

    Every $k$ updates the optimizer gets $h$, and $v = h - (h \cdot g)\, g / \lVert g \rVert^2$ is
    kept, of the size of the weights. Between them it gets $g + \alpha \lVert g \rVert v / \lVert v
    \rVert$, for one computation of the loss. Products and norms are those of all tensors together,
    as in the paper; implementations that take them tensor by tensor follow rounding errors where a
    tensor is small.

    Reference: Y. Liu et al., Towards Efficient and Scalable Sharpness-Aware Minimization,
    arXiv:2203.02714.

    >>> LookSAMConfig(optimizer="sgd", k=5).alpha
    0.7
    """

    copies = 1

    name: Literal["looksam"] = "looksam"

    rho: NonNegative = 0.1
    """Radius of the neighbourhood."""

    k: PositiveInt = 10
    """Updates for one that computes the loss twice; 1 is SAM."""

    alpha: Fraction = 0.7
    """Weight of the remembered direction between them."""

    def hooks(self) -> Sharpness:
        """The hooks."""
        from nshtrainer.optimizer.sharpness import LookSharpness

        return LookSharpness(self.rho, self.k, self.alpha, adaptive=self.adaptive)


@final
@optimizer_registry.register
class FriendlySAMConfig(SharpnessConfigBase):
    r"""SAM that goes uphill by what a batch has of its own, without what all batches share.

    Uphill is $g - \sigma m$, then $m \leftarrow \lambda m + (1 - \lambda) g$; the first update goes
    along $g$. $m$ is kept, of the size of the weights.

    Reference: T. Li et al., Friendly Sharpness-Aware Minimization, arXiv:2403.12350.

    >>> FriendlySAMConfig(optimizer="sgd").decay
    0.9
    """

    copies = 1

    name: Literal["friendlysam"] = "friendlysam"

    sigma: NonNegative = 1.0
    r"""How much of the average is taken away, $\sigma$; 0 is SAM."""

    decay: Beta = 0.9
    r"""The decay of the average, $\lambda$ in [0, 1)."""

    def hooks(self) -> Sharpness:
        """The hooks."""
        from nshtrainer.optimizer.sharpness import FriendlySharpness

        return FriendlySharpness(self.rho, self.sigma, self.decay, adaptive=self.adaptive)
