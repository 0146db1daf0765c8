"""Lightning callback that logs the telemetry of the optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from nshtrainer.integrations.lightning.run_length import run_length_of
from nshtrainer.telemetry import watch_telemetry

if TYPE_CHECKING:
    from nshtrainer.telemetry import Telemetry

__all__ = ["NormLogging"]


class NormLogging(Callback):
    """Callback that logs gradient, weight and update norms to all loggers of the trainer.

    The values are those of `nshtrainer.watch_telemetry`, named `telemetry/<group>/grad_norm` and
    so on; with several optimizers `telemetry/<number>/<group>/grad_norm`. Gradients are measured
    after `gradient_clip_val` of the trainer, and before the clipping of a `clipped` optimizer.

    Args:
        every: The time from one measurement to the next.
    """

    def __init__(self, every: Any) -> None:
        self._every = every
        self._watched: list[Telemetry] = []

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch the optimizers of the run."""
        every = self._every.resolve(run_length_of(trainer), "norm_logging: every")

        def log(values: dict[str, float], _step: int) -> None:
            for logger in trainer.loggers:
                logger.log_metrics(values, step=trainer.global_step)

        for place, optimizer in enumerate(trainer.optimizers):
            name = "telemetry" if len(trainer.optimizers) == 1 else f"telemetry/{place}"
            self._watched.append(watch_telemetry(optimizer, max(1, every), log, name=name))

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop measuring, also after an error."""
        for telemetry in self._watched:
            telemetry.remove()
        self._watched = []
