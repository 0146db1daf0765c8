"""Two ways to a schedule of your own: a curve of two lines, or any torch scheduler.

Prints:

    inverse_root [1.0, 0.707, 0.577, 0.5]
    halving {'interval': 'epoch'} [1.0, 0.5, 0.25, 0.125]
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import StepLR

from nshtrainer import RunLength
from nshtrainer.lr_scheduler import (
    CurveScheduleConfigBase,
    LRSchedulerConfigBase,
    lr_scheduler_registry,
)
from nshtrainer.types import PositiveInt


@lr_scheduler_registry.register
class InverseRootConfig(CurveScheduleConfigBase):
    """The factor at step t is 1 / sqrt(1 + t). Resume, preview and checkpoints come by itself."""

    name: Literal["inverse_root"] = "inverse_root"

    def curve(self, _run: RunLength) -> Any:
        return lambda step: (1 + step) ** -0.5


@lr_scheduler_registry.register
class HalvingConfig(LRSchedulerConfigBase):
    """Torch's StepLR, by the epoch."""

    name: Literal["halving"] = "halving"

    epochs: PositiveInt = 1
    """Epochs between two halvings, 1 or more."""

    def metadata(self) -> Any:
        return {"interval": "epoch"}

    def create_scheduler_impl(self, optimizer: Any, _lightning_module: Any, /) -> StepLR:
        return StepLR(optimizer, self.epochs, gamma=0.5)


def rates(config: LRSchedulerConfigBase) -> list[float]:
    """The learning rate of four steps."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = config.create_scheduler(optimizer, RunLength(total_steps=4))["scheduler"]
    seen = []
    for _ in range(4):
        seen.append(round(optimizer.param_groups[0]["lr"], 3))
        optimizer.step()
        scheduler.step()
    return seen


print("inverse_root", rates(InverseRootConfig()))
print("halving", HalvingConfig().metadata(), rates(HalvingConfig()))
