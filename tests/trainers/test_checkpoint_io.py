"""A checkpoint is written whole or not at all."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from tests.trainers.support import trainer

import nshtrainer
from nshtrainer.integrations.lightning import AtomicCheckpointIO


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
    kept = "the previous one is unchanged" if before else "there is no previous one"
    with pytest.raises(OSError, match=f"No space left on device: .*; {kept}: '.*last.ckpt'"):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, path)
    assert list(path.parent.iterdir()) == [path] * before
    assert not before or torch.load(path) == {"step": 1}


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.1.tmp").write_bytes(b"half")
    AtomicCheckpointIO().save_checkpoint({"step": 1}, f"file://{tmp_path}/last.ckpt")
    assert list(tmp_path.iterdir()) == [tmp_path / "last.ckpt"]


@pytest.mark.parametrize("target", ["last.ckpt", "nowhere"])
def test_a_link_that_leads_nowhere_is_replaced(tmp_path: Path, target: str) -> None:
    path = tmp_path / "last.ckpt"
    path.symlink_to(target)
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    assert torch.load(path) == {"step": 1}
    assert not path.is_symlink()


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


def test_threads_save_to_one_path_at_once(tmp_path: Path) -> None:
    saver = AtomicCheckpointIO()

    def save(index: int) -> None:
        for _ in range(30):
            saver.save_checkpoint({"writer": index, "weights": torch.ones(100)}, path)

    path = tmp_path / "last.ckpt"
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(save, range(6)))
    assert torch.load(path)["writer"] in range(6)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("length", [240, 245, 255])
def test_a_name_may_be_as_long_as_the_system_takes(tmp_path: Path, length: int) -> None:
    path = tmp_path / f"{'x' * (length - 5)}.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_too_long_is_an_error_that_says_what_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"name too long: this .* there is no previous one"):
        AtomicCheckpointIO().save_checkpoint({"step": 1}, tmp_path / f"{'x' * 256}.ckpt")
