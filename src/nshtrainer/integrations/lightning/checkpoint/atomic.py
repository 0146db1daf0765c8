"""Writes a checkpoint so that the one before it stands there until the new one is whole."""

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
    """Lightning's way to write a checkpoint, but whole or not at all on every file system.

    Lightning writes into the folder for temporary files, and moves what is there. Between two file
    systems, as `/tmp` and that of the data often are, to move is to copy: where the disk is full,
    or the process is killed just then, half a file stands in the place of the last good one. Here
    the bytes go to a hidden file beside the checkpoint, and to the disk, before it takes the name.
    Any number of threads and processes may write to one path: the last one wins.

    `nshtrainer.Trainer` has it unless it is given another. For Lightning's own it is a plugin:

    >>> import lightning.pytorch as pl
    >>> trainer = pl.Trainer(plugins=[AtomicCheckpointIO()], barebones=True)
    """

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; to what is no file system of this machine as Lightning does.

        Args:
            checkpoint: What is saved.
            path: Where.
            storage_options: Refused, as by Lightning.

        Raises:
            OSError: The file cannot be written; what stood there before is as it was.
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
        kept = "the one before it is as it was" if kind_of(path) else "there was none before it"
        text = f"{error.strerror}: this checkpoint is not written, and {kept}"
        raise OSError(error.errno, text, str(path)) from error


def write_checkpoints_atomically(trainer: pl.Trainer) -> None:
    """Let a trainer do so, unless it has a way of its own."""
    strategy = trainer.strategy
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = AtomicCheckpointIO()
