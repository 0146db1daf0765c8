"""Random states in checkpoints: a resumed run draws the same numbers and batches."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.data import (
    _set_sampler_epoch,  # pyright: ignore[reportPrivateUsage]
)
from lightning.fabric.utilities.types import _Stateful  # pyright: ignore[reportPrivateUsage]
from lightning.pytorch import Callback
from typing_extensions import override

from nshtrainer.config.messages import dotted
from nshtrainer.integrations.lightning.checkpoint.entries import refuse_entry
from nshtrainer.structure import find_misfits

__all__ = ["RNGStateCallback"]

_KEY = "random_states"


class RNGStateCallback(Callback):
    """Callback that saves and restores the random states of torch, Python and numpy.

    Dropout and the order of the data are then those of an uninterrupted run. In a run of several
    processes, one of which saves for all, the generators are not changed.

    A stateful loader, such as torchdata's `StatefulDataLoader`, resumes within the epoch. Lightning
    2.6 drops the loader's state if the loader is created before the checkpoint is loaded, as when a
    schedule needs the length of an epoch, from this package or from
    `trainer.estimated_stepping_batches`; this callback restores it.

    A checkpoint from the middle of a batch, as after an exception, resumes from the start of the
    epoch's data, since the loader had already returned that batch. A checkpoint from the middle of
    a validation repeats the whole validation.

    `LightningModuleBase` and `nshtrainer.Trainer` attach this callback automatically.
    """

    def __init__(self) -> None:
        self._states: dict[str, Any] | None = None
        self._loaders: list[Any] = []
        self._at_validation: dict[str, Any] | None = None
        """The random states at the start of the current validation."""

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the states of the generators into the checkpoint."""
        if "loops" not in checkpoint:
            return
        if trainer.world_size == 1:
            checkpoint[_KEY] = self._at_validation or _states(pl_module.device)
        if self._at_validation is not None:
            _validate_again(checkpoint["loops"]["fit_loop"])
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        if batches.ready > batches.processed:  # the loader is one batch ahead of the weights
            checkpoint["loops"]["fit_loop"]["state_dict"].pop("combined_loader", None)

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the saved states, and those of the loaders."""
        self._states = checkpoint.get(_KEY) if trainer.world_size == 1 else None
        if self._states is not None:
            _check_states(self._states, pl_module.device)
        loop = checkpoint.get("loops", {}).get("fit_loop", {}).get("state_dict", {})
        self._loaders = loop.get("combined_loader", [])

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the states after loading, which may draw random numbers."""
        self._at_validation = None
        loop = trainer.fit_loop
        if loop.epoch_loop.val_loop.restarted_mid_evaluation:
            self._within_epoch(loop)
            self._loaders = []
            return  # the states are those at the start of the validation
        if loop.restarted_mid_epoch:
            self._within_epoch(loop)
            if self._states is not None:
                _set_states(self._states, pl_module.device)
        elif self._states is not None:
            self._between_epochs(loop, pl_module)
        self._states, self._loaders = None, []

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Resume an interrupted validation, and record the random states at its start."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            if self._states is not None:
                _set_states(self._states, pl_module.device)
            self._states, self._at_validation = None, _states(pl_module.device)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the states at the start of the validation."""
        self._at_validation = None

    def _within_epoch(self, loop: Any) -> None:
        if self._loaders:
            try:
                loop._combined_loader._load_state_dicts(self._loaders)  # noqa: SLF001
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                entry = "loops.fit_loop.state_dict.combined_loader"
                refuse_entry(entry, f"cannot be loaded ({type(error).__name__}: {error})", error)
            _begin(loop)

    def _between_epochs(self, loop: Any, module: pl.LightningModule) -> None:
        """Restore the generator from which the loader of the next epoch draws its order."""
        loaders: list[Any] = loop._combined_loader.flattened  # noqa: SLF001
        stateful: list[Any] = [each for each in loaders if isinstance(each, _Stateful)]
        if len(stateful) == len(self._loaders):
            for loader, state in zip(stateful, self._loaders, strict=True):
                loader.load_state_dict(state)
                next(iter(loader), None)  # the epoch that is over
        assert self._states is not None
        _set_states(self._states, module.device)
        if not loop.restarted_on_epoch_end:  # else Lightning does so by itself
            _begin(loop)


def _validate_again(loop: dict[str, Any]) -> None:
    """Restart the interrupted validation from its first batch.

    Lightning would validate on the remaining number of batches, from the first one, or on none.
    """
    progress = loop["epoch_loop.val_loop.batch_progress"]
    done = progress["total"]["completed"] - progress["current"]["completed"]
    for counts, before in ((progress["total"], done), (progress["current"], 0)):
        counts.update(ready=before + 1, started=before + 1, processed=before, completed=before)
    progress["is_last_batch"] = False


def _begin(loop: Any) -> None:
    """Recreate the batches of an epoch, in the order of that epoch."""
    for loader in loop._combined_loader.flattened:  # noqa: SLF001
        _set_sampler_epoch(loader, loop.epoch_progress.current.processed)
    iter(loop._data_fetcher)  # noqa: SLF001


def _states(device: torch.device) -> dict[str, Any]:
    """Return the states of the generators, as tensors and plain data."""
    found: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    if numpy := sys.modules.get("numpy"):
        name, keys, *rest = numpy.random.get_state()
        found["numpy"] = (name, keys.tolist(), *rest)
    return found


def _check_states(found: Any, device: torch.device) -> None:
    """Check random states by setting them in unused generators.

    Raises:
        CheckpointError: A state is invalid for its generator; the message names it.
    """
    own = _states(device)
    for path, problem in find_misfits(found, {key: own[key] for key in ("torch", "python")}):
        refuse_entry(dotted((_KEY, *path)), problem)
    _try_state("torch", torch.Generator().set_state, found["torch"].cpu())
    _try_state("python", random.Random().setstate, found["python"])  # noqa: S311 - it is not used
    if "numpy" in found:
        _try_state("numpy", _numpy().RandomState().set_state, found["numpy"])


def _try_state(key: str, set_state: Callable[[Any], object], state: Any) -> None:
    try:
        set_state(state)
    except (LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        refuse_entry(f"{_KEY}.{key}", f"is not a generator state ({error})", error)


def _numpy() -> Any:
    import numpy as np

    return np.random


def _set_states(found: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(found["torch"].cpu())
    random.setstate(found["python"])
    if device.type == "cuda" and "cuda" in found:
        torch.cuda.set_rng_state(found["cuda"].cpu(), device)
    if "numpy" in found:
        _numpy().set_state(found["numpy"])
