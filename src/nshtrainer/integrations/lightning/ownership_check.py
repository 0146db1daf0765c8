"""Warnings about parameters without updates, under Lightning."""

from __future__ import annotations

import warnings
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch import Callback
from typing_extensions import final, override

from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.optimizer.unowned_parameters import ownership_problems

__all__ = ["OwnershipCheck"]


@final
class OwnershipCheck(Callback):
    """Callback that warns once an epoch of trainable parameters without an optimizer.

    Frozen parameters in an optimizer are reported too. `LightningModuleBase` and
    `nshtrainer.Trainer` attach this callback; under Lightning's own `Trainer` an optimizer that is
    created with the module, in `configure_optimizers`, attaches it.
    """

    def __init__(self) -> None:
        self._is_checked = True
        self._reported: set[str] = set()

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the reports of another run."""
        self._reported.clear()

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Request a check at the first batch, after all callbacks have frozen their parameters."""
        self._is_checked = False

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Report each problem once."""
        if self._is_checked:
            return
        self._is_checked = True
        problems = ownership_problems(trainer.optimizers, pl_module)
        for problem in problems if trainer.is_global_zero else ():
            if problem not in self._reported:
                self._reported.add(problem)
                warnings.warn(problem, NshtrainerWarning, stacklevel=2)
