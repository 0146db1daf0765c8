"""Attempts, each in a process of its own, so that a crash or a hang is one failure among others."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from random import Random

from tests.faults.programs import PRELOADED

__all__ = ["Attempt", "Category", "FailedError", "Report", "attack"]

MOST_SECONDS = 120
"""Time limit of an attempt, in seconds; importing torch on a loaded machine takes a while."""

_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(PRELOADED)


class FailedError(AssertionError):
    """An attempt had a forbidden result."""


@dataclass(frozen=True)
class Attempt:
    """One attempt.

    Args:
        label: What is tried, in one line.
        run: Tries it in an empty folder, the current one, with the folder that the category
            prepared; raises anything where it fails.
    """

    label: str
    run: Callable[[Path], None]


@dataclass(frozen=True)
class Category:
    """A kind of attempts.

    Args:
        name: Its name in the table.
        draw: Draws an attempt; the same one from equal random numbers.
        prepare: Fills a folder that all attempts of this kind read, such as with a run.
    """

    name: str
    draw: Callable[[Random], Attempt]
    prepare: Callable[[Path], None] | None = None


@dataclass
class Report:
    """Counts and failures of a session.

    Args:
        seed: The seed.
        tried: How many attempts of each category there were.
        failed: How many of them failed.
    """

    seed: int
    tried: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        """Return a table with a line for each category."""
        rows = [("category", "attempts", "failed")]
        rows += [(name, f"{self.tried[name]}", f"{self.failed[name]}") for name in self.tried]
        rows.append((f"all, seed {self.seed}", f"{self.tried.total()}", f"{self.failed.total()}"))
        return "\n".join(f"{name:32}{tried:>10}{failed:>10}" for name, tried, failed in rows)


def attack(
    names: Sequence[str], home: Path, *, seed: int, seconds: float, most: int, first: int = 0
) -> Report:
    """Try the categories in turn, until the time is over.

    Args:
        names: Modules with a `CATEGORY`.
        home: An empty folder.
        seed: The seed of all random choices.
        seconds: The time limit.
        most: The maximal number of attempts of each category.
        first: The number of the first attempt, to repeat one that failed.
    """
    report, end = Report(seed), time.monotonic() + seconds
    for name in names:
        shared(home, name).mkdir(parents=True)
        _in_process(name, home, None)
    for number in range(first, first + most):
        for name in names:
            if number > first and time.monotonic() > end:
                return report
            category: Category = import_module(name).CATEGORY
            text = _in_process(name, home, f"{seed} {number}")
            report.tried[category.name] += 1
            report.failed[category.name] += bool(text)
            if text:
                again = f"--only {name.rpartition('.')[2]} --seed {seed} --first {number} --most 1"
                print(f"failed  {category.name}: {text}\n        {again}", flush=True)
    return report


def shared(home: Path, name: str) -> Path:
    """Return the folder that a category prepares."""
    return home / "shared" / name


def _in_process(name: str, home: Path, seed: str | None) -> str:
    """Run one attempt, or the preparation; return why it failed, or nothing."""
    place = home / "attempt"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    process = _SERVER.Process(target=_work, args=(name, home, place, seed))
    process.start()
    process.join(MOST_SECONDS)
    code = process.exitcode
    if code is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
    text = (home / "failure.txt").read_text(encoding="utf-8", errors="replace")
    if code == 0:
        return ""
    why = f"no end after {MOST_SECONDS} s" if code is None else f"ended with code {code}"
    if seed is None:
        raise FailedError(f"{name} cannot be prepared: {text or why}")
    # A process that died, or was killed, has left no more than what it tried.
    return text if code == 1 else f"{text}: {why}"


def _work(name: str, home: Path, place: Path, seed: str | None) -> None:
    """Run an attempt in a process, with its output and the reason of a failure in files."""
    os.setsid()
    (home / "failure.txt").write_text("", encoding="utf-8")
    for number, file in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(home / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    category: Category = import_module(name).CATEGORY
    label = "preparing"
    try:
        if seed is None:
            os.chdir(shared(home, name))
            if category.prepare is not None:
                category.prepare(Path.cwd())
        else:
            os.chdir(place)
            attempt = category.draw(Random(f"{name} {seed}"))
            label = attempt.label
            (home / "failure.txt").write_text(label, encoding="utf-8")
            attempt.run(shared(home, name))
    except BaseException as error:  # noqa: BLE001 - it is what is looked for
        why = str(error) if isinstance(error, FailedError) else traceback.format_exc().strip()
        more = (home / "err.txt").read_text(encoding="utf-8", errors="replace").strip()
        text = f"{label}: {why}\n{more}"
        (home / "failure.txt").write_text(text, encoding="utf-8", errors="replace")
        sys.exit(1)
