"""The position of a run whose length is a time: elapsed over allotted, the same on every rank."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import distributed

from nshtrainer.run_length import TICKS

__all__ = ["Clock"]


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

    def position(self, groups: Sequence[Mapping[str, Any]]) -> int:
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


def _device(groups: Sequence[Mapping[str, Any]]) -> torch.device:
    return next(param.device for group in groups for param in group["params"])
