"""A resumed run draws the random numbers, and sees the batches, of one that was not cut off."""

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
    """Saves the states of torch's, Python's and numpy's generators, and goes on with them.

    Dropout, and the order in which a loader draws its data, are then those of a run that was never
    cut off. In a run of several processes, of which one saves for all, the generators are left
    alone.

    A loader that has a state of its own, such as torchdata's `StatefulDataLoader`, goes on within
    the epoch. Lightning 2.6 forgets that state where the loader is made before the checkpoint is
    loaded: where a schedule asks how long an epoch is, by this package or by
    `trainer.estimated_stepping_batches`.

    What is saved in the middle of a batch, as at an exception, goes on from the start of the data
    of the epoch: the loader had given that batch away. What is saved in the middle of a validation
    goes on with the whole of that validation.

    `LightningModuleBase` and `nshtrainer.Trainer` attach this callback by themselves.
    """

    def __init__(self) -> None:
        self._states: dict[str, Any] | None = None
        self._loaders: list[Any] = []
        self._at_validation: dict[str, Any] | None = None
        """The states as the validation began that is under way."""

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
        """Remember them, and those of the loaders."""
        self._states = checkpoint.get(_KEY) if trainer.world_size == 1 else None
        if self._states is not None:
            _check_states(self._states, pl_module.device)
        loop = checkpoint.get("loops", {}).get("fit_loop", {}).get("state_dict", {})
        self._loaders = loop.get("combined_loader", [])

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with them, once all is loaded that draws random numbers meanwhile."""
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
        """Go on with a validation that was cut off, and note how this one begins."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            if self._states is not None:
                _set_states(self._states, pl_module.device)
            self._states, self._at_validation = None, _states(pl_module.device)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget how the validation began."""
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
        """The loader of the next epoch draws its order from a generator, of its own or of all."""
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
    """Have the validation that is under way run from its first batch.

    Lightning would go on with as many batches as were left, the first ones, or with none.
    """
    progress = loop["epoch_loop.val_loop.batch_progress"]
    done = progress["total"]["completed"] - progress["current"]["completed"]
    for counts, before in ((progress["total"], done), (progress["current"], 0)):
        counts.update(ready=before + 1, started=before + 1, processed=before, completed=before)
    progress["is_last_batch"] = False


def _begin(loop: Any) -> None:
    """Have the batches of an epoch made anew, in the order of that epoch."""
    for loader in loop._combined_loader.flattened:  # noqa: SLF001
        _set_sampler_epoch(loader, loop.epoch_progress.current.processed)
    iter(loop._data_fetcher)  # noqa: SLF001


def _states(device: torch.device) -> dict[str, Any]:
    """The states of the generators, as tensors and plain data."""
    found: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    if numpy := sys.modules.get("numpy"):
        name, keys, *rest = numpy.random.get_state()
        found["numpy"] = (name, keys.tolist(), *rest)
    return found


def _check_states(found: Any, device: torch.device) -> None:
    """Set generators that nothing else uses to the states of a checkpoint.

    Raises:
        CheckpointError: A state is none of a generator's; it is named.
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
        refuse_entry(f"{_KEY}.{key}", f"is no state of a generator ({error})", error)


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
