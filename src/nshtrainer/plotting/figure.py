"""Figures without a medium: lines in panels over one axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nshtrainer.escaping import printable
from nshtrainer.plotting.axis import Axis, height_axis, step_axis, time_axis
from nshtrainer.plotting.series import Preview, Series
from nshtrainer.run_length import TICKS

__all__ = ["Figure", "Line", "Panel", "Plot", "Span", "figure_of"]


@dataclass(frozen=True)
class Plot:
    """One schedule to draw.

    Args:
        label: The name of the schedule, such as the file that it comes from.
        preview: The values of the schedule.
        description: A sentence about the schedule.
    """

    label: str
    preview: Preview
    description: str = ""


@dataclass(frozen=True)
class Span:
    """A phase as a part of the axis, from `start` to `end`."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Line:
    """One curve in a panel.

    Args:
        style: The number of the line's color and dashes; an index into the names of the figure.
        xs: The horizontal positions of the points: steps, or seconds.
        ys: The values of the points.
        spans: The phases of the curve.
    """

    style: int
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Panel:
    """The curves of one hyperparameter.

    Args:
        axis: The scale from its foot to its top.
        lines: The curves.
    """

    axis: Axis
    lines: tuple[Line, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        """The phases that all curves share; none if they differ."""
        different = {line.spans for line in self.lines}
        return next(iter(different)) if len(different) == 1 else ()


@dataclass(frozen=True)
class Figure:
    """Panels one below the other, over one axis.

    Args:
        title: The title above the figure.
        axis: The scale from left to right.
        names: The legend: the names of the styles; a single name needs no legend.
        panels: One for each hyperparameter.
        notes: A sentence about each schedule.
    """

    title: str
    axis: Axis
    names: tuple[str, ...]
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()


def figure_of(plots: Sequence[Plot], title: str = "") -> Figure:
    """Return a figure of schedules: a panel for each hyperparameter, a style for each group.

    Args:
        plots: The schedules to draw, one over the other.
        title: The title above the figure; left out, the label of a single plot.
    """
    timed = all(plot.preview.total_time is not None for plot in plots)
    names = list(dict.fromkeys(_name(plot, series, plots) for plot, series in _series_of(plots)))
    panels: dict[tuple[str, str], list[Line]] = {}
    for plot, series in _series_of(plots):
        style = names.index(_name(plot, series, plots))
        key = (series.hyperparameter, series.kind)
        panels.setdefault(key, []).append(_line(plot.preview, series, style, timed=timed))
    ends = [_place(plot.preview.updates, plot.preview, timed=timed) for plot in plots]
    return Figure(
        printable(title or (plots[0].label if len(plots) == 1 else "")),
        time_axis(max(ends)) if timed else step_axis(int(max(ends))),
        tuple(map(printable, names)),
        tuple(_panel(*key, lines) for key, lines in panels.items()),
        tuple(printable(plot.description) for plot in plots if plot.description),
    )


def _series_of(plots: Sequence[Plot]) -> Iterable[tuple[Plot, Series]]:
    return ((plot, series) for plot in plots for series in plot.preview.series)


def _name(plot: Plot, series: Series, plots: Sequence[Plot]) -> str:
    """Return the name of a line in the legend: its file, its group, or both."""
    grouped = any(each.group for each in plot.preview.series)
    group = series.group or ("other groups" if grouped else "")
    if len(plots) == 1:
        return group or plot.label
    return f"{plot.label}, {group}" if group else plot.label


def _place(step: int, preview: Preview, *, timed: bool) -> float:
    return step / TICKS * (preview.total_time or 0.0) if timed else step


def _line(preview: Preview, series: Series, style: int, *, timed: bool) -> Line:
    def place(step: int) -> float:
        return _place(step, preview, timed=timed)

    spans = (
        Span(printable(label), place(start), place(start if end is None else end))
        for label, start, end in series.phases
    )
    return Line(style, tuple(map(place, preview.steps)), series.values, tuple(spans))


def _panel(hyperparameter: str, kind: str, lines: Sequence[Line]) -> Panel:
    title = "learning rate" if hyperparameter == "lr" else hyperparameter
    title = printable(f"{title} (factor)" if kind == "factor" else title)
    low = min(min(line.ys) for line in lines)
    high = max(max(line.ys) for line in lines)
    return Panel(height_axis(title, low, high), tuple(lines))
