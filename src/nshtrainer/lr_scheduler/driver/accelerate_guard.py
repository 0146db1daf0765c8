"""Keeps others from moving a scheduler otherwise than once an update."""

from __future__ import annotations

from typing import NoReturn

from nshtrainer.exceptions import ScheduleError

__all__ = ["MovesOnceAnUpdate"]


class MovesOnceAnUpdate:
    """The answer to Accelerate, which asks a scheduler whether it was prepared before.

    `Accelerator.prepare` puts a wrapper around a scheduler that moves it once for each process at
    each update, so that two processes would be through with a schedule in half of the run. It asks
    for an attribute first; to read it is an error that says what to write.
    """

    def __get__(self, scheduler: object, owner: type | None = None) -> NoReturn:
        raise ScheduleError(
            "Accelerator.prepare would move this scheduler once for each process at each update; "
            "write nshtrainer.integrations.accelerate.prepare(accelerator, ...) in the place of "
            "accelerator.prepare(...)"
        )
