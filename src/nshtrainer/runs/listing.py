"""Runs below a folder, as their manifests describe them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from nshtrainer.config.document import fail, large_files
from nshtrainer.config.file_lock import is_held
from nshtrainer.config.files import kind_of
from nshtrainer.config.io import read_document
from nshtrainer.config.messages import dotted
from nshtrainer.config.parts import leaves_of
from nshtrainer.console import say
from nshtrainer.exceptions import ConfigError
from nshtrainer.manifest import LOCK, NAME, Manifest

__all__ = ["RecordedRun", "differing_values", "find_runs", "read_run_folder"]

_DEEPEST = 8
"""Levels of folders below the given one."""


@dataclass(frozen=True)
class RecordedRun:
    """A run's folder, and the record of the run.

    Args:
        path: The folder.
        manifest: The manifest; None for a run without one.
        config: The resolved config as plain data; empty if it is unknown.
    """

    path: Path
    manifest: Manifest | None
    config: Mapping[str, Any]

    @property
    def outcome(self) -> str:
        """The outcome of the last stretch: `killed` if its process is gone without one."""
        if self.manifest is None:
            return "unknown"
        outcome = self.manifest.last.outcome
        return "killed" if outcome == "running" and is_held(self.path / LOCK) is False else outcome

    @property
    def started(self) -> datetime | None:
        """The start of the first stretch."""
        return self.manifest.stretches[0].started if self.manifest else None

    @property
    def seconds(self) -> float | None:
        """The duration of all stretches; that of a killed one ends with its last checkpoint."""
        if self.manifest is None:
            return None
        written = datetime.fromtimestamp((self.path / NAME).stat().st_mtime, timezone.utc)
        now = datetime.now(timezone.utc) if self.outcome == "running" else written
        ends = ((each.ended or now) - each.started for each in self.manifest.stretches)
        return sum(max(0.0, each.total_seconds()) for each in ends)

    def to_dict(self) -> dict[str, Any]:
        """Return the main facts as plain data."""
        found: dict[str, Any] = {"path": str(self.path), "outcome": self.outcome}
        if self.manifest is None:
            return found
        last = self.manifest.model_dump(mode="json")["stretches"][-1]
        names = ("error", "steps", "metrics", "best", "config_file", "code", "git", "versions")
        return {
            **found,
            "started": cast("datetime", self.started).isoformat(),
            "seconds": self.seconds,
            "stretches": len(self.manifest.stretches),
            **{name: last[name] for name in names},
        }


def find_runs(folder: Path) -> list[RecordedRun]:
    """Return the runs below a folder, or of the folder itself, the oldest first.

    Raises:
        ConfigError: There is no such folder.
    """
    if kind_of(folder) != "folder":
        fail(str(folder), "is not a folder; give the folder of a run, or one above runs")
    found = [run for path in _folders(folder) for run in [_read(path)] if run is not None]
    first = datetime.min.replace(tzinfo=timezone.utc)
    return sorted(found, key=lambda run: (run.started or first, str(run.path)))


def read_run_folder(folder: Path) -> RecordedRun:
    """Return the run of a folder.

    Raises:
        ConfigError: It is not the folder of a run, or its manifest is damaged.
    """
    manifest = Manifest.read(folder)
    if manifest is None and not _looks_like_run(folder):
        fail(str(folder), f"is not the folder of a run: it has neither {NAME} nor config.yaml")
    return RecordedRun(folder, manifest, _config_of(folder, manifest))


def _read(folder: Path) -> RecordedRun | None:
    try:
        return read_run_folder(folder)
    except ConfigError as error:
        if not _looks_like_run(folder):  # a manifest of another program
            return None
        say(str(error), sys.stderr)
        return RecordedRun(folder, None, {})


def _folders(folder: Path) -> Iterator[Path]:
    """Yield the folders that may be those of runs; there is no run within another."""
    for name, inside, files in os.walk(folder):
        path = Path(name)
        is_run = NAME in files or _looks_like_run(path)
        if is_run:
            yield path
        is_deep = len(path.relative_to(folder).parts) >= _DEEPEST
        inside[:] = [] if is_run or is_deep else [each for each in inside if each[:1] != "."]


def _looks_like_run(folder: Path) -> bool:
    return kind_of(folder / "config.yaml") == "file" and (
        kind_of(folder / "checkpoints") == "folder"
    )


def _config_of(folder: Path, manifest: Manifest | None) -> Mapping[str, Any]:
    if manifest is not None:
        return manifest.config
    with large_files():
        data: Any = read_document(folder / "config.yaml").data
    return cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}


# -- differences -----------------------------------------------------------------------------------


def differing_values(runs: Sequence[RecordedRun]) -> list[dict[str, Any]]:
    """Return for each run the values of its config that other runs of the same module lack.

    Of two components only the names are listed.
    """
    values = [_values(run.config) for run in runs]
    codes = [run.manifest.last.code if run.manifest else None for run in runs]
    found: list[dict[str, Any]] = []
    for own, code in zip(values, codes, strict=True):
        others = [other for other, its in zip(values, codes, strict=True) if its == code]
        keys = [key for key in own if any(other.get(key) != own[key] for other in others)]
        named = [key.removesuffix("name") for key in keys if key.endswith(".name")]
        found.append(
            {
                key.removeprefix("model."): own[key]
                for key in keys
                if key.endswith(".name") or not key.startswith(tuple(named))
            }
        )
    return found


def _values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of a config; a duration is one value."""
    leaves = {dotted(path): value for path, value in leaves_of(config)}
    found: dict[str, Any] = {}
    for key, value in leaves.items():
        parent, _, last = key.rpartition(".")
        name = leaves.get(f"{parent}.name")
        if last == "value" and isinstance(name, str) and not isinstance(value, (list, dict)):
            found.pop(f"{parent}.name", None)
            found[parent] = f"{value} {name}"
        else:
            found[key] = value
    return found
