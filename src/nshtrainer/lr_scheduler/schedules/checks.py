"""Checks of durations that several schedules share."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from nshtrainer.exceptions import NshtrainerWarning, ScheduleError

if TYPE_CHECKING:
    from nshtrainer.duration import AnyDuration
    from nshtrainer.run_length import RunLength

__all__ = ["positive_steps", "too_long"]


def positive_steps(duration: AnyDuration, run: RunLength, field: str) -> int:
    """Return the steps of a duration, which must be above 0.

    Raises:
        ScheduleError: The duration is 0 steps; the message names `field`.
    """
    steps = duration.resolve(run, field)
    if steps == 0:
        raise ScheduleError(f"{field} is 0 steps; make it 1 or more")
    return steps


def too_long(
    run: RunLength, text: str, advice: str, instead: str = "the schedule is cut short as well"
) -> None:
    """Refuse a duration that does not fit; in a run that was cut short on purpose, warn.

    Raises:
        ScheduleError: The run has its intended length.
    """
    if run.shortened is None:
        raise ScheduleError(f"{text}; {advice}")
    warnings.warn(f"{text}; with {run.shortened} {instead}", NshtrainerWarning, stacklevel=2)
