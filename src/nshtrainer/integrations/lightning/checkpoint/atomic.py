"""Atomic checkpoint writes: the previous checkpoint stays until the new one is complete."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.cloud_io import (
    _is_local_file_protocol,  # pyright: ignore[reportPrivateUsage]
)
from typing_extensions import override

from nshtrainer.config.files import kind_of, remove_left_over, replace_file

__all__ = ["AtomicCheckpointIO", "write_checkpoints_atomically"]


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
