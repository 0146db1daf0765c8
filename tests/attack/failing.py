"""A category of which every second attempt fails: raises, crashes, or does not end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random

from tools.attack.frame import Attempt, Category, FailedError


def _raise(_shared: Path) -> None:
    raise FailedError("what must not happen")


def _fault(_shared: Path) -> None:
    raise KeyError("exp_avg")


def _crash(_shared: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang(_shared: Path) -> None:
    time.sleep(600)


def _read(shared: Path) -> None:
    assert (shared / "prepared.txt").read_text(encoding="utf-8") == "prepared"
    assert not list(Path.cwd().iterdir())
    Path("left.txt").touch()


def _draw(random: Random) -> Attempt:
    run = random.choice([_raise, _fault, _crash, _hang, _read])
    return Attempt(run.__name__, run)


def _prepare(folder: Path) -> None:
    (folder / "prepared.txt").write_text("prepared", encoding="utf-8")


CATEGORY = Category("failing", _draw, _prepare)
