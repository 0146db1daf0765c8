"""Processes of one run that end together: those that Lightning starts watch the one that did."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["linked_processes"]

_FIRST = "NSHTRAINER_FIRST_PROCESS"
_MOMENT = 2
"""Seconds, in which the watch notices that the first process is gone."""

_NOTICE = b"the first process of this run is gone; stopping\n"


@contextmanager
def linked_processes() -> Generator[None]:
    """Within this block, end this process when the first process of its run is gone.

    Without that, a process would wait for a first one that was killed for ever. What `torchrun` or
    SLURM starts is theirs to end.
    """
    first = os.environ.get(_FIRST)
    if first is not None:
        if os.getppid() == int(first):
            threading.Thread(target=_watch, args=(int(first),), daemon=True).start()
        try:
            yield
        except RuntimeError:
            # A lost connection is one, and the first process may be gone a moment later.
            time.sleep(_MOMENT)
            raise
        return
    os.environ[_FIRST] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[_FIRST]


def _watch(first: int) -> None:
    while os.getppid() == first:
        time.sleep(0.5)
    os.write(2, _NOTICE)
    os._exit(143)
