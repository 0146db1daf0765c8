"""Checkpoint files: atomic writes, and removal of paths outside the folder of their callback."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.cloud_io import (
    _is_local_file_protocol,  # pyright: ignore[reportPrivateUsage]
)
from lightning.pytorch.callbacks import ModelCheckpoint, SpikeDetection
from typing_extensions import override

from nshtrainer.config.files import kind_of, remove_left_over, replace_file
from nshtrainer.config.messages import join_names, truncate
from nshtrainer.exceptions import CheckpointWarning
from nshtrainer.resume import tell_of

__all__ = ["AtomicCheckpointIO", "drop_foreign_paths", "write_checkpoints_atomically"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's `CheckpointIO` with atomic writes on every file system.

    Lightning writes into the folder for temporary files, and moves the result. Between two file
    systems, such as `/tmp` and a data disk, a move is a copy: if the disk is full or the process is
    killed during the copy, half a file replaces the last good one. This class writes a hidden file
    in the folder of the checkpoint, flushes it to disk, and renames it. Any number of threads and
    processes may write to one path: the last one wins.

    `nshtrainer.Trainer` uses it by default. For Lightning's `Trainer` it is a plugin:

    >>> import lightning.pytorch as pl
    >>> trainer = pl.Trainer(plugins=[AtomicCheckpointIO()], barebones=True)
    """

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; for a remote path, as Lightning does.

        Args:
            checkpoint: The checkpoint.
            path: The path of the file.
            storage_options: Refused, as by Lightning.

        Raises:
            OSError: The file cannot be written; the previous file is unchanged.
        """
        if storage_options is not None or not _is_local_file_protocol(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        # Into memory first, as Lightning does: torch does not say why a file cannot be written.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        _write(Path(str(path).removeprefix("file://")), content.getbuffer())


def _write(path: Path, content: memoryview) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(path)
        replace_file(path, content)
    except OSError as error:
        kept = "the previous one is unchanged" if kind_of(path) else "there is no previous one"
        text = f"{error.strerror}: this checkpoint was not written; {kept}"
        raise OSError(error.errno, text, str(path)) from error


def write_checkpoints_atomically(trainer: pl.Trainer) -> None:
    """Make a trainer write checkpoints atomically, unless it has its own `CheckpointIO`."""
    strategy = trainer.strategy
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = AtomicCheckpointIO()


_FIELDS = ("best_model_path", "kth_best_model_path", "last_model_path")


def drop_foreign_paths(trainer: pl.Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Drop foreign paths from the states of Lightning's callbacks before they are loaded.

    `ModelCheckpoint` deletes the files and folders that its state lists as older checkpoints. A
    path is kept if it resolves, `..` and links followed, to a checkpoint below the folder of the
    callback. `SpikeDetection` writes to the path in its state: the run's own path is kept.

    Args:
        trainer: The trainer whose callbacks load the states.
        checkpoint: The checkpoint, changed in place.
    """
    states: Any = checkpoint.get("callbacks")
    callbacks: list[Any] = getattr(trainer, "callbacks", [])
    if not isinstance(states, dict):
        return
    known = cast("dict[Any, Any]", states)
    foreign: dict[str, dict[str, None]] = {}  # a dict of paths, since one is in several fields
    for callback in callbacks:
        legacy: Any = callback._legacy_state_key  # noqa: SLF001
        state: Any = known.get(callback.state_key, known.get(legacy))
        if not isinstance(state, dict):
            continue
        if isinstance(callback, ModelCheckpoint):
            found = _clean(callback, cast("dict[str, Any]", state))
            foreign.setdefault(str(callback.dirpath), {}).update(dict.fromkeys(found))
        elif isinstance(callback, SpikeDetection):
            _keep_own_path(callback, cast("dict[str, Any]", state))
    for folder, paths in foreign.items():
        if paths:
            listed = join_names(paths, limit=3)
            text = f"the checkpoint lists files that are not in {folder!r}: {listed}"
            tell_of(f"{text}. They are dropped from the list and not touched", CheckpointWarning)


def _keep_own_path(callback: SpikeDetection, state: dict[str, Any]) -> None:
    own: Any = callback.exclude_batches_path
    saved = state.get("bad_batches_path")
    state["bad_batches_path"] = own
    if saved is not None and saved != own:
        shown = "skip_batches.json in the current folder" if own is None else repr(str(own))
        text = f"the checkpoint names {saved!r} as the file of batches to skip: this is dropped, "
        tell_of(f"{text}and {shown} is written", CheckpointWarning)


def _clean(callback: ModelCheckpoint, state: dict[str, Any]) -> list[str]:
    """Drop the foreign paths; return them as text for messages."""
    is_own = partial(_is_own, callback)
    listed: Any = state.get("best_k_models")
    models = cast("dict[Any, Any]", listed) if isinstance(listed, dict) else {}
    named = [*models, *(state.get(field) for field in _FIELDS)]
    # An edited one may be a tensor, which is neither true nor false.
    foreign = [path for path in named if path is not None and path != "" and not is_own(path)]
    if foreign:
        own = {path: models[path] for path in models if is_own(path)}
        _rebuild(callback, state, own, is_own)
    return [truncate(repr(path), 300) for path in foreign]


def _rebuild(
    callback: ModelCheckpoint,
    state: dict[str, Any],
    models: dict[str, Any],
    is_own: Callable[[Any], bool],
) -> None:
    """Rebuild the lists and the paths that are computed from the kept ones."""
    scores = {path: float(score) for path, score in models.items() if _is_number(score)}
    best, worst = (min, max) if callback.mode == "min" else (max, min)
    state["best_k_models"] = {path: models[path] for path in scores}
    if not is_own(state.get("best_model_path")):
        path = best(scores, key=lambda path: scores[path], default="")
        state |= {"best_model_path": path, "best_model_score": models.get(path)}
    kth = state.get("kth_best_model_path")
    if not isinstance(kth, str) or kth not in scores:
        path = worst(scores, key=lambda path: scores[path], default="")
        value = models.get(path, callback.kth_value)
        state |= {"kth_best_model_path": path, "kth_value": value}
    if not is_own(state.get("last_model_path")):
        state["last_model_path"] = ""


def _is_number(score: Any) -> bool:
    return isinstance(score, (int, float)) or (
        isinstance(score, torch.Tensor) and score.numel() == 1
    )


def _is_own(callback: ModelCheckpoint, path: Any) -> bool:
    """Return True for a checkpoint below the folder of the callback."""
    folder = callback.dirpath
    if folder is None or not isinstance(path, str) or not path.endswith(callback.FILE_EXTENSION):
        return False
    if not _is_local_file_protocol(folder):
        return path.startswith(f"{str(folder).rstrip('/')}/") and ".." not in path.split("/")
    if "://" in path or "::" in path:  # somewhere else, as the file systems of Lightning read it
        return False
    try:
        return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents
    except (OSError, ValueError):
        return False
