"""The folder of one run: its config, checkpoints and metrics.

runs/digits/20260131-142501/
    config.yaml            the config, overrides and defaults included; `fit` can read it again
    checkpoints/best.ckpt  the best by the primary metric, if one is set
    checkpoints/last.ckpt  the newest, from the end of an epoch or from a signal
    checkpoints/exception.ckpt  the state at an exception, if it could be saved
    .start                 the number of the last start among the runs of the parent folder
    .lock                  exists while a process writes here, or after one was killed
    metrics.csv            every logged metric
    optimizer.json         parameter groups, learning rates, schedules and state sizes
    schedule.svg           the planned learning rate and other scheduled hyperparameters
    schedule.csv           planned and used values
    tensorboard/           the metrics, if tensorboard is installed
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from nshtrainer.config.document import fail
from nshtrainer.config.file_lock import AlreadyLockedError, hold
from nshtrainer.config.files import is_zip, kind_of, reason_of, replace_file, write_file
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigError
from nshtrainer.runs.newest_checkpoint import (
    Found,
    by_run,
    checkpoints_of,
    fault_of,
    newest,
    note_start,
)

if TYPE_CHECKING:
    from nshtrainer.config import Config

__all__ = ["ResumePoint", "RunFolder", "choose_folder"]

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")
"""The start of a URL, such as `s3://`; a `Path` keeps one slash of it."""


@dataclass(frozen=True)
class RunFolder:
    """The output directory of one run.

    Args:
        path: The folder; it may not exist yet.
        is_new: True if the name was generated, so that another name can replace it.
    """

    path: Path
    is_new: bool = False

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def best(self) -> Path:
        """The best checkpoint by the primary metric."""
        return self.checkpoints / "best.ckpt"

    @property
    def exception(self) -> Path:
        """The checkpoint of a run that an exception ended."""
        return self.checkpoints / "exception.ckpt"

    @property
    def metrics(self) -> Path:
        """The table of metrics."""
        return self.path / "metrics.csv"

    @property
    def optimizer(self) -> Path:
        """The parameter groups and schedules as JSON."""
        return self.path / "optimizer.json"

    @property
    def picture(self) -> Path:
        """The picture of the schedule."""
        return self.path / "schedule.svg"

    @property
    def schedule(self) -> Path:
        """The table of planned and used values."""
        return self.path / "schedule.csv"

    def claimed(self) -> RunFolder:
        """Make the folder; a generated name is changed if a run of the same second has taken it.

        Raises:
            ConfigError: There can be no such folder.
        """
        try:
            if self.is_new:
                name = self.path.name
                names = chain([name], (f"{name}-{number}" for number in count(2)))
                paths = map(self.path.with_name, names)
                return RunFolder(next(path for path in paths if _is_made(path)))
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_be_made(self.path, error) from error
        return self

    @contextmanager
    def held(self) -> Generator[None]:
        """Lock the claimed folder for this run until the block or the process ends.

        Raises:
            ConfigError: Another running process writes to the folder.
        """
        owner = f"{os.getpid()} on {socket.gethostname()}"
        with ExitStack() as stack:
            try:
                stack.enter_context(hold(self.path / ".lock", owner))
            except AlreadyLockedError as error:
                text = f"in use by another run (process {error})"
                advice = "wait for its end, stop that run, or choose another folder with --out"
                fail(str(self.path), f"{text}; {advice}", error)
            except OSError as error:
                raise _cannot_be_made(self.path, error) from error
            yield

    def _check_files(self) -> None:
        files = [self.metrics, self.optimizer, self.picture, self.schedule]
        for path in (*files, self.last, self.best, self.exception):
            if kind_of(path) not in {None, "file"}:
                fail(str(path), "is not a regular file; move it away, or give another --out")

    def set_aside_exception(self, checkpoint: Path) -> None:
        """Rename the checkpoint of an exception if the run resumes from another checkpoint.

        Otherwise a later resume would choose it: it may have more steps than this run.

        Args:
            checkpoint: The checkpoint that the run resumes from.
        """
        if kind_of(self.exception) and not self.exception.samefile(checkpoint):
            self.exception.replace(self.exception.with_suffix(".old"))

    def renew_last(self, checkpoint: Path) -> None:
        """Copy a checkpoint of this run to `last.ckpt` if that one is older.

        `last.ckpt` is older if a run was killed between writing the two at its end.

        Args:
            checkpoint: The checkpoint that the run resumed from.
        """
        if checkpoint.absolute().parent != self.checkpoints.absolute():
            return
        path, _ = newest([[self.last, checkpoint]])
        if path == checkpoint != self.last:
            replace_file(self.last.absolute(), checkpoint.read_bytes())

    def write_config(self, config: Config, code: Path) -> None:
        """Create the folder, and write the resolved config into it.

        Args:
            config: The config of the run.
            code: The file with the user's classes, for the comment about the schema.

        Raises:
            ConfigError: There can be no such folder.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_be_made(self.path, error) from error
        self._check_files()
        note_start(self.path)
        command = printable(f"nshtrainer schema --for {quote(str(code))} -o FILE")
        comment = f"# For completion in an editor: {command}"
        write_file(self.path / "config.yaml", f"{comment}\n{config.to_yaml()}")


def _is_made(path: Path) -> bool:
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def _cannot_be_made(path: Path, error: OSError) -> ConfigError:
    text = f"{path}: cannot be created: {reason_of(error)}; choose another folder with --out"
    return ConfigError(printable(text))


class ResumePoint(NamedTuple):
    """The start of a run: its folder and its checkpoint.

    Args:
        folder: The output directory.
        checkpoint: The checkpoint to resume from, if any.
        passed_over: Unreadable checkpoints that were skipped, each with the reason.
    """

    folder: RunFolder
    checkpoint: Path | None = None
    passed_over: tuple[str, ...] = ()


def choose_folder(config: Path, out: Path | None, resume: str | None) -> ResumePoint:
    """Choose the folder of a run, and the checkpoint to resume from.

    A resumed run keeps its folder.

    Args:
        config: The file of the run; its name without the suffix names the parent folder of runs.
        out: The folder, if it was given.
        resume: `last`, `auto` (`last` if it exists), a checkpoint, the folder of a run, or None.

    Raises:
        ConfigError: The checkpoint does not exist, a new run would mix with an old one, or a path
            is a URL.
    """
    start = _chosen(config, out, resume)
    for path in filter(None, (start.folder.path, start.checkpoint)):
        if _ADDRESS.match(str(path)):
            fail(str(path), "is a URL, not a local folder; give a local path")
        if "::" in str(path.absolute()):  # fsspec joins addresses by it
            text = "contains '::', which Lightning reads as two URLs; choose another path"
            fail(str(path.absolute()), text)
    return start


def _chosen(config: Path, out: Path | None, resume: str | None) -> ResumePoint:
    runs = Path("runs") / config.stem
    if resume is None:
        return ResumePoint(RunFolder(_unused(out)) if out else _new(runs))
    passed_over: tuple[str, ...] = ()
    if resume in {"last", "auto"}:
        found = checkpoints_of(out) if out else by_run(runs)
        if not found and resume == "auto":
            return ResumePoint(RunFolder(out) if out else _new(runs))
        checkpoint, passed_over = _newest(found, resume, out or runs)
    elif kind_of(resume) == "folder":
        checkpoint, passed_over = _newest(checkpoints_of(Path(resume)), resume, Path(resume))
    else:
        checkpoint = _given(resume)
    if out is not None:
        return ResumePoint(RunFolder(out), checkpoint, passed_over)
    own = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else None
    return ResumePoint(RunFolder(own) if own else _new(runs), checkpoint, passed_over)


def _new(runs: Path) -> RunFolder:
    return RunFolder(runs / time.strftime("%Y%m%d-%H%M%S"), is_new=True)


def _unused(out: Path) -> Path:
    if kind_of(RunFolder(out).last):
        advice = "add --resume last to continue it, or choose another folder"
        fail(f"--out {out}", f"the folder already contains a run; {advice}")
    return out


def _newest(found: Found, resume: str, where: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the newest readable checkpoint, and why others were skipped."""
    path, passed_over = newest(found)
    if path is None:
        why = f" that can be read ({'; '.join(passed_over)})" if passed_over else ""
        fail(f"--resume {resume}", f"no checkpoint in {where}{why}; start without --resume")
    return path, passed_over


def _given(resume: str) -> Path:
    if kind_of(resume) != "file":
        fail(f"--resume {resume}", "no such checkpoint; give a .ckpt file, or 'last'")
    fault = fault_of(Path(resume)) if is_zip(resume) or not Path(resume).stat().st_size else None
    if fault:
        fail(f"--resume {resume}", f"{fault}; give another checkpoint, or 'last'")
    return Path(resume)
