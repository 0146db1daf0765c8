"""Console output of a run: its start, its epochs, and nothing of Lightning's own."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast, final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from typing_extensions import override

from nshtrainer.analysis.summary import Sources, print_explained, summarize
from nshtrainer.config.files import write_file
from nshtrainer.config.formats.json import write_json
from nshtrainer.console import say, say_lines
from nshtrainer.escaping import printable, printable_lines
from nshtrainer.exceptions import CheckpointWarning, ConfigChangedWarning
from nshtrainer.optimizer.groups.parameters import inventory
from nshtrainer.run_length import run_length_of

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["EpochLines", "SummaryCallback", "metrics_text", "quiet", "say_why_stopped"]


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
        for each in trainer.early_stopping_callbacks:
            metric = f"{each.monitor} ({each.mode})"
            say(f"stops      after {each.patience} checks of {metric} without an improvement")
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


def say_why_stopped(trainer: Trainer) -> None:
    """Print what ended a run before its planned length: `timer`, or early stopping by a metric."""
    if not trainer.should_stop:
        return
    for each in trainer.early_stopping_callbacks:
        why = _EARLY.get(each.stopping_reason)
        if why is not None:
            say(f"stopped   by early_stopping: {printable(each.monitor)} {why.format(each)}")
    for each in cast("Any", trainer).callbacks:
        left = each.time_remaining() if isinstance(each, Timer) else None
        if left is not None and left <= 0:
            say("stopped   by timer: the time is over")


_EARLY = {
    EarlyStoppingReason.PATIENCE_EXHAUSTED: "did not improve in {0.wait_count} checks",
    EarlyStoppingReason.STOPPING_THRESHOLD: "reached stopping_threshold {0.stopping_threshold}",
    EarlyStoppingReason.DIVERGENCE_THRESHOLD: "passed divergence_threshold "
    "{0.divergence_threshold}",
    EarlyStoppingReason.NON_FINITE_METRIC: "is NaN or Inf",
}
"""Reasons of early stopping."""

# -- silence ---------------------------------------------------------------------------------------

_NOISE = (
    # Advice for data that is slow to read; for a small run it makes no sense.
    "The '.*_dataloader' does not have many workers",
    # A resumed run keeps its folder.
    "(?s)Checkpoint directory .* exists and is not empty",
    # Config changes on resume are printed as lines of this package.
    "The dirpath has changed",
    # lightning 2.6.6 calls what torch 2.13 deprecates.
    ".isinstance.treespec, LeafSpec",
)

_LINES = (CheckpointWarning, ConfigChangedWarning)
"""Warnings that are printed as lines, regardless of warning filters."""


@contextmanager
def quiet() -> Generator[None]:
    """Silence Lightning's own output, and print config changes."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message)
        for category in _LINES:
            warnings.simplefilter("always", category)
        warnings.showwarning = _printing(warnings.showwarning)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _printing(show: Any) -> Any:
    """Return a `showwarning` that prints warnings about a changed config without their place."""

    def shown(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, _LINES):
            say_lines(message)
        else:
            show(printable_lines(message), category, *place, **more)

    return shown
