"""What says the position of a schedule that not every update moves by one.

In a run whose length is a time it is elapsed over allotted, the same on every rank. Where a scaler
of gradients leaves updates out, they may be left out of the count as well.
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
    """Counts the time of a run, over all its sessions.

    The time between two sessions does not count. With several processes all of them follow the
    first one's clock, so that they use the same values.

    Args:
        total: The seconds that the run may take.
    """

    def __init__(self, total: float) -> None:
        self._total = total
        self._elapsed = 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Begin to count, if that has not begun."""
        if self._since is None:
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
        """The ticks that have passed, as the first process counts them.

        Args:
            groups: The parameter groups, which say on which device processes can talk.
        """
        self.start()
        elapsed = self.elapsed
        if distributed.is_available() and distributed.is_initialized():
            shared = torch.tensor(elapsed, dtype=torch.float64, device=_device(groups))
            distributed.broadcast(shared, src=0)
            elapsed = shared.item()
        return int(elapsed / self._total * TICKS)


class SuccessfulStepCounter:
    """Knows whether there was an update since it was last asked.

    A `GradScaler` that finds gradients which are not finite does not call `step`, or says so to a
    fused one, which then does nothing. To read what it said the process waits for its device.
    """

    def __init__(self) -> None:
        self._stepped = False

    def note(self, optimizer: Optimizer) -> None:
        """Take down what became of a step, after it."""
        self._stepped = not getattr(optimizer, "found_inf", False)

    def position(self, _groups: Sequence[Mapping[str, Any]], last: int) -> int:
        """One further than the last, if there was an update."""
        stepped, self._stepped = self._stepped, False
        return last + stepped


def _device(groups: Sequence[Mapping[str, Any]]) -> torch.device:
    return next(param.device for group in groups for param in group["params"])
