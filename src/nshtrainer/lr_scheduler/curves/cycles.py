"""Curves that begin anew, again and again."""

from __future__ import annotations

from dataclasses import dataclass

from nshtrainer.lr_scheduler.curves.phases import Phase, tiled
from nshtrainer.lr_scheduler.curves.shapes import Shape, label_of

__all__ = ["WarmRestarts"]


@dataclass(frozen=True)
class WarmRestarts:
    """A decay that begins anew, each cycle `growth` times as long and `peak` times as high.

    The cycle is found by counting whole numbers: a logarithm gets the boundaries wrong.
    """

    shape: Shape
    first: int
    growth: int = 1
    peak: float = 1.0
    end: float = 0.0

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        cycle, begin, length = self._cycle(step)
        height = max(self.end, self.peak**cycle)
        return self.end + (height - self.end) * self.shape((step - begin) / length)

    def _cycle(self, step: int) -> tuple[int, int, int]:
        """The cycle that a step is in: its number, its first step and its length."""
        if self.growth == 1:
            cycle = step // self.first
            return cycle, cycle * self.first, self.first
        cycle, begin, length = 0, 0, self.first
        while step >= begin + length:
            cycle, begin, length = cycle + 1, begin + length, length * self.growth
        return cycle, begin, length

    def phases(self) -> tuple[Phase, ...]:
        """One, for ever: cycles without end are not told one by one."""
        return tiled((f"{label_of(self.shape)} cycles", None))
