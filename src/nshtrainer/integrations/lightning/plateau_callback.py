"""Plateau schedulers: one step for each validation that logged a fresh value.

Lightning steps plateau schedulers at the end of each training epoch with the current metrics. With
validation every second epoch Lightning fails or repeats the last value, with two validations per
epoch it misses one, and with validation by batches it may never step them.
"""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback
from lightning.pytorch.utilities.model_helpers import is_overridden
from typing_extensions import final, override

from nshtrainer.exceptions import MetricError, NshtrainerWarning
from nshtrainer.metric import never_logged

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.utilities.types import LRSchedulerConfig

__all__ = ["PlateauCallback"]

_NEVER = sys.maxsize


@dataclass(eq=False)
class _Feed:
    """One plateau scheduler, and the last seen value of its metric.

    A metric is fresh if the *object* in `trainer.callback_metrics` has changed: Lightning writes
    only the values that the active loop logged, so other keys keep their objects.
    """

    config: LRSchedulerConfig
    before_validation: Any = None
    before_epoch: Any = None
    by_validation: bool = False
    fed: bool = False
    fed_this_epoch: bool = False

    @property
    def monitor(self) -> str:
        assert self.config.monitor is not None, "Lightning refuses a plateau scheduler without one"
        return self.config.monitor

    def value(self, trainer: Trainer) -> Any:
        """Return the current value of the metric, or None."""
        return trainer.callback_metrics.get(self.monitor)

    def feed(self, trainer: Trainer, module: LightningModule, before: Any) -> bool:
        """Step the scheduler if the metric has a fresh value."""
        value = self._shared(
            trainer, None if self.value(trainer) is before else self.value(trainer)
        )
        if value is None:
            return False
        scheduler: Any = self.config.scheduler
        if self.moves_by_the_step:
            scheduler.observe(value)
        else:
            module.lr_scheduler_step(scheduler, value)
        self.fed = self.fed_this_epoch = True
        return True

    @staticmethod
    def _shared(trainer: Trainer, value: Any) -> Any:
        """Return the value of the first process; with different values the rates would diverge."""
        if trainer.world_size == 1:
            return value
        return trainer.strategy.broadcast(None if value is None else float(value))

    @property
    def ever_fed(self) -> bool:
        """True if a value was fed in this process or, as far as the scheduler records, before."""
        count = "observed" if self.moves_by_the_step else "last_epoch"
        return self.fed or getattr(self.config.scheduler, count, 0) > 0

    @property
    def moves_by_the_step(self) -> bool:
        """True if Lightning steps the scheduler per update, and this class feeds the metric."""
        return hasattr(self.config.scheduler, "observe")

    def take_over(self) -> None:
        """Keep Lightning from stepping the scheduler with a metric by setting `frequency`."""
        if not self.moves_by_the_step:
            self.config.frequency = _NEVER

    def hand_back(self) -> None:
        """Return the scheduler to Lightning."""
        self.config.frequency = 1


@final
class PlateauCallback(Callback):
    """Callback that steps reduce-on-plateau schedulers on each fresh value of their metric.

    The callback takes over every scheduler with `reduce_on_plateau`, `interval` epoch and
    `frequency` 1, and passes the metric to schedulers that have a method `observe`. A metric logged
    in validation is read after each validation, one logged in training at the end of each epoch; no
    value is read twice. Checkpoints that a validation triggers contain the scheduler after its
    step. With several processes the value of the first one applies, with or without `sync_dist`.

    `LightningModuleBase` and `nshtrainer.Trainer` attach this callback automatically. A value that
    is not finite is passed to the scheduler, which counts it as no improvement.

    Raises:
        MetricError: The metric was not logged in a whole epoch with its validation.

    >>> from lightning.pytorch import Trainer
    >>> trainer = Trainer(callbacks=[PlateauCallback()], logger=False, barebones=True)
    """

    def __init__(self) -> None:
        self._feeds: list[_Feed] = []
        self._validations = 0
        self._epoch_began = self._epoch_ended = False

    # -- taking over ---------------------------------------------------------------------------

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the plateau schedulers over from Lightning."""
        self._feeds = [_Feed(config) for config in trainer.lr_scheduler_configs if _is_ours(config)]
        self._validations, self._epoch_began, self._epoch_ended = 0, False, False
        for feed in self._feeds:
            feed.take_over()
        if self._feeds and _skips_validation(trainer):
            warnings.warn(
                "the checkpoint was saved between a batch and the validation due after it, which "
                "Lightning skips on resume, so the plateau scheduler misses one value; save "
                "checkpoints after validation: ModelCheckpoint(monitor=...)",
                NshtrainerWarning,
                stacklevel=2,
            )

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand the schedulers back, and warn of one that was never fed."""
        self._close_epoch(trainer, pl_module)
        for feed in self._active_feeds(trainer):
            feed.hand_back()
            if not feed.ever_fed:
                warnings.warn(
                    f"the run ended before its plateau scheduler saw a value of {feed.monitor!r}, "
                    "so the learning rate was never reduced; validate more often, or train longer",
                    NshtrainerWarning,
                    stacklevel=2,
                )

    def _active_feeds(self, trainer: Trainer) -> list[_Feed]:
        """Return the feeds still in use: other callbacks may exchange schedulers during a run."""
        in_use = {id(config) for config in trainer.lr_scheduler_configs}
        return [feed for feed in self._feeds if id(feed.config) in in_use]

    # -- metrics of the validation -------------------------------------------------------------

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the metrics before the validation."""
        for feed in self._watching(trainer):
            feed.before_validation = feed.value(trainer)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Feed the metrics of the validation."""
        feeds = self._watching(trainer)
        self._validations += bool(feeds)
        for feed in feeds:
            feed.by_validation |= feed.feed(trainer, pl_module, feed.before_validation)

    def _watching(self, trainer: Trainer) -> list[_Feed]:
        fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
        return self._active_feeds(trainer) if fitting else []

    # -- metrics of the training ---------------------------------------------------------------

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the previous epoch, and remember the metrics before this one."""
        self._close_epoch(trainer, pl_module)
        self._epoch_began, self._epoch_ended = True, False
        for feed in self._active_feeds(trainer):
            feed.fed_this_epoch = False
            feed.before_epoch = feed.value(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Feed the metrics of this epoch, unless the run stops within it."""
        self._epoch_ended = trainer.is_last_batch
        self._feed_training(trainer, pl_module)
        if not is_overridden("on_train_epoch_end", pl_module):
            self._check(trainer)

    def _close_epoch(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Feed metrics of the module's `on_train_epoch_end`, which runs after callbacks."""
        self._feed_training(trainer, pl_module)
        self._check(trainer)

    def _feed_training(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for feed in self._active_feeds(trainer) if self._epoch_ended else []:
            if not (feed.by_validation or feed.fed_this_epoch):
                feed.feed(trainer, pl_module, feed.before_epoch)

    def _check(self, trainer: Trainer) -> None:
        """Raise an error for a metric that a whole epoch and a validation did not log."""
        whole = self._epoch_began and self._epoch_ended
        if not whole or (trainer.enable_validation and not self._validations):
            return
        for feed in self._active_feeds(trainer):
            if feed.config.strict and not feed.fed and feed.value(trainer) is None:
                who = "the plateau scheduler"
                raise MetricError(never_logged(who, feed.monitor, trainer.callback_metrics))


def _is_ours(config: LRSchedulerConfig) -> bool:
    if config.monitor is None:  # under manual optimization it is shown the metric by hand
        return False
    by_epoch = config.reduce_on_plateau and config.interval == "epoch" and config.frequency == 1
    return by_epoch or hasattr(config.scheduler, "observe")


def _skips_validation(trainer: Trainer) -> bool:
    """Return True if the run resumes right after a batch that a validation was to follow."""
    loop = trainer.fit_loop.epoch_loop
    if not (loop.restarted_on_train_batch_end and trainer.enable_validation):
        return False
    batches, every = loop.batch_progress, trainer.check_val_every_n_epoch
    # Lightning counts an epoch whose last batch is done as over.
    epochs = trainer.current_epoch + (not batches.is_last_batch)
    if every is not None and epochs % every:
        return False
    interval = trainer.val_check_batch
    if interval is None:  # by the clock
        return False
    done = batches.total.ready if every is None else batches.current.ready
    return batches.is_last_batch if math.isinf(interval) else done % interval == 0
