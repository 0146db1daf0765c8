"""The parts of a curve: what it does, from which step to which."""

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
"""The label of a phase in which a curve that has come to its end stays there."""

CONSTANT = "constant"
"""The label of a curve that has one value for ever."""


class Phase(NamedTuple):
    """A part of a curve, `[start, end)`; with an end of None it goes on for ever.

    The phases of a curve follow one another without a gap, beginning with step 0. After a last
    phase that ends, the curve stays at its end value.
    """

    label: str
    start: int
    end: int | None


def phases_of(curve: Curve, label: str = "schedule") -> tuple[Phase, ...]:
    """The phases of a curve, at least one; of one that does not tell them, one with this label.

    >>> phases_of(lambda step: 1.0, label="mine")
    (Phase(label='mine', start=0, end=None),)
    """
    return parts_of(curve, label) or (Phase(HOLD, 0, None),)


def parts_of(curve: Curve, label: str = "schedule") -> tuple[Phase, ...]:
    """The same for a curve within another: none where it is at its end from the beginning."""
    phases = getattr(curve, "phases", None)
    return (Phase(label, 0, None),) if phases is None else phases()


def first_value(curve: Curve) -> float:
    """Return the value at which a curve begins, even where the way down from it has no steps.

    >>> first_value(lambda step: 0.5)
    0.5
    """
    first = getattr(curve, "begins_at", None)
    return curve(0) if first is None else first


def tiled(*parts: tuple[str, int | None]) -> tuple[Phase, ...]:
    """Phases one after the other, from labels and lengths; one of length 0 is absent.

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
    """The same phases, later."""
    return tuple(
        Phase(label, start + steps, None if end is None else end + steps)
        for label, start, end in phases
    )


def clipped(phases: Iterable[Phase], length: int) -> tuple[Phase, ...]:
    """What there is of the phases in the first steps; where they end sooner, the curve holds.

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
    """The phases of several curves over the same steps: a new one begins where any of them has one.

    Its label joins those of the curves, without those that change nothing there.

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
    """The phases, and after the end of the last one that the curve holds."""
    end: int | None = 0
    for phase in phases:
        yield phase
        end = phase.end
    if end is not None:
        yield Phase(HOLD, end, None)
