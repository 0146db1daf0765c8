"""Early stopping by the primary metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import lightning.pytorch as pl
from lightning.pytorch import callbacks
from lightning.pytorch.utilities import rank_zero_info
from typing_extensions import override

from nshtrainer.config.messages import describe_unknown
from nshtrainer.exceptions import MetricError
from nshtrainer.integrations.lightning.run_length import LightningContext

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EarlyStopping"]


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's callback, which monitors the primary metric where no metric is named.

    The class has the same name as the one in Lightning, so that a checkpoint with the state of one
    of them fits the other.

    Args:
        monitor: The name of the metric, or `None` for the primary metric.
        mode: `min` or `max`; `None` for that of the primary metric if it is monitored, else `min`.
        **options: Further arguments of Lightning's callback.
    """

    def __init__(
        self,
        monitor: str | None = None,
        *,
        mode: Literal["min", "max"] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(monitor or "the primary metric", mode=mode or "min", **options)
        self._given = monitor, mode
        self._options = options
        self._place = "early_stopping.monitor"

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Resolve the metric, before the state in a checkpoint is loaded.

        Raises:
            MetricError: No metric is named, and there is no primary metric.
        """
        if None in self._given:
            self._resolve(LightningContext(trainer, pl_module))
        super().setup(trainer, pl_module, stage)

    @override
    def _validate_condition_metric(self, logs: dict[str, Tensor]) -> bool:
        if self.strict and self.monitor not in logs:
            problem = describe_unknown("metric", self.monitor, logs)
            remedy = "log it, choose another, or set strict: false"
            raise MetricError(f"{self._place}: {problem}; {remedy}")
        return super()._validate_condition_metric(logs)

    def _resolve(self, context: LightningContext) -> None:
        monitor, mode = self._given
        metric = context.primary_metric
        if metric is not None and monitor in {None, metric.monitor}:
            monitor, mode = metric.monitor, mode or metric.mode
        if monitor is None:
            raise MetricError(
                "early_stopping: monitor is not set, and there is no primary metric; set monitor, "
                "or primary_metric of the trainer"
            )
        if self._given[0] is None:
            self._place = context.primary_metric_place
            rank_zero_info(f"early_stopping monitors {monitor} ({mode}), the primary metric")
        self._given = monitor, mode or "min"
        super().__init__(monitor, mode=mode or "min", **self._options)
