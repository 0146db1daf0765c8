"""How the benchmarks of small calls are timed: in turns, in one process, by its CPU time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Call = Callable[[], object]


def cpu_microseconds(call: Call, repeats: int) -> float:
    """Mean CPU time of one call, over `repeats` of them."""
    start = time.process_time_ns()
    for _ in range(repeats):
        call()
    return (time.process_time_ns() - start) / repeats / 1000


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
