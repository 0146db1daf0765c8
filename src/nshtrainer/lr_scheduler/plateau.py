"""Reduce on plateau: the one schedule that looks at a metric, and so is no curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from nshtrainer.exceptions import MetricError
from nshtrainer.lr_scheduler.base import (
    LRSchedulerConfigBase,
    LRSchedulerMetadata,
    lr_scheduler_registry,
)
from nshtrainer.lr_scheduler.run_length import run_length_of
from nshtrainer.metric import MetricConfig
from nshtrainer.types import NonNegative, NonNegativeInt

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import LRSchedulerConfigType
    from torch.optim import Optimizer

__all__ = ["ReduceLROnPlateauConfig"]

ReductionFactor = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


@lr_scheduler_registry.register
class ReduceLROnPlateauConfig(LRSchedulerConfigBase):
    """Multiplies the rate by a factor when a metric has stopped improving.

    It is torch's `ReduceLROnPlateau` with torch's defaults. Under Lightning, in a
    `LightningModuleBase` or a `nshtrainer.Trainer`, it looks at the metric once after each
    validation that produced a fresh value, however often validation runs.

    Without a `metric`, the `primary_metric` of the `nshtrainer.Trainer` is used, then that of the
    module's hyperparameters.

    Reference: `torch.optim.lr_scheduler.ReduceLROnPlateau`.

    Raises:
        MetricError: No metric is named anywhere, or the trainer would feed it wrongly.

    >>> loss = MetricConfig(monitor="val/loss", mode="min")
    >>> metadata = ReduceLROnPlateauConfig(patience=3, metric=loss).metadata()
    >>> metadata["monitor"], metadata["interval"]
    ('val/loss', 'epoch')
    """

    name: Literal["reduce_lr_on_plateau"] = "reduce_lr_on_plateau"

    metric: MetricConfig | None = None
    """What to look at, and whether smaller or larger is better; left out: the primary metric."""

    factor: ReductionFactor = 0.1
    """What the rate is multiplied by, in [0, 1)."""

    patience: NonNegativeInt = 10
    """Values without improvement that are let pass; with the next one the rate is reduced."""

    threshold: NonNegative = 1e-4
    """How much better than the best a value must be to count as an improvement; 0 or more."""

    threshold_mode: Literal["rel", "abs"] = "rel"
    """Whether `threshold` is a share of the best value or an absolute difference."""

    cooldown: NonNegativeInt = 0
    """Values to wait after a reduction before counting again."""

    min_lr: NonNegative | tuple[NonNegative, ...] = 0.0
    """The rate is not reduced below this: one number, or one for each parameter group."""

    eps: NonNegative = 1e-8
    """A reduction smaller than this is not made."""

    def metadata(self) -> LRSchedulerMetadata:
        """By the epoch; `monitor` is left out while the metric is the primary one."""
        metadata: LRSchedulerMetadata = {
            "interval": "epoch",
            "frequency": 1,
            "reduce_on_plateau": True,
        }
        if self.metric is not None:
            metadata["monitor"] = self.metric.monitor
        return metadata

    def create_scheduler_impl(
        self, optimizer: Optimizer, lightning_module: Any, /
    ) -> LRSchedulerConfigType:
        """Build torch's scheduler, in the direction of the metric."""
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        run = run_length_of(lightning_module)
        metric = self.metric or run.primary_metric
        if metric is None:
            raise MetricError(
                "reduce_lr_on_plateau names no metric, and there is no primary metric; write "
                "metric: {monitor: val/loss, mode: min}, or set primary_metric of the "
                "nshtrainer.Trainer or of the module's hyperparameters"
            )
        if run.plateau_problem is not None:
            raise MetricError(run.plateau_problem)
        options = self.model_dump(exclude={"name", "metric", "min_lr"})
        min_lr = list(self.min_lr) if isinstance(self.min_lr, tuple) else self.min_lr
        scheduler = ReduceLROnPlateau(optimizer, mode=metric.mode, min_lr=min_lr, **options)
        return {"scheduler": scheduler, "monitor": metric.monitor}
