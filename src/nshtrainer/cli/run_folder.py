"""The folder of one run: its config, checkpoints and metrics.

runs/digits/20260131-142501/
    config.yaml            what was run, overrides and defaults included; `fit` reads it again
    config.schema.json     its JSON Schema, for editors
    checkpoints/best.ckpt  the best by the primary metric, where one is named
    checkpoints/last.ckpt  the newest, of the end of an epoch or of where a signal ended the run
    checkpoints/exception.ckpt  what an exception left, where it could be saved
    metrics.csv            every logged metric
    optimizer.json         what is optimised how: groups, rates, schedules, state
    schedule.svg           how the rate, and whatever else is scheduled, is planned to move
    schedule.csv           what was planned and what was used
    tensorboard/           the same, where tensorboard is installed
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zipfile import BadZipFile, ZipFile

from nshtrainer.exceptions import ConfigError

if TYPE_CHECKING:
    from nshtrainer.config import Config

__all__ = ["RunFolder", "Start", "choose_folder"]


@dataclass(frozen=True)
class RunFolder:
    """Where one run writes.

    Args:
        path: The folder; it need not be there yet.
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

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
        """What is optimised how."""
        return self.path / "optimizer.json"

    @property
    def picture(self) -> Path:
        """The picture of the schedule."""
        return self.path / "schedule.svg"

    @property
    def schedule(self) -> Path:
        """The table of what was planned and what was used."""
        return self.path / "schedule.csv"

    def write_config(self, config: Config) -> None:
        """Make the folder, and write the resolved config and its schema into it.

        Raises:
            ConfigError: There can be no such folder.
        """
        from nshtrainer.cli.schema import schema_comment
        from nshtrainer.text.files import write_file
        from nshtrainer.text.json_format import write_json

        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            text = f"{self.path}: cannot be made: {reason}; choose another folder with --out"
            raise ConfigError(text) from error
        write_file(self.path / "config.schema.json", write_json(type(config).json_schema()))
        comment = schema_comment("config.schema.json")
        write_file(self.path / "config.yaml", f"{comment}\n{config.to_yaml()}")


class Start(NamedTuple):
    """Where a run starts.

    Args:
        folder: Where it writes.
        checkpoint: What it goes on from, if anything.
        passed_over: Newer checkpoints that cannot be read, each with the reason.
    """

    folder: RunFolder
    checkpoint: Path | None = None
    passed_over: tuple[str, ...] = ()


def choose_folder(config: Path, out: Path | None, resume: str | None) -> Start:
    """The folder of a run, and the checkpoint that it goes on from.

    A run that goes on does so in its own folder.

    Args:
        config: The file of the run; its name without the suffix is that of the runs.
        out: The folder, if it was given.
        resume: `last`, `auto` (the same, if there is one), a checkpoint, the folder of a run, or
            nothing.

    Raises:
        ConfigError: There is no such checkpoint, or a new run would mix with an old one.
    """
    runs = Path("runs") / config.stem
    if resume is None:
        return Start(RunFolder(_unused(out) if out else _new(runs)))
    passed_over: tuple[str, ...] = ()
    if resume in {"last", "auto"}:
        found = _newest_first(out, runs)
        if not found and resume == "auto":
            return Start(RunFolder(out or _new(runs)))
        checkpoint, passed_over = _newest(found, resume, out or runs)
    else:
        checkpoint = _given(Path(resume))
    if out is None:
        out = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else _new(runs)
    return Start(RunFolder(out), checkpoint, passed_over)


def _new(runs: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (stamp if number == 1 else f"{stamp}-{number}" for number in count(1))
    return next(runs / name for name in names if not (runs / name).exists())


def _unused(out: Path) -> Path:
    if RunFolder(out).last.exists():
        advice = "add --resume last to go on with it, or choose another folder"
        raise ConfigError(f"--out {out}: there is a run already; {advice}")
    return out


def _newest_first(out: Path | None, runs: Path) -> list[Path]:
    folders = [out] if out else list(runs.glob("*"))
    found = [path for folder in folders for path in RunFolder(folder).checkpoints.glob("*.ckpt")]
    # At equal times the last one wins over the best one, which comes first in the alphabet.
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def _newest(found: list[Path], resume: str, where: Path) -> tuple[Path, tuple[str, ...]]:
    """The newest checkpoint that can be read, and why others are not it."""
    passed_over: list[str] = []
    for path in found:
        fault = _fault(path)
        if fault is None:
            return path, tuple(passed_over)
        passed_over.append(f"{path}: {fault}")
    why = f" that can be read ({'; '.join(passed_over)})" if passed_over else ""
    text = f"--resume {resume}: no checkpoint in {where}{why}; start without --resume"
    raise ConfigError(text)


def _fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, as far as it can be said without torch; often nothing.

    A checkpoint is a zip file with a list of contents at its end, and a check sum for each part.
    """
    if not path.stat().st_size:
        return "is empty"
    try:
        with ZipFile(path) as file:
            broken = file.testzip()
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError):
        return "is cut off, or no checkpoint"
    except OSError as error:
        return f"cannot be read: {(error.strerror or str(error)).lower()}"
    return broken and f"is damaged: {broken} is not as it was written"


def _given(path: Path) -> Path:
    found = RunFolder(path).last if path.is_dir() else path
    if not found.is_file():
        raise ConfigError(f"--resume {path}: no such checkpoint; give a .ckpt file, or 'last'")
    return found
