"""The folder of one run: its config, checkpoints and metrics.

runs/digits/20260131-142501/
    config.yaml            the config that trains, with defaults; `fit` can read it again
    manifest.json          what each start or resume ran with: command, commit, versions, outcome
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

import re
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from nshtrainer.config.document import fail
from nshtrainer.config.file_lock import AlreadyLockedError, hold
from nshtrainer.config.files import (
    is_zip,
    kind_of,
    reason_of,
    replace_file,
    set_aside,
)
from nshtrainer.console import say
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigError
from nshtrainer.manifest import LOCK, Manifest, lock_owner, relative_path
from nshtrainer.runs.newest_checkpoint import (
    Found,
    by_run,
    checkpoints_of,
    fault_of,
    newest,
    note_start,
)

__all__ = ["AUTOMATIC", "ResumePoint", "RunFolder", "choose_folder", "difference_from", "run_name"]

ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")
"""The start of a URL, such as `s3://`; a `Path` keeps one slash of it."""

AUTOMATIC = frozenset({"auto", "last"})
"""Values of `--resume` that search for a checkpoint of the same run file and module."""


@dataclass(frozen=True)
class RunFolder:
    """The output directory of one run.

    Args:
        path: The folder; it may not exist yet.
        is_new: True if the name was generated, so that another name can replace it.
        config_file: The run file, relative to the current folder.
    """

    path: Path
    is_new: bool = False
    config_file: str | None = None

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
                return replace(self, path=next(path for path in paths if _is_made(path)))
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
        with ExitStack() as stack:
            try:
                stack.enter_context(hold(self.path / LOCK, lock_owner()))
            except AlreadyLockedError as error:
                text = f"in use by another run (process {error})"
                advice = "wait for its end, stop that run, or choose another folder with --out"
                fail(str(self.path), f"{text}; {advice}", error)
            except OSError as error:
                raise _cannot_be_made(self.path, error) from error
            yield

    def _check_files(self) -> None:
        """Rename what is no file where this run writes one; refuse it for a checkpoint."""
        for path in (self.last, self.best, self.exception):
            if kind_of(path) not in {None, "file"}:
                fail(str(path), "is not a regular file; move it away, or give another --out")
        for path in (self.metrics, self.optimizer, self.picture, self.schedule):
            if kind_of(path) not in {None, "file"}:
                _rename(path, "is not a regular file")

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

    def prepare(self, *, resumes: bool) -> None:
        """Create the folder, and record the start of the run.

        Args:
            resumes: False to set aside the tables that an earlier run has left.

        Raises:
            ConfigError: There can be no such folder, a checkpoint cannot be written, or another
                process has trained here since the folder was chosen.
        """
        if not resumes:
            _unused(self.path)
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_be_made(self.path, error) from error
        self._check_files()
        for path in () if resumes else (self.metrics, self.schedule):
            if kind_of(path):
                _rename(path, "belongs to an earlier run")
        # Lightning does not replace this file, so it would have the values of an earlier start.
        with suppress(OSError):
            (self.path / "tensorboard" / "hparams.yaml").unlink()
        note_start(self.path)


def _rename(path: Path, why: str) -> None:
    """Set a file aside, and print a line.

    Raises:
        ConfigError: The system refuses.
    """
    try:
        say(f"{path}: {why}; it is renamed to {set_aside(path).name}")
    except OSError as error:
        text = f"{why}, and cannot be renamed: {reason_of(error)}"
        fail(str(path), f"{text}; move it away, or give another --out", error)


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


def choose_folder(
    config: Path, out: Path | None, resume: str | None, code: str | None = None
) -> ResumePoint:
    """Choose the folder of a run, and the checkpoint to resume from.

    A resumed run keeps its folder.

    Args:
        config: The file of the run; its name without the suffix names the parent folder of runs.
        out: The folder, if it was given.
        resume: `last`, `auto` (`last` if it exists), a checkpoint, the folder of a run, or None.
        code: The file and the class of the module, such as `train.py:MyModel`; runs of other
            modules are not searched for a checkpoint.

    Raises:
        ConfigError: The checkpoint does not exist, a new run would mix with an old one, or a path
            is a URL.
    """
    start = _chosen(config, out, resume, code)
    for path in filter(None, (start.folder.path, start.checkpoint)):
        if ADDRESS.match(str(path)):
            fail(str(path), "is a URL, not a local folder; give a local path")
        if "::" in str(path.absolute()):  # fsspec joins addresses by it
            text = "contains '::', which Lightning reads as two URLs; choose another path"
            fail(str(path.absolute()), text)
    folder = replace(start.folder, config_file=relative_path(config))
    return start._replace(folder=folder)


def _chosen(config: Path, out: Path | None, resume: str | None, code: str | None) -> ResumePoint:
    runs = Path("runs") / (run_name(config.parent) if _is_of_a_run(config) else config.stem)
    if resume is None:
        return ResumePoint(RunFolder(_unused(out)) if out else _new(runs))
    others: list[str] = []
    passed_over: tuple[str, ...] = ()
    if resume in AUTOMATIC:
        own, others = ([], []) if out else _own_runs(runs, relative_path(config), code)
        found = checkpoints_of(out) if out else by_run(own)
        if not found and resume == "auto":
            return ResumePoint(RunFolder(out) if out else _new(runs), None, tuple(others))
        checkpoint, passed_over = _newest(found, resume, out or runs, others)
    elif kind_of(resume) == "folder":
        checkpoint, passed_over = _newest(checkpoints_of(Path(resume)), resume, Path(resume))
    else:
        checkpoint = _given(resume)
    passed_over = (*others, *passed_over)
    if out is not None:
        return ResumePoint(RunFolder(out), checkpoint, passed_over)
    own_folder = _run_of(checkpoint)
    return ResumePoint(RunFolder(own_folder) if own_folder else _new(runs), checkpoint, passed_over)


def run_name(folder: Path) -> str:
    """Return the name of the run file of a run, without its suffix.

    Without a manifest, it is the name of the folder around.
    """
    with suppress(ConfigError):  # a damaged manifest
        manifest = Manifest.read(folder)
        file = Path((manifest and manifest.last.config_file) or "")
        if file.stem.strip(".") and not _is_of_a_run(file):
            return printable(file.stem)
    return folder.absolute().parent.name


def _is_of_a_run(config: Path) -> bool:
    return config.name == "config.yaml" and kind_of(config.parent / "checkpoints") is not None


def _run_of(checkpoint: Path) -> Path | None:
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else None


def _own_runs(runs: Path, config: str, code: str | None) -> tuple[list[Path], list[str]]:
    """Return the runs of one experiment, and a line for each other one with the same file name."""
    own: list[Path] = []
    others: dict[str, list[Path]] = {}
    for run in sorted(runs.glob("*")):
        difference = _difference(run, config, code)
        own.append(run) if difference is None else others.setdefault(difference, []).append(run)
    lines = [
        f"{folders[-1]}{f' and {len(folders) - 1} more' * (len(folders) > 1)}: {difference}; "
        "to resume from it, give its path"
        for difference, folders in others.items()
        if any(map(checkpoints_of, folders))
    ]
    return own, lines


def _difference(run: Path, config: str, code: str | None) -> str | None:
    """Return how the experiment of a folder differs; None if it does not, or is not recorded."""
    try:
        manifest = Manifest.read(run)
    except ConfigError:  # set aside when the run resumes
        return None
    if manifest is None:
        return None
    pairs = ((manifest.last.config_file, config), (manifest.last.code, code))
    texts = [f"{was}, not {now}" for was, now in pairs if was and now and was != now]
    return f"belongs to {' and '.join(texts)}" if texts else None


def difference_from(checkpoint: Path, folder: RunFolder, code: str) -> str | None:
    """Return how the run that wrote a checkpoint differs from this one, as far as it is recorded.

    Args:
        checkpoint: The checkpoint to resume from.
        folder: The folder of this run.
        code: The file and the class of the module.
    """
    run = _run_of(checkpoint)
    return run and _difference(run, folder.config_file or "", code)


def _new(runs: Path) -> RunFolder:
    return RunFolder(runs / time.strftime("%Y%m%d-%H%M%S"), is_new=True)


def _unused(out: Path) -> Path:
    if kind_of(RunFolder(out).last):
        advice = "add --resume last to continue it, or choose another folder"
        fail(f"--out {out}", f"the folder already contains a run; {advice}")
    return out


def _newest(
    found: Found, resume: str, where: Path, others: Sequence[str] = ()
) -> tuple[Path, tuple[str, ...]]:
    """Return the newest readable checkpoint, and why others were skipped."""
    path, passed_over = newest(found)
    if path is None:
        why = f" that can be read ({'; '.join(passed_over)})" if passed_over else ""
        own = f" of this run file and module ({'; '.join(others)})" if others else ""
        text = f"no checkpoint in {where}{why}{own}; start without --resume"
        fail(f"--resume {resume}", text)
    return path, passed_over


def _given(resume: str) -> Path:
    if kind_of(resume) != "file":
        fail(f"--resume {resume}", "no such checkpoint; give a .ckpt file, or 'last'")
    fault = fault_of(Path(resume)) if is_zip(resume) or not Path(resume).stat().st_size else None
    if fault:
        fail(f"--resume {resume}", f"{fault}; give another checkpoint, or 'last'")
    return Path(resume)
