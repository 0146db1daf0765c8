"""Learning-rate schedules: configs that resolve to curves, and the scheduler that drives them."""

from __future__ import annotations

from nshtrainer.lr_scheduler.base import (
    Curve,
    CurveScheduleConfigBase,
    LRSchedulerConfig,
    LRSchedulerConfigBase,
    LRSchedulerEntry,
    LRSchedulerMetadata,
    lr_scheduler_registry,
)
from nshtrainer.run_length import RunLength, run_length_of

__all__ = [
    "Curve",
    "CurveScheduleConfigBase",
    "LRSchedulerConfig",
    "LRSchedulerConfigBase",
    "LRSchedulerEntry",
    "LRSchedulerMetadata",
    "RunLength",
    "lr_scheduler_registry",
    "run_length_of",
]
