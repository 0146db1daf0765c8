"""A guard against Accelerate's scheduler wrapper, which makes several steps for each update."""

from __future__ import annotations

from typing import NoReturn

from nshtrainer.exceptions import ScheduleError

__all__ = ["MovesOnceAnUpdate"]


class MovesOnceAnUpdate:
    """An attribute that raises when Accelerate asks whether a scheduler was prepared before.

    `Accelerator.prepare` wraps a scheduler so that each update moves it once for each process: two
    processes would reach the end of a schedule in half of the run. Accelerate reads the attribute
    first; reading it is an error with the remedy.
    """

    def __get__(self, scheduler: object, owner: type | None = None) -> NoReturn:
        raise ScheduleError(
            "Accelerator.prepare would move this scheduler once for each process at each update; "
            "write nshtrainer.integrations.accelerate.prepare(accelerator, ...) in the place of "
            "accelerator.prepare(...)"
        )
