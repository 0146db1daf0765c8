"""Config of the callback that logs gradient, weight and update norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from typing_extensions import override

from nshtrainer.callbacks.base import CallbackConfigBase, callback_registry
from nshtrainer.duration import DurationField, StepsConfig

if TYPE_CHECKING:
    from lightning.pytorch import Callback

__all__ = ["NormLoggingCallbackConfig"]


@callback_registry.register
class NormLoggingCallbackConfig(CallbackConfigBase):
    """Log the norms of gradients, weights and updates of each parameter group.

    `telemetry: {every: 50 steps}` in the trainer's options is the same. The values are those of
    `nshtrainer.watch_telemetry`.

    >>> str(NormLoggingCallbackConfig(every="100 steps").every)
    '100 steps'
    """

    name: Literal["norm_logging"] = "norm_logging"

    every: DurationField = cast("Any", StepsConfig(value=50))
    """Time from one measurement to the next; at least one step of the optimizer."""

    @override
    def create_callback(self) -> Callback:
        from nshtrainer.integrations.lightning.callbacks.norm_logging import NormLogging

        return NormLogging(self.every)
