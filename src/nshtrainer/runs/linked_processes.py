"""Linked processes of one run: Lightning's child processes end with the first process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from subprocess import Popen
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["code_of_lost_process", "linked_processes"]

_FIRST = "NSHTRAINER_FIRST_PROCESS"
_PAUSE = 0.25
"""Seconds between two checks of the other processes."""

_LOOKS = 12

_NOTICE = b"the first process of this run is gone; stopping\n"


@contextmanager
def linked_processes() -> Generator[None]:
    """End this process within the block when the first process of its run is gone.

    Otherwise a process would wait forever for a first process that was killed. `torchrun` and
    SLURM end the processes that they started.
    """
    first = os.environ.get(_FIRST)
    # A run within a run inherits the first one's rank; what Lightning starts has one of its own.
    if first is not None and os.environ.get("LOCAL_RANK", "0") != "0":
        threading.Thread(target=_watch, args=(int(first),), daemon=True).start()
        yield
        return
    os.environ[_FIRST] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(_FIRST, None)  # another thread may have ended a run of its own


def code_of_lost_process(error: BaseException, trainer: Trainer) -> int | None:
    """Return the exit code of another process of the run if its end may have caused an error.

    A child process finds none: the check of the first process ends it within the same time.

    Args:
        error: The error that ends the run; PyTorch raises a `RuntimeError` for a lost connection.
        trainer: The trainer of the run.
    """
    if not isinstance(error, RuntimeError) or trainer.world_size == 1:
        return None
    started: Sequence[Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", ())
    for _ in range(_LOOKS):
        time.sleep(_PAUSE)
        for code in filter(None, [process.poll() for process in started]):
            return 128 - code if code < 0 else code
    return None


def _watch(first: int) -> None:
    while os.getppid() == first:
        time.sleep(_PAUSE)
    os.write(2, _NOTICE)
    os._exit(143)
