"""Clocks that set the position of a schedule where not every update moves it by one.

In a run limited by time the position is the elapsed share of the allotted time, the same on every
rank. With a gradient scaler, skipped updates may be left out of the count.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from nshtrainer.run_length import TICKS

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["Clock", "SuccessfulStepCounter"]


class Clock:
    """A clock of the training time of a run, summed over all its sessions.

    The time between sessions does not count. With several processes all of them use the clock of
    the first, so that they use the same values.

    Args:
        total: The seconds that the run may take.
    """

    def __init__(self, total: float) -> None:
        self._total = total
        self._elapsed = 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Start the clock, unless it runs."""
        if self._since is None:
            # Started by the first update: imports and data loading take none of the time.
            self._since = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training so far."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._elapsed + running

    @elapsed.setter
    def elapsed(self, seconds: float) -> None:
        self._elapsed, self._since = seconds, None

    def position(self, groups: Sequence[Mapping[str, Any]], _last: int) -> int:
        """Return the ticks that have passed on the clock of the first process.

        Args:
            groups: The parameter groups, whose device is the one on which processes communicate.
        """
        self.start()
        elapsed = self.elapsed
        if distributed.is_available() and distributed.is_initialized():
            # Clocks of machines differ, and different rates would let the replicas drift apart.
            device = next(param.device for group in groups for param in group["params"])
            shared = torch.tensor(elapsed, dtype=torch.float64, device=device)
            distributed.broadcast(shared, src=0)
            elapsed = shared.item()
        return int(elapsed / self._total * TICKS)


class SuccessfulStepCounter:
    """A counter of the updates that a `GradScaler` did not skip.

    A `GradScaler` that finds Inf or NaN in the gradients does not call `step`, or sets `found_inf`
    for a fused one, which then does nothing. Reading `found_inf` waits for the device.
    """

    def __init__(self) -> None:
        self._stepped = False

    def note(self, optimizer: Optimizer) -> None:
        """Record after a step whether it updated the parameters."""
        # Without `found_inf` the scaler decides before the call: a step that ran has updated.
        self._stepped = not getattr(optimizer, "found_inf", False)

    def position(self, _groups: Sequence[Mapping[str, Any]], last: int) -> int:
        """Return the next position if there was an update, else the last one."""
        stepped, self._stepped = self._stepped, False
        return last + stepped
