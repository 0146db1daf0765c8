"""Config of SAM: an optimizer that gets gradients from uphill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typing_extensions import final

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.wrappers.config import WrappingConfigBase
from nshtrainer.types import NonNegative

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["SAMConfig"]


@final
@optimizer_registry.register
class SAMConfig(WrappingConfigBase):
    r"""Sharpness-aware minimization: gradients from where the loss is highest nearby.

    The optimizer gets $h = \nabla L(\theta + \rho\, g / \lVert g \rVert)$, with $g = \nabla
    L(\theta)$; with `adaptive`, $\nabla L(\theta + \rho\, \theta^2 g / \lVert \theta g \rVert)$
    (ASAM). An update computes the loss twice, so `step` needs a closure. Under Lightning it has
    one, and what `training_step` logs is logged at both points. The running statistics of batch
    norm take in the first point alone.

    Each parameter group has the radius under `sam_rho`, so `schedules` can move it.

    Reference: P. Foret et al., Sharpness-Aware Minimization for Efficiently Improving
    Generalization, arXiv:2010.01412; J. Kwon et al., ASAM, arXiv:2102.11600.

    >>> SAMConfig(optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9}, rho=0.1).needs_closure
    True
    """

    keeps = True

    name: Literal["sam"] = "sam"

    rho: NonNegative = 0.05
    """Radius of the neighborhood."""

    adaptive: bool = False
    r"""Scale the neighborhood by $|\theta|$ (ASAM); `rho` is then about ten times as large."""

    @property
    def needs_closure(self) -> bool:
        """Always True: the loss is computed twice."""
        return True

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Register the hooks, and declare the closure."""
        from nshtrainer.optimizer.wrappers.sam import SAMHooks
        from nshtrainer.optimizer_record import add_requirements

        SAMHooks(self.rho, adaptive=self.adaptive).attach(optimizer)
        add_requirements(optimizer, closure=True)
