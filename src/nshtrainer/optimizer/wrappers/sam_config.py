"""Config of sharpness-aware minimization (SAM)."""

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

    The optimizer steps with $h = \nabla L(\theta + \rho\, g / \lVert g \rVert)$, with $g = \nabla
    L(\theta)$; with `adaptive`, $\nabla L(\theta + \rho\, \theta^2 g / \lVert \theta g \rVert)$
    (ASAM). An update computes the loss twice, so `step` needs a closure. Lightning passes one, and
    the values that `training_step` logs are logged at both points. The running statistics of batch
    norm are updated at the first point only.

    Each parameter group has the radius under `sam_rho`, so `schedules` can schedule it.

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
        """True: the loss is computed twice."""
        return True

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Register the hooks, and declare that the step needs a closure."""
        from nshtrainer.optimizer.wrappers.sam import SAMHooks
        from nshtrainer.optimizer_record import add_requirements

        SAMHooks(self.rho, adaptive=self.adaptive).attach(optimizer)
        add_requirements(optimizer, closure=True)
