"""Config of the callback that logs gradient, weight and update norms."""

from __future__ import annotations

from typing import Any, Literal, cast

from nshtrainer.callbacks.base import callback_registry
from nshtrainer.callbacks.lightning_callbacks import LightningCallbackConfigBase
from nshtrainer.duration import DurationField, StepsConfig

__all__ = ["NormLoggingCallbackConfig"]


@callback_registry.register
class NormLoggingCallbackConfig(LightningCallbackConfigBase):
    """Log the norms of gradients, weights and updates of each parameter group.

    `telemetry: {every: 50 steps}` in the trainer's options is the same. The values are those of
    `nshtrainer.watch_telemetry`.

    >>> str(NormLoggingCallbackConfig(every="100 steps").every)
    '100 steps'
    """

    target = "nshtrainer.integrations.lightning.callbacks.norm_logging:NormLogging"

    needs_logger = True

    name: Literal["norm_logging"] = "norm_logging"

    every: DurationField = cast("Any", StepsConfig(value=50))
    """Time from one measurement to the next; at least one step of the optimizer."""
