"""Timing of the benchmarks: CPU time, in turns; calls in one process, programs in their own."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

Call = Callable[[], object]


def cpu_microseconds(call: Call, repeats: int) -> float:
    """Mean CPU time of one call, over `repeats` of them.

    One goes before, untimed: what the call timed before left in the caches is not this one's doing.
    """
    call()
    start = time.process_time_ns()
    for _ in range(repeats):
        call()
    return (time.process_time_ns() - start) / repeats / 1000


def program_seconds(arguments: Sequence[str], folder: str) -> float:
    """CPU time of a fresh interpreter, started in a folder whose modules it can import."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, *sys.path[1:]])}
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


class Rounds:
    """Several calls timed in turns, round by round.

    Machines drift and share their cores, so only the ratios of the same round say something; the
    median over the rounds is what is quoted.
    """

    def __init__(self, calls: Mapping[str, Call], *, rounds: int, repeats: int) -> None:
        for call in calls.values():
            cpu_microseconds(call, max(1, repeats // 10))
        self._rounds = [
            {name: cpu_microseconds(call, repeats) for name, call in calls.items()}
            for _ in range(rounds)
        ]

    def microseconds(self, name: str) -> float:
        return statistics.median(row[name] for row in self._rounds)

    def ratio(self, name: str, to: str) -> float:
        return statistics.median(row[name] / row[to] for row in self._rounds)


def verdict(*, met: bool) -> str:
    return "met" if met else "NOT met"
