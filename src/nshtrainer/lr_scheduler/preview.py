"""Previews of a schedule before it runs: its values, and a sentence. They do not need torch."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from nshtrainer.exceptions import RunLengthError
from nshtrainer.lr_scheduler.curves.phases import HOLD, Phase, phases_of
from nshtrainer.lr_scheduler.track import Curve, Track
from nshtrainer.plotting.series import Preview, Series
from nshtrainer.run_length import TICKS, RunLength

__all__ = [
    "Preview",
    "Series",
    "describe_tracks",
    "number_text",
    "preview_tracks",
    "time_text",
]

_NOTHING: Mapping[str, float] = {}


# -- values ----------------------------------------------------------------------------------------


def preview_tracks(
    tracks: Sequence[Track],
    run: RunLength,
    num_points: int = 200,
    *,
    bases: Mapping[str, float] = _NOTHING,
    label: str = "schedule",
) -> Preview:
    """Sample resolved tracks over a run.

    Args:
        tracks: The tracks to sample.
        run: The length of the run.
        num_points: The approximate number of steps, evenly over the run; bends get more.
        bases: The values that factors multiply, by the name of the series or of the hyperparameter;
            the base of `lr` may also come from the run.
        label: The label of a curve without phases.

    Raises:
        RunLengthError: Neither the run nor the schedule has an end.

    >>> preview = preview_tracks([Track("lr", lambda step: 1 / (1 + step))], RunLength(3))
    >>> preview.steps, preview["lr"]
    ((0, 1, 2), (1.0, 0.5, 0.3333333333333333))
    """
    phases = [phases_of(track.curve, label) for track in tracks]
    updates = _updates(phases, run, label)
    edges = {start for each in phases for _, start, _ in each} | {
        end for each in phases for *_, end in each if end is not None
    }
    steps = _steps(updates, max(2, num_points), edges)
    steps, rows = _refined([track.curve for track in tracks], steps, most=4 * max(2, num_points))
    series: list[Series] = []
    for track, column, parts in zip(tracks, zip(*rows, strict=True), phases, strict=True):
        base = _base_of(track, run, bases)
        values = column if base is None else tuple(base * value for value in column)
        kind = "factor" if base is None else "value"
        series.append(Series(_name(track), kind, values, _within(parts, updates)))
    return Preview(steps, tuple(series), updates, run.total_time)


def _updates(phases: Iterable[Sequence[Phase]], run: RunLength, label: str) -> int:
    if run.total_steps is not None:
        return run.total_steps
    ends = [each[-1].end for each in phases]
    known = [end for end in ends if end is not None]
    if len(known) < len(ends) or not known:
        raise RunLengthError(
            f"{label} has no end of its own, and the length of the run is unknown; pass "
            "RunLength(total_steps=...)"
        )
    return max(known) + 1  # the value at the end is the one that stays


def _steps(updates: int, num_points: int, edges: Iterable[int]) -> list[int]:
    last, gaps = updates - 1, num_points - 1
    steps = {round(place * last / gaps) for place in range(num_points)}
    steps |= {step for edge in edges for step in (edge - 1, edge) if 0 <= step <= last}
    return sorted(steps)


def _refined(
    curves: Sequence[Curve], steps: list[int], most: int
) -> tuple[tuple[int, ...], list[tuple[float, ...]]]:
    """Add the most useful steps, and return all of them with the values of each curve."""
    rows = {step: tuple(curve(step) for curve in curves) for step in steps}
    heights = [max(column) - min(column) for column in zip(*rows.values(), strict=True)]
    queue: list[tuple[float, int, int, int]] = []

    def look(begin: int, end: int) -> None:
        """Queue the middle of an interval by the error of a straight line there."""
        if end - begin < 2:
            return
        middle = (begin + end) // 2
        x = (middle - begin) / (end - begin)
        values = tuple(curve(middle) for curve in curves)
        off = max(
            abs(value - (1 - x) * first - x * second) / height if height else 0.0
            for value, first, second, height in zip(
                values, rows[begin], rows[end], heights, strict=True
            )
        )
        if off > _TOLERANCE:
            heapq.heappush(queue, (-off, begin, middle, end))

    for begin, end in pairwise(steps):
        look(begin, end)
    while queue and len(rows) < len(steps) + most:
        _, begin, middle, end = heapq.heappop(queue)
        rows[middle] = tuple(curve(middle) for curve in curves)
        look(begin, middle)
        look(middle, end)
    ordered = sorted(rows)
    return tuple(ordered), [rows[step] for step in ordered]


_TOLERANCE = 0.001
"""The largest error of a straight line between two steps, as a share of the height."""


def _name(track: Track) -> str:
    return f"{track.group}/{track.hyperparameter}" if track.group else track.hyperparameter


def _base_of(track: Track, run: RunLength, bases: Mapping[str, float]) -> float | None:
    """Return the base that makes a value of a factor; `None` if it is unknown."""
    if track.kind == "value":
        return 1.0
    for name in (_name(track), track.hyperparameter):
        if name in bases:
            return bases[name]
    return run.context.base_lr if track.hyperparameter == "lr" else None


def _within(phases: Sequence[Phase], updates: int) -> tuple[Phase, ...]:
    """Return the phases, cut at the end of the run."""
    return tuple(
        Phase(label, start, updates if end is None else min(end, updates))
        for label, start, end in _begun(phases, updates)
    )


def _begun(phases: Sequence[Phase], updates: int) -> Sequence[Phase]:
    """Return the phases that begin within a run, with a hold after an earlier end."""
    last = phases[-1]
    if last.end is not None and last.end < updates:
        phases = [*phases, Phase(HOLD, last.end, None)]
    return [phase for phase in phases if phase.start < updates]


# -- descriptions ----------------------------------------------------------------------------------


def describe_tracks(
    tracks: Sequence[Track],
    run: RunLength,
    *,
    bases: Mapping[str, float] = _NOTHING,
    label: str = "schedule",
) -> str:
    """Describe resolved tracks in a sentence: the phases, and the value of the last update.

    Args:
        tracks: The tracks to describe.
        run: The length of the run; without it there is no last update.
        bases: The values that factors multiply, as for `preview_tracks`.
        label: The label of a curve without phases.
    """
    texts = [_describe(track, run, _base_of(track, run, bases), label) for track in tracks]
    if [_name(track) for track in tracks] == ["lr"]:
        return texts[0]
    return "; ".join(f"{_name(track)}: {text}" for track, text in zip(tracks, texts, strict=True))


def _describe(track: Track, run: RunLength, base: float | None, label: str) -> str:
    phases = phases_of(track.curve, label)
    if run.total_steps is not None:
        phases = _begun(phases, run.total_steps)
    texts = [_phase_text(phase, run) for phase in phases]
    if len(texts) > 6:
        texts[3:-1] = [f"{len(texts) - 4} more"]
    return ", ".join([*texts, *_end_text(track, phases[-1], run, base)])


def _phase_text(phase: Phase, run: RunLength) -> str:
    total, end = run.total_steps, phase.end
    if end is None and total is None:
        return f"{phase.label} from {_moment(phase.start, run)} on"
    if end is None or total is None or end <= total:
        end = end if end is not None else total
        return f"{phase.label} {_moment(phase.start, run)} to {_moment(end or 0, run)}"
    return (
        f"{phase.label} {_moment(phase.start, run)} to {_moment(end, run)} "
        f"(the run ends at {_moment(total, run)})"
    )


def _end_text(track: Track, last: Phase, run: RunLength, base: float | None) -> Iterable[str]:
    """Yield the value of the last update; in a run without an end, the end value of the curve."""
    if run.total_steps is not None:
        step, when = run.total_steps - 1, "last update"
    elif last.end is not None:
        step, when = last.end, "then"
    else:
        return
    value = track.curve(step)
    if base is None:
        of = "rate" if track.hyperparameter == "lr" else "value"
        yield f"{when} {number_text(value)} of the base {of}"
    else:
        yield f"{when} {number_text(base * value)}"


def _moment(step: int, run: RunLength) -> str:
    if run.total_time is None:
        return f"{step:,}"
    return time_text(run.total_time * step / TICKS)


def number_text(value: float) -> str:
    """Format a value with three digits.

    >>> number_text(1.234e-8), number_text(0.05), number_text(0.0001)
    ('1.23e-8', '0.05', '1e-4')
    """
    small = 0 < abs(value) < 1e-3
    text = f"{value:.2e}" if small else f"{value:.3g}"
    mantissa, e, exponent = text.partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if e else text


_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def time_text(seconds: float) -> str:
    """Format a time in the largest unit of which it has at least one.

    >>> time_text(0), time_text(90), time_text(5400), time_text(7 * 86400)
    ('0', '1.5 min', '1.5 h', '7 d')
    """
    if seconds == 0:
        return "0"
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
