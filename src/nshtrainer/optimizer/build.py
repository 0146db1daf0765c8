"""Build an optimizer from any optimizer config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nshtrainer.optimizer.base import OptimizerConfigBase
from nshtrainer.optimizer.groups.parameters import for_torch
from nshtrainer.optimizer.stale_parameters import watch

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.run_length import RunLength

__all__ = ["build_optimizer"]


def build_optimizer(
    config: OptimizerConfigBase, params: Any, /, run: RunLength | None = None
) -> Optimizer:
    """Build an optimizer of a module or of a part of one, whoever wrote its config.

    Our own look at names and types of modules, and at the run; a method that a user wrote takes
    what torch's optimizers take.
    """
    create: Any = config.create_optimizer
    if create.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return create(params, run=run)
    optimizer = create(for_torch(params))
    watch(optimizer, params)
    return optimizer
