"""The folder of one run: its config, checkpoints and metrics.

runs/digits/20260131-142501/
    config.yaml            what was run, overrides and defaults included; `fit` reads it again
    config.schema.json     its JSON Schema, for editors
    checkpoints/best.ckpt  the best by the primary metric, where one is named
    checkpoints/last.ckpt  the newest
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
from typing import TYPE_CHECKING

from nshtrainer.exceptions import ConfigError

if TYPE_CHECKING:
    from nshtrainer.config import Config

__all__ = ["RunFolder", "choose_folder"]


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


def choose_folder(
    config: Path, out: Path | None, resume: str | None
) -> tuple[RunFolder, Path | None]:
    """The folder of a run, and the checkpoint that it goes on from.

    A run that goes on does so in its own folder.

    Args:
        config: The file of the run; its name without the suffix is that of the runs.
        out: The folder, if it was given.
        resume: `last`, a checkpoint, the folder of a run, or nothing.

    Raises:
        ConfigError: There is no such checkpoint, or a new run would mix with an old one.
    """
    runs = Path("runs") / config.stem
    if resume is None:
        return RunFolder(_unused(out) if out else _new(runs)), None
    checkpoint = _newest(out, runs) if resume == "last" else _given(Path(resume))
    if out is None:
        out = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else _new(runs)
    return RunFolder(out), checkpoint


def _new(runs: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (stamp if number == 1 else f"{stamp}-{number}" for number in count(1))
    return next(runs / name for name in names if not (runs / name).exists())


def _unused(out: Path) -> Path:
    if RunFolder(out).last.exists():
        advice = "add --resume last to go on with it, or choose another folder"
        raise ConfigError(f"--out {out}: there is a run already; {advice}")
    return out


def _newest(out: Path | None, runs: Path) -> Path:
    where = out or runs
    folders = [out] if out else list(runs.glob("*"))
    found = [path for folder in folders for path in RunFolder(folder).checkpoints.glob("*.ckpt")]
    if not found:
        raise ConfigError(f"--resume last: no checkpoint in {where}; start without --resume")
    # At equal times the last one wins over the best one, which comes first in the alphabet.
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _given(path: Path) -> Path:
    found = RunFolder(path).last if path.is_dir() else path
    if not found.is_file():
        raise ConfigError(f"--resume {path}: no such checkpoint; give a .ckpt file, or 'last'")
    return found
