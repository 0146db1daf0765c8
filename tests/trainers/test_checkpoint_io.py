"""A checkpoint is written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from tests.trainers.support import trainer

import nshtrainer
from nshtrainer.lightning_ import AtomicCheckpointIO


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("before", [True, False])
def test_where_the_disk_is_full_the_checkpoint_before_stays_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    path = tmp_path / "folder/last.ckpt"
    if before:
        AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    monkeypatch.setattr(os, "fsync", full)
    kept = "the one before it is as it was" if before else "there was none before it"
    with pytest.raises(OSError, match=f"No space left on device: .* and {kept}: '.*last.ckpt'"):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, path)
    assert list(path.parent.iterdir()) == [path] * before
    assert not before or torch.load(path) == {"step": 1}


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.1.tmp").write_bytes(b"half")
    AtomicCheckpointIO().save_checkpoint({"step": 1}, f"file://{tmp_path}/last.ckpt")
    assert list(tmp_path.iterdir()) == [tmp_path / "last.ckpt"]


def test_what_is_elsewhere_is_written_as_lightning_does() -> None:
    AtomicCheckpointIO().save_checkpoint({"step": 1}, "memory://folder/last.ckpt")
    assert AtomicCheckpointIO().load_checkpoint("memory://folder/last.ckpt", weights_only=True) == {
        "step": 1
    }


def test_our_trainer_writes_so_unless_it_is_given_another_way() -> None:
    class Mine(TorchCheckpointIO):
        pass

    assert type(trainer().strategy.checkpoint_io) is AtomicCheckpointIO
    assert type(trainer(plugins=[Mine()]).strategy.checkpoint_io) is Mine
    assert type(trainer(pl.Trainer).strategy.checkpoint_io) is TorchCheckpointIO
    wrapped = nshtrainer.Trainer(plugins=[AsyncCheckpointIO()], barebones=True)
    assert type(wrapped.strategy.checkpoint_io) is AsyncCheckpointIO
