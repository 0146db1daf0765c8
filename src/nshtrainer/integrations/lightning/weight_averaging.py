"""Weight averaging with Lightning's callback, from a config, with exact resume.

Differences from Lightning's `WeightAveraging` (2.6):

- Before the first update joins the average, the average is a copy of the initial weights. Lightning
  validates and saves that copy, and leaves the module with it; this callback uses the training
  weights.
- A checkpoint that is saved during validation or after the run has both sets of weights in their
  entries. Lightning saves the average as the training weights.
- `validate` and `test` with a checkpoint after a run use the average, which Lightning replaces by
  the training weights.
- The average is on the device of the weights. Lightning creates it before the module is moved.
- A hook that migrates the weights in a checkpoint migrates both sets. Lightning loads the training
  weights as they were saved.
- In manual optimization the steps of one optimizer count. Lightning counts those of all.
- A weights-only checkpoint has the average, if the module is a `LightningModuleBase`.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import (
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
)
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from typing_extensions import override

from nshtrainer.duration import StepsConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.integrations.lightning.run_length import run_length_of
from nshtrainer.lr_scheduler.schedules.periods import marks
from nshtrainer.optimizer.groups.parameters import NO_SHAPE, is_lazy
from nshtrainer.weight_averaging import EMAWeightAveragingConfig

if TYPE_CHECKING:
    from nshtrainer.weight_averaging import WeightAveragingConfigBase

__all__ = ["AveragingCallback", "save_averages"]

_SHARDING = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)


class AveragingCallback(WeightAveraging):
    """Callback that keeps an average of the weights.

    Args:
        config: The kind of average, and its start.
    """

    def __init__(self, config: WeightAveragingConfigBase) -> None:
        how: dict[str, Any] = {}
        if isinstance(config, EMAWeightAveragingConfig):
            how["multi_avg_fn"] = get_ema_multi_avg_fn(config.decay)
        super().__init__(config.device, config.use_buffers, **how)
        self._config = config
        self._updates = 0
        self._exchanged = False
        """True while the module holds the average, and the average the training weights."""

    @property
    def _has_begun(self) -> bool:
        return self._average_model is not None and bool(self._average_model.n_averaged > 0)

    def _exchange(self, module: pl.LightningModule) -> None:
        self._swap_models(module)
        self._exchanged = not self._exchanged

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Create the average, which copies the module.

        Raises:
            OptimizerError: The strategy of the run shards the weights, or one has no shape yet.
        """
        if isinstance(trainer.strategy, _SHARDING):
            raise OptimizerError(
                f"weight_averaging copies the module, which {type(trainer.strategy).__name__} "
                "shards: remove weight_averaging, or use strategy ddp, which does not shard. "
                "Optimizers that average weights themselves, such as schedulefreeadamw, support "
                "sharding"
            )
        super().setup(trainer, pl_module, stage)
        for name, tensor in chain(pl_module.named_parameters(), pl_module.named_buffers()):
            if stage == "fit" and is_lazy(tensor):
                raise OptimizerError(
                    f"weight_averaging copies the module, and {name!r} {NO_SHAPE}."
                )
        if stage == "fit":
            _migrate_both(pl_module)

    @override
    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return True if the weights after the update of this index join the average.

        With manual optimization Lightning counts the steps of all optimizers together.
        """
        if step_idx is None:
            return False
        before, self._updates = self._updates, (step_idx + 1) // self._optimizers
        return self._joined(self._updates) > self._joined(before)

    def _joined(self, updates: int) -> int:
        """Return how many times weights join the average in so many updates."""
        since, every = max(0, updates - self._start), self._every
        return since // every if isinstance(every, int) else every.of(since)

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the average to the device of the weights, and compute when averaging starts."""
        self._exchanged = False
        assert self._average_model is not None
        self._average_model.to(self._device or pl_module.device)
        vars(pl_module).pop("on_load_checkpoint", None)
        self._resolve(trainer)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compute the start of averaging again, as a start hook may have changed the length."""
        self._resolve(trainer)
        self._updates = trainer.global_step // self._optimizers

    def _resolve(self, trainer: pl.Trainer) -> None:
        run = run_length_of(trainer)
        start = self._config.start.exact(run, "weight_averaging.start")
        self._start, self._optimizers = ceil(start), run.num_optimizers
        every = self._config.every if self._config.every.value else StepsConfig(value=1)
        self._every = marks(every, run, "weight_averaging.every", start)

    @override
    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the average, if there is one."""
        if trainer.state.fn == TrainerFn.FITTING and self._has_begun:
            self._exchange(pl_module)

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Return to the training weights."""
        if trainer.state.fn == TrainerFn.FITTING and self._exchanged:
            self._exchange(pl_module)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the module with the average, if there is one."""
        if self._has_begun:
            self._exchange(pl_module)

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the average as the module's weights, and the training weights in another entry."""
        if self._average_model is None:
            return
        own, kept = checkpoint["state_dict"], self._average_model.module.state_dict()
        checkpoint["state_dict"] = self.averages(own)
        training = kept if self._exchanged else own
        checkpoint["current_model_state"] = training
        checkpoint["averaging_state"] = {"n_averaged": self._average_model.n_averaged}

    def averages(self, own: dict[str, Any]) -> dict[str, Any]:
        """Return the average in the form of the module's weights; without one, the weights."""
        if self._average_model is None or self._exchanged or not self._has_begun:
            return own
        return self._average_model.module.state_dict()

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore both sets of weights in a resumed run; elsewhere the average is loaded."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


def _migrate_both(module: pl.LightningModule) -> None:
    """Call the module's hook that migrates the `state_dict` of a checkpoint for both weights.

    The `state_dict` entry holds the average. The hook is called a second time with the training
    weights in that entry. The wrapper is removed after loading, or at the start of the run.
    """
    hook = module.on_load_checkpoint
    if type(module).on_load_checkpoint is pl.LightningModule.on_load_checkpoint:
        return

    def on_load_checkpoint(checkpoint: dict[str, Any]) -> None:
        del vars(module)["on_load_checkpoint"]
        training = checkpoint.get("current_model_state")
        # A copy, since a hook may change tensors in place, and both weights may share them.
        again = training and deepcopy({**checkpoint, "state_dict": training})
        hook(checkpoint)
        if again is not None:
            hook(again)
            checkpoint["current_model_state"] = again["state_dict"]

    vars(module)["on_load_checkpoint"] = on_load_checkpoint


def save_averages(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Put the average into a weights-only checkpoint, for which Lightning calls no callback."""
    if "averaging_state" in checkpoint:
        return
    for callback in getattr(trainer, "callbacks", []):
        if isinstance(callback, AveragingCallback):
            checkpoint["state_dict"] = callback.averages(checkpoint["state_dict"])
