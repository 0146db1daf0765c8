"""Signals at random moments: a run ends with a message, leaves no process, and can be resumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import torch
from tests.cli.support import RUN, TRAIN
from tools.attack.frame import Attempt, Category, FailedError
from tools.attack.processes import others, said, start_run
from tools.attack.runs import copy_run

__all__ = ["CATEGORY"]

FIT = ("fit", "train.py", "--config", "run.yaml", "--out", "o", "--resume", "auto")
TWO = ("trainer.devices=2", "trainer.strategy=ddp")
STEPS = {1: 12, 2: 6}
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")

CODE = TRAIN.replace(
    "from torch.utils.data import DataLoader",
    "from torchdata.stateful_dataloader import StatefulDataLoader as DataLoader",
)
"""Code with a loader that resumes within an epoch."""

SLOWLY = """

import time

open("loaded", "w").close()
own = Line.training_step

def slowly(self, batch):
    open("began", "w").close()
    time.sleep(0.02)
    return own(self, batch)

Line.training_step = slowly
"""


@dataclass(frozen=True)
class Sent:
    """One signal to send.

    Args:
        name: The name of the signal.
        wait: The time before sending, as a share of the time of a run.
        whom: The index of the receiving process.
    """

    name: str
    wait: float
    whom: slice


WHOM = {"": slice(None), "the first: ": slice(1), "the other: ": slice(1, None)}


def _draw(random: Random) -> Attempt:
    processes = 2 if random.random() < 0.15 else 1
    after = random.choice(["began", "train.py" if processes == 1 else "loaded"])
    whom = random.choice(list(WHOM)) if processes > 1 else ""
    waits = [random.uniform(0, 0.5 if after == "began" else 1.0)]
    if random.random() < 0.4:
        waits.append(random.choice([0.0, 0.01, random.uniform(0, 0.2)]))
    sent = [Sent(random.choice(NAMES), wait, WHOM[whom]) for wait in waits]
    said = ", then ".join(f"{each.name} after {each.wait:.3f}" for each in sent)
    place = "the first step" if after == "began" else "the start"
    text = f"{processes} process{'es' * (processes > 1)}, from {place}: {whom}{said}"
    return Attempt(text, partial(_run, processes, after, sent))


def _prepare(folder: Path) -> None:
    """Write the code, and finish a whole run."""
    (folder / "train.py").write_text(CODE + SLOWLY, encoding="utf-8")
    (folder / "run.yaml").write_text(RUN, encoding="utf-8")
    began = time.monotonic()
    _go_on(1)
    (folder / "seconds").write_text(str(time.monotonic() - began), encoding="utf-8")
    for file in ("began", "loaded", "o/.lock"):
        Path(file).unlink(missing_ok=True)
    (folder / "o").rename("whole")


def _run(processes: int, after: str, sent: Sequence[Sent], shared: Path) -> None:
    copy_run(shared)
    seconds = float(Path("seconds").read_text(encoding="utf-8")) * processes
    running = _start(processes)
    while not Path(after).exists() and running.is_alive():
        time.sleep(0.005)
    for each in sent:
        running.join(each.wait * seconds)
        _send(each)
    running.join(50)
    if running.exitcode is None:
        for number in (signal.SIGUSR2, signal.SIGKILL):
            _send_to(list(others()), number)
            time.sleep(1)
        raise FailedError(f"the run does not end:\n{said()}")
    _check_end(running.exitcode, {each.name for each in sent}, processes)
    _go_on(processes)
    if processes == 1 and not _equal(_weights(Path("whole")), _weights(Path("o"))):
        raise FailedError(f"the resumed run has other weights than a whole one:\n{said()}")


def _start(processes: int) -> BaseProcess:
    return start_run([*FIT, *(TWO if processes > 1 else ())], processes)


def _send(sent: Sent) -> None:
    _send_to(list(others())[sent.whom], getattr(signal, sent.name))


def _send_to(numbers: Sequence[int], sent: int) -> None:
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(number, sent)


def _check_end(code: int, names: set[str], processes: int) -> None:
    """Check the state that the signals have left."""
    expected = {128 + getattr(signal, name) for name in (names if processes == 1 else NAMES)}
    # In the shell's convention: a process whose work has not begun is killed by the signal itself.
    shown = 128 - code if code < 0 else code
    if shown not in expected and not (shown == 0 and _steps() == STEPS[processes]):
        raise FailedError(f"ended with code {code}:\n{said()}")
    if "Traceback" in said():
        raise FailedError(f"a traceback:\n{said()}")
    until = time.monotonic() + 20
    while list(others()):
        if time.monotonic() > until:
            raise FailedError(f"still alive: {list(others())}")
        time.sleep(0.05)


def _go_on(processes: int) -> None:
    """Run to the end from the current state."""
    running = _start(processes)
    running.join(50)
    if running.exitcode or _steps() != STEPS[processes]:
        raise FailedError(f"the resumed run: code {running.exitcode}, step {_steps()}:\n{said()}")


def _last(folder: Path) -> Any:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def _steps() -> int:
    return _last(Path("o"))["global_step"] if Path("o/checkpoints/last.ckpt").exists() else 0


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return _last(folder)["state_dict"]


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


CATEGORY = Category("signals", _draw, _prepare)
