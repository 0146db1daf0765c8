"""Find the newest readable checkpoint: the one with the most steps of the newest run.

File times are unreliable: copying changes them, and clocks can be set. The number of steps is read
from the checkpoint itself, and each run records at its start how many starts there were before.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias, cast
from zipfile import ZipFile

from nshtrainer.config.files import kind_of, reason_of, write_file

__all__ = ["Found", "by_run", "checkpoints_of", "fault_of", "newest", "note_start"]

_START = ".start"
"""File in the folder of a run: the number of the last start among the runs of one parent folder."""

Found: TypeAlias = "list[list[Path]]"
"""The checkpoints of each run, the most recently started or resumed run first."""


def checkpoints_of(run: Path) -> Found:
    """Return the checkpoints of one run."""
    paths = list((run / "checkpoints").glob("*.ckpt"))
    return [paths] if paths else []


def by_run(runs: Iterable[Path]) -> Found:
    """Return the checkpoints by run; step counts of different runs are not comparable."""
    found = [(run, paths) for run in runs for paths in checkpoints_of(run)]
    return [paths for _, paths in sorted(found, key=_rank_of_run, reverse=True)]


def _rank_of_run(found: tuple[Path, list[Path]]) -> tuple[int, int, str]:
    """Return a sort key: the number of the start; without one, the time, then the name."""
    run, paths = found
    return _start_of(run), max(map(_time, paths)), run.name


def _start_of(run: Path) -> int:
    path = run / _START
    try:
        return int(path.read_text(encoding="utf-8")) if kind_of(path) == "file" else 0
    except (OSError, ValueError):
        return 0


def note_start(run: Path) -> None:
    """Record that a run was started after all others in the same folder.

    Raises:
        ConfigError: The file cannot be written.
    """
    number = 1 + max(map(_start_of, run.parent.glob("*")))
    write_file(run / _START, f"{number}\n")


def newest(found: Found) -> tuple[Path | None, tuple[str, ...]]:
    """Return the newest readable checkpoint of the first run that has one.

    Returns:
        The checkpoint, if any, and the unreadable ones, with the reasons.
    """
    passed_over: list[str] = []
    for paths in found:
        steps: dict[Path, int] = {}
        for path in sorted(paths, key=lambda path: (_time(path), path.name), reverse=True):
            step = _step_or_fault(path)
            if isinstance(step, str):
                passed_over.append(f"{path}: {step}")
            else:
                steps[path] = step
        # At equal steps the last one wins over the best one, which comes first in the alphabet.
        # The time decides where no step was saved.
        ranks = {path: (step, 0 if step >= 0 else _time(path)) for path, step in steps.items()}
        for path in sorted(steps, key=lambda path: (ranks[path], path.name), reverse=True):
            fault = fault_of(path)
            if fault is None:
                return path, tuple(passed_over)
            passed_over.append(f"{path}: {fault}")
    return None, tuple(passed_over)


def _time(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:  # removed just now
        return 0


def _step_or_fault(path: Path) -> int | str:
    """Return the number of steps of a checkpoint (-1 if missing), or why it cannot be read.

    The tensors are not read.
    """
    if kind_of(path) != "file":
        return str(fault_of(path))
    import torch

    try:
        saved: Any = torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file can raise anything
        return fault_of(path) or f"cannot be read as a checkpoint: {type(error).__name__}"
    if not isinstance(saved, dict):
        return "is not a checkpoint"
    if "state_dict" in saved and "optimizer_states" not in saved:
        return "has the weights alone"
    step = cast("dict[Any, Any]", saved).get("global_step")
    return step if type(step) is int else -1


def fault_of(path: Path) -> str | None:
    """Return the damage of a checkpoint as far as it is visible without torch, or None.

    A checkpoint is a zip file with a table of contents at its end, and a checksum for each part.
    """
    kind = kind_of(path)
    if kind != "file":
        return "is a broken link" if kind is None else f"is not a regular file but {_A[kind]}"
    if not path.stat().st_size:
        return "is empty"
    try:
        with ZipFile(path) as file:
            broken = file.testzip()
    except OSError as error:
        return f"cannot be read: {reason_of(error)}"
    except Exception:  # noqa: BLE001 - a changed byte can raise anything
        return "is truncated or not a checkpoint"
    return broken and f"is damaged: {ascii(broken)[1:-1]} has another checksum"


_A = {"folder": "a folder", "other": "a pipe or a device"}
