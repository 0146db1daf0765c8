"""Runs in one process or two, forked from one that has imported everything."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lightning.pytorch.strategies.launchers import subprocess_script

from nshtrainer.cli import main

__all__ = ["SIGNALS", "others", "said", "start_run"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAID = Path("said.txt")


def said() -> str:
    """Return the whole output."""
    return _SAID.read_text(encoding="utf-8", errors="replace") if _SAID.exists() else ""


def start_run(arguments: Sequence[str], processes: int) -> BaseProcess:
    """Start the command line.

    Args:
        arguments: Its arguments.
        processes: How many processes it will ask for.
    """
    started = get_context("fork").Process(target=_work, args=(arguments, processes))
    # What comes before the command line begins is not for it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    started.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return started


def others() -> Iterator[int]:
    """Return the living processes of this session without this one, the oldest first."""
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        number = int(path.name)
        try:
            state, *_ = (path / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if os.getsid(number) == os.getsid(0) and state != "Z" and number != os.getpid():
                yield number
        except (FileNotFoundError, ProcessLookupError):
            continue


def _work(arguments: Sequence[str], processes: int) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    file = os.open(_SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(file, number)
    faulthandler.register(signal.SIGUSR2)  # to say where it hangs
    if processes > 1:
        # What Lightning starts is there already, and only waits for its variables.
        subprocess_script.subprocess = SimpleNamespace(Popen=_Second(arguments).started)
    _call(arguments)


def _call(arguments: Sequence[str]) -> None:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    except KeyboardInterrupt:  # before there was a command line
        os._exit(130)
    try:
        code = main(arguments)
    except Exception:  # noqa: BLE001 - as Python does at the end
        sys.excepthook(*sys.exc_info())
        code = 1
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    sys.stdout.flush()
    os._exit(code)


class _Second:
    """The second process of a run, instead of a `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.returncode: int | None = None
        read, self._write = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._write)
            for each in SIGNALS:
                signal.signal(each, signal.SIG_IGN)
            with os.fdopen(read, encoding="utf-8") as stream:
                text = stream.read()
            for each in SIGNALS:
                own = signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL
                signal.signal(each, own)
            if not text:
                os._exit(0)
            os.environ.update(json.loads(text))
            _call(arguments)
        os.close(read)

    def started(self, _command: Any, *, env: dict[str, str], **_: Any) -> _Second:
        with suppress(BrokenPipeError):  # it was killed
            os.write(self._write, json.dumps(env).encode())
        os.close(self._write)
        return self

    def poll(self) -> int | None:
        if self.returncode is None:
            number, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if number else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)
