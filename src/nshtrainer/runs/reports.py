"""Console output at the start of a run and after each epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from nshtrainer.analysis.summary import Sources, print_explained, summarize
from nshtrainer.config.files import write_file
from nshtrainer.config.formats.json import write_json
from nshtrainer.console import say
from nshtrainer.optimizer.groups.parameters import inventory
from nshtrainer.run_length import run_length_of

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["EpochLines", "SummaryCallback", "metrics_text"]


@final
class SummaryCallback(Callback):
    """Print parameter groups and schedules before the first step.

    Args:
        file: The JSON file for the same summary, if any.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print a row for each parameter group, and the schedules, after a checkpoint is loaded."""
        if not trainer.is_global_zero:
            return
        found = summarize(
            Sources(inventory(pl_module), trainer.optimizers, trainer.lr_scheduler_configs),
            total_steps=run_length_of(trainer).total_steps,
        )
        print_explained(found)
        if self._file is not None:
            write_file(self._file, write_json(found.to_dict()))


@final
class EpochLines(Callback):
    """Print one line of metrics per epoch, at most one per second, for output to a file or pipe."""

    def __init__(self) -> None:
        self._printed = 0.0

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the metrics, unless they were just printed."""
        now = time.monotonic()
        epochs = trainer.max_epochs if trainer.max_epochs not in (None, -1) else "?"
        done = trainer.current_epoch + 1
        if trainer.is_global_zero and (now - self._printed >= 1 or done == epochs):
            self._printed = now
            metrics = metrics_text(trainer.callback_metrics)
            say(f"epoch {done}/{epochs}  step {trainer.global_step}  {metrics}")


def metrics_text(metrics: Mapping[str, Any]) -> str:
    """Format metrics: `train/loss 0.1234  val/accuracy 0.981`."""
    return "  ".join(f"{name} {float(value):.4g}" for name, value in metrics.items())
