"""The states of random generators, in checkpoints: a resumed run draws what it would have drawn."""

from __future__ import annotations

import random
import sys
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch import Callback
from typing_extensions import override

__all__ = ["RandomStates"]

_KEY = "random_states"


class RandomStates(Callback):
    """Saves the states of torch's, Python's and numpy's generators, and goes on with them.

    Dropout, and the order in which a loader draws its data, are then those of a run that was never
    cut off. In a run of several processes, of which one saves for all, nothing is done.
    `LightningModuleBase` and `nshtrainer.Trainer` attach this callback by themselves.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the states into the checkpoint."""
        if trainer.world_size == 1 and "loops" in checkpoint:
            checkpoint[_KEY] = states(pl_module.device)

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remember the states."""
        self._loaded = checkpoint.get(_KEY) if trainer.world_size == 1 else None

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take them, before the loader of the next epoch draws its seed."""
        self._take(pl_module)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Within an epoch that seed was drawn long ago, so take them again."""
        if trainer.fit_loop.restarted_mid_epoch:
            self._take(pl_module)
        self._loaded = None

    def _take(self, module: pl.LightningModule) -> None:
        if self._loaded is not None:
            set_states(self._loaded, module.device)


def states(device: torch.device) -> dict[str, Any]:
    """The states of the generators, as plain data and tensors.

    Args:
        device: One that may have a generator of its own.
    """
    found: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    if numpy := sys.modules.get("numpy"):
        name, keys, *rest = numpy.random.get_state()
        found["numpy"] = (name, keys.tolist(), *rest)
    return found


def set_states(found: dict[str, Any], device: torch.device) -> None:
    """Give the generators these states, as far as they are there."""
    torch.set_rng_state(found["torch"])
    random.setstate(found["python"])
    if device.type == "cuda" and "cuda" in found:
        torch.cuda.set_rng_state(found["cuda"], device)
    if "numpy" in found:
        import numpy as np

        np.random.set_state(found["numpy"])
