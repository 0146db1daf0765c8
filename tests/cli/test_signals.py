"""A signal at any point of a run ends with that signal's code, in words and not in a traceback."""

from __future__ import annotations

import os
import pty
import signal as python_signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.cli.support import only_run
from tests.faults.programs import command, start

from nshtrainer.cli import main
from nshtrainer.runs.signals import Interrupted, Signals

FIT = ["fit", "train.py", "--config", "run.yaml"]

POINTS = """

import sys
import nshtrainer.runs.job as training
import nshtrainer.runs.reports as quiet

def before(where, name, point):
    own = getattr(where, name)
    def stopped(*arguments, **named):
        if sys._getframe(1).f_globals["__name__"] == "nshtrainer.runs.newest_checkpoint":
            return own(*arguments, **named)  # the run has not begun
        for number in os.environ.get("AT", "").partition(f"{point} ")[2].split():
            os.kill(os.getpid(), getattr(signal, number))
        return own(*arguments, **named)
    setattr(where, name, stopped)

before(training, "build_trainer", "trainer")
before(training.TrainingRun, "_say_where_from", "start")
before(training.TrainingRun, "_say_how_to_go_on", "message")
before(training.TrainingRun, "_finished", "end")
before(training.torch, "load", "load")
before(Noise, "__init__", "data")
before(Line, "__init__", "module")
before(Line, "configure_optimizers", "optimizer")
"""

SWALLOWED = """

import time
import nshtrainer.runs.signals as interrupt

interrupt._GRACE = 1
interrupted = Line.__init__

def swallow(self, hparams):
    try:
        interrupted(self, hparams)
    except BaseException:
        time.sleep(60)
    raise SystemExit(0)

Line.__init__ = swallow
"""

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}
SIGNALS = [
    pytest.param(name, marks=() if name == "SIGTERM" else pytest.mark.slow) for name in CODES
]

ON_TERMINAL = """
import fcntl, sys, termios
from nshtrainer.cli import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.exit(main())
"""


@pytest.fixture
def points(home: Path) -> Path:
    with (home / "train.py").open("a", encoding="utf-8") as code:
        code.write(POINTS)
    return home


@pytest.mark.parametrize("second", ["", " SIGTERM"], ids=["once", "twice"])
@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("point", ["start", "trainer", "data", "module", "optimizer", "end"])
def test_a_signal_outside_of_training_is_answered(
    points: Path, point: str, signal: str, second: str
) -> None:
    ended = start(points, command, *FIT, environment={"AT": f"{point} {signal}{second}"})
    assert ended.code == CODES[signal], ended.err
    assert "Traceback" not in ended.err
    if not second:
        assert ("to resume: " if point == "end" else "before there was a checkpoint") in ended.out


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_while_the_checkpoint_is_read_is_answered(points: Path, signal: str) -> None:
    assert main([*FIT, "--out", "o", "trainer.max_epochs=1"]) == 0
    again = [*FIT, "--out", "o", "--resume", "last"]
    ended = start(points, command, *again, environment={"AT": f"load {signal}"})
    assert ended.code == CODES[signal], ended.err
    assert "Traceback" not in ended.err
    assert "to resume: " in ended.out


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_during_the_last_message_ends_the_process(points: Path, signal: str) -> None:
    environment = {"STOP": f"{signal} train 5", "AT": "message SIGINT"}
    ended = start(points, command, *FIT, environment=environment)
    assert ended.code == CODES[signal], ended.err
    assert "Traceback" not in ended.err
    last = torch.load(only_run() / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 6


def test_an_order_that_is_swallowed_ends_the_process_all_the_same(points: Path) -> None:
    with (points / "train.py").open("a", encoding="utf-8") as code:
        code.write(SWALLOWED)
    ended = start(points, command, *FIT, environment={"AT": "module SIGTERM"})
    assert ended.code == 143, ended.err


def test_an_order_waits_until_a_queue_is_left() -> None:
    """As in `queue.Queue.put`, to the thread that writes the events of TensorBoard."""
    changed: Any = threading.Condition()
    order = partial(os.kill, os.getpid(), python_signal.SIGTERM)
    changed._waiters.append(SimpleNamespace(release=order))
    with Signals(), pytest.raises(Interrupted):
        notify_and_wait(changed)
    assert not changed._waiters  # the next one to wait is the next one to be woken
    assert changed.acquire(blocking=False)


def notify_and_wait(changed: threading.Condition) -> None:
    with changed:
        changed.notify()
    time.sleep(60)


def test_an_order_interrupts_what_waits_for_a_thread() -> None:
    order = threading.Timer(0.05, os.kill, (os.getpid(), python_signal.SIGTERM))
    with Signals():
        order.start()
        with pytest.raises(Interrupted):
            threading.Event().wait(60)


def test_a_closed_terminal_leaves_a_checkpoint(home: Path) -> None:
    """As a shell does: the terminal goes, then comes SIGHUP; what is printed has nowhere to go."""
    code = (home / "train.py").read_text(encoding="utf-8")
    slow = code.replace('self.log("rate"', 'open("began", "w"); time.sleep(0.05); self.log("rate"')
    (home / "train.py").write_text(f"import time\n{slow}", encoding="utf-8")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, *FIT, "trainer.max_epochs=100", "--out", "o"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    while not Path("began").exists() and process.poll() is None:
        os.read(master, 10_000)
    os.close(master)  # hangs up: the kernel sends SIGHUP
    assert process.wait(60) == 129
    assert torch.load("o/checkpoints/last.ckpt", weights_only=True)["global_step"] > 0


def test_a_run_under_nohup_is_not_stopped_by_a_closed_terminal(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = python_signal.signal(python_signal.SIGHUP, python_signal.SIG_IGN)
    monkeypatch.setenv("STOP", "SIGHUP train 5")
    try:
        assert main(FIT) == 0
    finally:
        python_signal.signal(python_signal.SIGHUP, before)


def test_ctrl_c_while_the_command_line_is_imported_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "nshtrainer.cli.parser"

    class Pressed:
        @staticmethod
        def find_spec(wanted: str, *_: object) -> None:
            if wanted == name:
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Pressed, *sys.meta_path])
    assert main(["list"]) == 130


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_when_a_process_is_killed_the_other_ends(home: Path, rank: int) -> None:
    code = (home / "train.py").read_text(encoding="utf-8")
    killed = code.replace(
        "    number, wanted, at",
        "    open(f'process-{os.getpid()}', 'w').close()\n    number, wanted, at",
    ).replace("os.kill(", f"os.getenv('LOCAL_RANK') == '{rank}' and os.kill(")
    (home / "train.py").write_text(killed, encoding="utf-8")
    two = ["trainer.devices=2", "trainer.strategy=ddp"]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "STOP": "SIGKILL train 2"}
    run = [sys.executable, "-m", "nshtrainer", *FIT, *two]
    with Path("err.txt").open("w", encoding="utf-8") as errors:
        ended = subprocess.run(run, check=False, env=environment, stderr=errors)
    said = Path("err.txt").read_text(encoding="utf-8")
    assert "Traceback" not in said
    if rank == 0:
        assert ended.returncode == -python_signal.SIGKILL
    else:
        assert ended.returncode == 128 + python_signal.SIGKILL
        assert "stopped: another process of this run ended with code 137" in said
    numbers = [int(path.name.rpartition("-")[2]) for path in home.glob("process-*")]
    assert len(numbers) == 2
    until = time.monotonic() + 60
    while any(Path(f"/proc/{number}").exists() for number in numbers):
        assert time.monotonic() < until, "the other process is still there"
        time.sleep(0.1)


LINKED = """
import time
from nshtrainer.runs.linked_processes import linked_processes

with linked_processes():
    time.sleep({seconds})
"""


@pytest.mark.parametrize(("rank", "seconds", "code"), [("1", 60, 143), ("0", 1, 0)])
def test_only_a_process_of_the_run_ends_when_the_first_was_gone_before_it_began(
    rank: str, seconds: int, code: int
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    environment = {**os.environ, "NSHTRAINER_FIRST_PROCESS": str(gone.pid), "LOCAL_RANK": rank}
    run = [sys.executable, "-c", LINKED.format(seconds=seconds)]
    ended = subprocess.run(run, check=False, env=environment, capture_output=True, text=True)
    assert ended.returncode == code
    assert ("the first process of this run is gone" in ended.stderr) == (rank == "1")
