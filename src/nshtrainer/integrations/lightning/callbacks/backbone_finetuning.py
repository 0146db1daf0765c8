"""Backbone finetuning that continues after a resume, and under DDP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning.pytorch as pl
from lightning.pytorch import callbacks
from torch.nn import Module
from typing_extensions import override

from nshtrainer.exceptions import OptimizerError
from nshtrainer.integrations.lightning.callbacks.unfreezing import renew_ddp

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["BackboneFinetuning"]


class BackboneFinetuning(callbacks.BackboneFinetuning):
    """Lightning's callback, which trains the backbone in resumed runs and under DDP too.

    Lightning (2.6) freezes the backbone at the start of each run, and unfreezes it at one epoch
    only: in a run that is resumed after that epoch it stays frozen. With DDP, which does not know
    of the unfrozen parameters, each process trains a backbone of its own. The class has the
    same name as the one in Lightning, so that a checkpoint with the state of one of them fits the
    other.
    """

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Freeze the backbone.

        Raises:
            OptimizerError: The module has no backbone.
        """
        if not isinstance(getattr(pl_module, "backbone", None), Module):
            raise OptimizerError(
                f"backbone_finetuning: {type(pl_module).__name__} has no module called backbone; "
                "rename one, or use unfreeze"
            )
        super().setup(trainer, pl_module, stage)

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the groups of a resumed run, and unfreeze the backbone if it had been."""
        resumes = self._restarting
        super().on_fit_start(trainer, pl_module)
        if resumes and self.previous_backbone_lr is not None:
            for param in pl_module.get_submodule("backbone").parameters():
                param.requires_grad_(True)
            renew_ddp(trainer, pl_module)

    @override
    def finetune_function(
        self, pl_module: pl.LightningModule, epoch: int, optimizer: Optimizer
    ) -> None:
        """Unfreeze the backbone at its epoch."""
        super().finetune_function(pl_module, epoch, optimizer)
        if epoch == self.unfreeze_backbone_at_epoch:
            renew_ddp(pl_module.trainer, pl_module)
