"""Durations that repeat, added up exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import TypeAlias

from nshtrainer.duration import AnyDuration, EpochsConfig, Position
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.curves import Epochs
from nshtrainer.lr_scheduler.schedules.checks import positive_steps
from nshtrainer.run_length import RunLength

__all__ = ["marks", "periods", "shifted", "uniform_from"]

Exact: TypeAlias = "int | Fraction"

_MOST = 10_000
"""The most periods of different lengths that are listed one by one."""


def marks(duration: AnyDuration, run: RunLength, field: str, begin: Position) -> int | Epochs:
    """Return the steps between two marks, or all marks if the steps are not one whole number.

    Args:
        duration: The time from one mark to the next.
        run: The length of the run.
        field: The field, for messages.
        begin: The exact position of the first mark.

    Raises:
        ScheduleError: The duration is 0 steps.
    """
    steps = positive_steps(duration, run, field)
    lengths = [sum(parts) for parts in periods([(duration, field)], run, begin)]
    if lengths == [steps] or lengths[0] < 1:
        return steps
    return shifted(lengths, begin)


def shifted(lengths: Sequence[Exact], begin: Position) -> Epochs:
    """Return the starts of periods, counted from the first whole step of the first one."""
    late = ceil(begin) - begin
    rest = lengths[1:] if len(lengths) > 1 or not late else lengths
    return Epochs(tuple(map(_plain, [lengths[0] - late, *rest])))


def periods(
    parts: Sequence[tuple[AnyDuration, str]], run: RunLength, begin: Position
) -> list[list[Exact]]:
    """Return the exact lengths of the parts of each period; the last period repeats.

    Args:
        parts: The parts of a period, each with its field for messages.
        run: The length of the run.
        begin: The exact position of the first period.

    Raises:
        ScheduleError: There are too many periods of different lengths.
    """
    found: list[list[Exact]] = []
    varies = any(isinstance(part, EpochsConfig) for part, _ in parts)
    uniform = uniform_from(run) if varies else begin
    while len(found) < _MOST:
        lengths: list[Exact] = []
        position = begin
        for part, field in parts:
            end = part.after(run, field, position)
            lengths.append(_plain(end - position))
            position = end
        found.append(lengths)
        if begin >= uniform:
            return found
        # A period of less than a step would have to be listed without end.
        begin = max(position, begin + 1)
    text = f"{parts[0][1]} is too short for epochs that vary in length"
    raise ScheduleError(f"{text}; lengthen it, or give it in steps")


def uniform_from(run: RunLength) -> Exact:
    """Return the position from which on all epochs have one length."""
    steps = run.steps_per_epoch
    if not isinstance(steps, tuple) or len(set(steps)) == 1:
        return 0
    return sum((Fraction(repr(length)) for length in steps[:-1]), Fraction()) - run.context.start


def _plain(length: Exact) -> Exact:
    return int(length) if length == int(length) else length
