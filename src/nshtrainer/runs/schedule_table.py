"""Table of planned and used values, `schedule.csv`: appended to, and thinned if it gets long."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from math import gcd
from operator import itemgetter
from pathlib import Path

from nshtrainer.config.files import replace_file
from nshtrainer.runs.metrics import rows_before

__all__ = ["HEAD", "ScheduleTable"]

HEAD = ("step", "hyperparameter", "planned", "used")

MOST_ROWS = 500_000
"""Rows, about 25 MB, above which only every 2nd, 4th, ... update is kept."""

_FEW_STEPS = 100
"""Updates below which a table with gaps has lost rows; it was not thinned."""

Row = tuple[int, str, float | str, float]


class ScheduleTable:
    """The table of one run.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.every = 1
        """Only updates at multiples of this number are written."""
        self._count = 0
        self._old: list[list[str]] | None = []
        self._new: list[Row] = []

    def resume(self, step: int) -> None:
        """Keep the rows of an existing table before a step, and its distance of updates."""
        found = rows_before(self._path, step, HEAD)
        self._old = [[row[key] for key in HEAD] for row in found]
        steps = {int(row["step"]) for row in found}
        common = gcd(*steps)
        if len(steps) > _FEW_STEPS:
            self.every = common & -common

    def add(self, row: Row) -> None:
        """Add the values of an update."""
        if row[0] % self.every == 0:
            self._new.append(row)

    def write(self) -> None:
        """Write the rows that were added since the last call; without any, no file is made."""
        if not self._new:
            return
        new = [list(map(str, row)) for row in sorted(self._new, key=itemgetter(0))]
        self._new = []
        if self._old is not None:
            self._replace([*self._old, *new])
            self._old = None
        else:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                file.write(_text(new))
            self._count += len(new)
        while self._count > MOST_ROWS:
            self.every *= 2
            rows = rows_before(self._path, 10**18, HEAD)
            kept = (row for row in rows if int(row["step"]) % self.every == 0)
            self._replace([[row[key] for key in HEAD] for row in kept])

    def _replace(self, rows: list[list[str]]) -> None:
        replace_file(self._path, _text([HEAD, *rows]).encode())
        self._count = len(rows)


def _text(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
