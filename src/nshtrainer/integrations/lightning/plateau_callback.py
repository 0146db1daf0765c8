"""Feeds plateau schedulers: once for each validation that produced a fresh value.

Lightning steps them at the end of each training epoch with whatever stands in the metrics. With
validation every second epoch it fails or repeats the last value, with two validations an epoch it
misses one, and with validation by the batch it may never step at all.
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

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.utilities.types import LRSchedulerConfig

__all__ = ["PlateauCallback"]

_NEVER = sys.maxsize


@dataclass(eq=False)
class _Feed:
    """One plateau scheduler, and what was last seen of its metric.

    A metric is fresh when the *object* in `trainer.callback_metrics` is another one: Lightning
    writes there only what the active loop logged, so a key that was not logged keeps its object.
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
        """What stands under the metric's name now, or None."""
        return trainer.callback_metrics.get(self.monitor)

    def feed(self, trainer: Trainer, module: LightningModule, before: Any) -> bool:
        """Step the scheduler if there is another value than before."""
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
        """The value of the first process: with its own in each, their rates would go apart."""
        if trainer.world_size == 1:
            return value
        return trainer.strategy.broadcast(None if value is None else float(value))

    @property
    def ever_fed(self) -> bool:
        """Whether it was fed in this process or, as far as it says, in the run that is resumed."""
        count = "observed" if self.moves_by_the_step else "last_epoch"
        return self.fed or getattr(self.config.scheduler, count, 0) > 0

    @property
    def moves_by_the_step(self) -> bool:
        """Whether Lightning steps it with each update, and only the metric is ours to show."""
        return hasattr(self.config.scheduler, "observe")

    def take_over(self) -> None:
        """Keep Lightning from stepping it with a metric: its own step is due at `frequency`."""
        if not self.moves_by_the_step:
            self.config.frequency = _NEVER

    def hand_back(self) -> None:
        """Leave it to Lightning again."""
        self.config.frequency = 1


@final
class PlateauCallback(Callback):
    """Steps reduce-on-plateau schedulers on each fresh value of their metric.

    It takes over every scheduler with `reduce_on_plateau`, `interval` epoch and `frequency` 1, and
    shows the metric to those that have a method `observe` beside their steps. A metric that
    validation logs is looked at after each validation, one that training logs at the end of each
    epoch; a value that was seen already is never looked at again. Checkpoints that a validation
    triggers hold the scheduler as it is after the step. Of several processes the value of the first
    counts, logged with `sync_dist` or not.

    `LightningModuleBase` and `nshtrainer.Trainer` attach it by themselves. A value that is not
    finite is passed on: torch counts it as no improvement.

    Raises:
        MetricError: An epoch ended, validation included, and the metric was never logged.

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
        if self._feeds and _validation_is_left_out(trainer):
            warnings.warn(
                "the checkpoint was saved between a batch and the validation due after it, which "
                "Lightning leaves out on resume, so the plateau scheduler sees one value fewer; "
                "save checkpoints after validation: ModelCheckpoint(monitor=...)",
                NshtrainerWarning,
                stacklevel=2,
            )

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand the schedulers back; one that was never fed is worth a warning."""
        self._close_epoch(trainer, pl_module)
        for feed in self._live(trainer):
            feed.hand_back()
            if not feed.ever_fed:
                warnings.warn(
                    f"the run ended before its plateau scheduler saw a value of {feed.monitor!r}, "
                    "so the learning rate was never reduced; validate more often, or train longer",
                    NshtrainerWarning,
                    stacklevel=2,
                )

    def _live(self, trainer: Trainer) -> list[_Feed]:
        """What is still in use: other callbacks may exchange schedulers during a run."""
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
        """Feed what the validation logged."""
        feeds = self._watching(trainer)
        self._validations += bool(feeds)
        for feed in feeds:
            feed.by_validation |= feed.feed(trainer, pl_module, feed.before_validation)

    def _watching(self, trainer: Trainer) -> list[_Feed]:
        fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
        return self._live(trainer) if fitting else []

    # -- metrics of the training ---------------------------------------------------------------

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the epoch before, and remember the metrics before this one."""
        self._close_epoch(trainer, pl_module)
        self._epoch_began, self._epoch_ended = True, False
        for feed in self._live(trainer):
            feed.fed_this_epoch = False
            feed.before_epoch = feed.value(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Feed what the training of this epoch logged, unless the run stops in its middle."""
        self._epoch_ended = trainer.is_last_batch
        self._feed_training(trainer, pl_module)
        if not is_overridden("on_train_epoch_end", pl_module):
            self._check(trainer)

    def _close_epoch(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What the module's own `on_train_epoch_end` logs is seen only after callbacks ran."""
        self._feed_training(trainer, pl_module)
        self._check(trainer)

    def _feed_training(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for feed in self._live(trainer) if self._epoch_ended else []:
            if not (feed.by_validation or feed.fed_this_epoch):
                feed.feed(trainer, pl_module, feed.before_epoch)

    def _check(self, trainer: Trainer) -> None:
        """A metric that a whole epoch and a validation did not produce is a mistake in its name."""
        whole = self._epoch_began and self._epoch_ended
        if not whole or (trainer.enable_validation and not self._validations):
            return
        for feed in self._live(trainer):
            if feed.config.strict and not feed.fed and feed.value(trainer) is None:
                known = ", ".join(sorted(trainer.callback_metrics)) or "none"
                raise MetricError(
                    f"the plateau scheduler looks at {feed.monitor!r}, which was never logged "
                    f"(available: {known}); correct its metric, or log it with "
                    f"self.log({feed.monitor!r}, ...)"
                )


def _is_ours(config: LRSchedulerConfig) -> bool:
    if config.monitor is None:  # under manual optimization it is shown the metric by hand
        return False
    by_epoch = config.reduce_on_plateau and config.interval == "epoch" and config.frequency == 1
    return by_epoch or hasattr(config.scheduler, "observe")


def _validation_is_left_out(trainer: Trainer) -> bool:
    """Whether the run resumes right after a batch that a validation was to follow."""
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
