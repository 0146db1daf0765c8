"""Runs as processes of their own, forked from one that has imported everything."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

__all__ = ["PRELOADED", "Ended", "command", "fit", "full_disk", "plain", "plain_atomic", "start"]

HERE = Path(__file__).parent

PRELOADED = [
    "nshtrainer.runs.job",
    "nshtrainer.project.run_file",
    "torch.utils.tensorboard",
    "torchdata.stateful_dataloader",
    *("omegaconf", "rich_argparse", "ruamel.yaml", "tests.cli.support"),
]
"""Of all that fork runs, since a process has one such server."""

_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(PRELOADED)


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Args:
        code: Its exit code; negative where a signal killed it.
        out: What it said.
        err: What it said of errors.
    """

    code: int
    out: str
    err: str


def start(
    home: Path,
    program: Callable[..., int],
    *arguments: Any,
    environment: Mapping[str, str] | None = None,
    disk: int = 0,
) -> Ended:
    """Run a program in a folder, to its end.

    Args:
        home: The folder.
        program: What is run, with what.
        *arguments: Its arguments.
        environment: Variables beside those of here.
        disk: The size in bytes of a disk at `home/disk`; without it there is none of its own.
    """
    given = (home, program, arguments, dict(environment or {}), disk)
    process = _SERVER.Process(target=_work, args=given)
    process.start()
    process.join()
    assert process.exitcode is not None
    texts = [(home / name).read_text(encoding="utf-8") for name in ("out.txt", "err.txt")]
    return Ended(process.exitcode, *texts)


def _work(
    home: Path,
    program: Callable[..., int],
    arguments: tuple[Any, ...],
    environment: dict[str, str],
    disk: int,
) -> None:
    os.chdir(home)
    for number, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.update(environment)
    warnings.simplefilter("error")
    for text in IGNORED:
        warnings.filterwarnings("ignore", text)
    if disk:
        full_disk(Path("disk"), disk)
    try:
        sys.exit(program(*arguments))
    finally:
        if disk:  # nobody else sees it
            shutil.copytree("disk", "kept")


IGNORED = (
    "You're resuming from a checkpoint that ended before the epoch",
    ".isinstance.treespec, LeafSpec",
    "'set_vital' is deprecated",  # torchdata 0.11 calls it
    "The '.*_dataloader' does not have many workers",
    "The number of training batches .* is smaller than the logging interval",
    "Checkpoint directory .* exists and is not empty",
    "The dirpath has changed",
)
"""Advice, and what Lightning 2.6.6 calls of torch's that torch 2.13 deprecates."""


def command(*arguments: str) -> int:
    """The command line."""
    from nshtrainer.cli import main

    return main(arguments)


def fit(*arguments: str) -> int:
    """`nshtrainer fit` of the task."""
    return command("fit", str(HERE / "task.py"), "--config", "run.yaml", *arguments)


def plain(checkpoint: str | None = None, loader: str = "stateful, shuffled", **options: Any) -> int:
    """Lightning's own trainer, that saves every fifth update and at an exception."""
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import ModelCheckpoint
    from tests.faults.task import EPOCHS, Batches, Task

    saves = ModelCheckpoint(
        "checkpoints", "{step}", every_n_train_steps=5, save_top_k=-1, save_on_exception=True
    )
    pl.seed_everything(0)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=[saves],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(Task({}), datamodule=Batches(loader), ckpt_path=checkpoint)
    trainer.save_checkpoint("checkpoints/end.ckpt")
    return 0


def plain_atomic(checkpoint: str | None = None, loader: str = "stateful, shuffled") -> int:
    """The same, with the plugin that replaces a checkpoint in one step."""
    from nshtrainer.integrations.lightning import AtomicCheckpointIO

    return plain(checkpoint, loader, plugins=[AtomicCheckpointIO()])


def full_disk(path: Path, size: int) -> None:
    """A file system in memory that this process alone sees.

    Raises:
        OSError: The system does not let this process have one.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, new_user, recursive_private = 0x20000, 0x10000000, 0x44000
    user, group = os.getuid(), os.getgid()
    _call(libc.unshare, new_mounts | (new_user if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="utf-8")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="utf-8")
    _call(libc.mount, None, b"/", None, recursive_private, None)
    path.mkdir()
    _call(libc.mount, b"tmpfs", os.fsencode(path.resolve()), b"tmpfs", 0, f"size={size}".encode())


def _call(function: Callable[..., int], *arguments: Any) -> None:
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
