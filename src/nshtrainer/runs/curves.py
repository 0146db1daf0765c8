"""Curves of finished or running runs: their metrics and their scheduled values, as plots."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from nshtrainer.config.files import kind_of
from nshtrainer.lr_scheduler.preview import Preview, Series
from nshtrainer.plotting import Plot

__all__ = ["plots_of"]

_MOST_POINTS = 2_000
Curve = dict[int, float]


@dataclass(frozen=True, repr=False)
class _Metric(Series):
    """A series with a panel of its own, so that the lines of a panel differ only in their run."""

    @property
    @override
    def hyperparameter(self) -> str:
        return self.name

    @property
    @override
    def group(self) -> None:
        return None


def plots_of(folder: Path, label: str) -> list[Plot]:
    """Return a plot for each scheduled value and each metric in the tables of a run's folder.

    Args:
        folder: The folder of the run.
        label: The name of the run in the legend.
    """
    curves: dict[str, Curve] = {}
    for step, name, value in (*_scheduled(folder), *_metrics(folder)):
        curves.setdefault(name, {})[step] = value
    return [_plot(label, name, curve) for name, curve in curves.items()]


def _plot(label: str, name: str, curve: Curve) -> Plot:
    steps = sorted(curve)
    every = math.ceil(len(steps) / _MOST_POINTS)
    steps = steps[::every] + steps[-1:] * ((len(steps) - 1) % every > 0)
    series = _Metric(name, "value", tuple(curve[step] for step in steps), ())
    return Plot(label, Preview(tuple(steps), (series,), steps[-1] + 1))


def _scheduled(folder: Path) -> Iterator[tuple[int, str, float]]:
    for row in _rows(folder / "schedule.csv"):
        yield from _value(row.get("step"), row.get("hyperparameter"), row.get("used"))


def _metrics(folder: Path) -> Iterator[tuple[int, str, float]]:
    for row in _rows(folder / "metrics.csv"):
        for name, value in row.items():
            if name not in {None, "step", "epoch"} and not name.startswith("schedule/"):
                yield from _value(row.get("step"), name, value)


def _value(step: str | None, name: str | None, value: object) -> Iterable[tuple[int, str, float]]:
    """Return a point; none for an empty cell, a text, NaN or Inf."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
        return [(int(step or ""), name, number)] if name and math.isfinite(number) else []
    except ValueError:
        return []


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table, which may be damaged or written just now."""
    if kind_of(path) != "file":
        return []
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            return list(csv.DictReader(file))
    except (OSError, csv.Error):
        return []
