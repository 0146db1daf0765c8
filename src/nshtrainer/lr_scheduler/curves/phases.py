"""Phases: labeled parts of a curve, from one step to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from nshtrainer.lr_scheduler.track import Curve

__all__ = [
    "Curve",
    "Phase",
    "clipped",
    "first_value",
    "overlaid",
    "parts_of",
    "phases_of",
    "shifted",
    "tiled",
]

HOLD = "hold"
"""The label of a phase after the end of a curve, which keeps its end value."""

CONSTANT = "constant"
"""The label of a curve with one value at every step."""


class Phase(NamedTuple):
    """A part of a curve, `[start, end)`; with an end of None it never ends.

    The phases of a curve follow one another without a gap, beginning with step 0. After a last
    phase that ends, the curve stays at its end value.
    """

    label: str
    start: int
    end: int | None


def phases_of(curve: Curve, label: str = "schedule") -> tuple[Phase, ...]:
    """Return the phases of a curve, at least one; a curve without phases has one with this label.

    >>> phases_of(lambda step: 1.0, label="mine")
    (Phase(label='mine', start=0, end=None),)
    """
    return parts_of(curve, label) or (Phase(HOLD, 0, None),)


def parts_of(curve: Curve, label: str = "schedule") -> tuple[Phase, ...]:
    """Return the phases of a curve within another; none if it has ended at its first step."""
    phases = getattr(curve, "phases", None)
    return (Phase(label, 0, None),) if phases is None else phases()


def first_value(curve: Curve) -> float:
    """Return the value at which a curve begins, even if its first decay has no steps.

    >>> first_value(lambda step: 0.5)
    0.5
    """
    first = getattr(curve, "begins_at", None)
    return curve(0) if first is None else first


def tiled(*parts: tuple[str, int | None]) -> tuple[Phase, ...]:
    """Return consecutive phases from labels and lengths; one of length 0 is absent.

    >>> tiled(("warm-up", 5), ("stable", 0), ("cosine", None))
    (Phase(label='warm-up', start=0, end=5), Phase(label='cosine', start=5, end=None))
    """
    phases: list[Phase] = []
    start = 0
    for label, length in parts:
        if length is None:
            phases.append(Phase(label, start, None))
        elif length > 0:
            phases.append(Phase(label, start, start + length))
            start += length
    return tuple(phases)


def shifted(phases: Iterable[Phase], steps: int) -> tuple[Phase, ...]:
    """Return the phases, moved to later steps."""
    return tuple(
        Phase(label, start + steps, None if end is None else end + steps)
        for label, start, end in phases
    )


def clipped(phases: Iterable[Phase], length: int) -> tuple[Phase, ...]:
    """Return the phases of the first `length` steps; after an earlier end the curve holds.

    >>> clipped([Phase("cosine", 0, 3), Phase("stable", 3, None)], 2)
    (Phase(label='cosine', start=0, end=2),)
    >>> clipped([Phase("cosine", 0, 3)], 5)
    (Phase(label='cosine', start=0, end=3), Phase(label='hold', start=3, end=5))
    """
    return tuple(
        Phase(label, start, length if end is None else min(end, length))
        for label, start, end in _without_end(phases)
        if start < length
    )


def overlaid(curves: Iterable[Iterable[Phase]]) -> tuple[Phase, ...]:
    """Merge the phases of several curves over the same steps; each start begins a new phase.

    Its label joins the labels of the curves, without the curves that are constant there.

    >>> overlaid([[Phase("cosine", 0, 4)], [Phase("constant", 0, None)]])
    (Phase(label='cosine', start=0, end=4),)
    """
    parts = [tuple(_without_end(phases)) for phases in curves]
    starts = sorted({phase.start for phases in parts for phase in phases})
    merged = [Phase(_label_at(start, parts), start, end) for start, end in pairwise(starts)]
    last = Phase(_label_at(starts[-1], parts), starts[-1], None)
    return tuple(merged if merged and last.label in _IDLE else [*merged, last])


_IDLE = {HOLD, CONSTANT}


def _label_at(step: int, curves: Iterable[Sequence[Phase]]) -> str:
    labels = [
        next(phase.label for phase in reversed(phases) if phase.start <= step) for phases in curves
    ]
    return " × ".join(dict.fromkeys(label for label in labels if label not in _IDLE)) or labels[0]


def _without_end(phases: Iterable[Phase]) -> Iterator[Phase]:
    """Yield the phases, and a hold after the end of the last one."""
    end: int | None = 0
    for phase in phases:
        yield phase
        end = phase.end
    if end is not None:
        yield Phase(HOLD, end, None)
