"""Epochs and other periods whose lengths vary, and curves that follow them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from math import ceil

from nshtrainer.lr_scheduler.curves.phases import Curve, Phase, phases_of

__all__ = ["Epochs", "Staircase", "Stretched"]


@dataclass(frozen=True)
class Epochs:
    """The starts of epochs, or of other periods, in exact numbers.

    `lengths` are the steps of each epoch; the last one repeats.

    >>> epochs = Epochs((3, 2.5))
    >>> [epochs.of(step) for step in range(9)]
    [0, 0, 0, 1, 1, 1, 2, 2, 3]
    >>> [epochs.start(epoch) for epoch in range(4)]
    [0, 3, 6, 8]
    """

    lengths: tuple[float | Fraction, ...]

    _starts: tuple[int | Fraction, ...] = field(init=False, repr=False, compare=False)
    _last: int | Fraction = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        exact = [_exact(length) for length in self.lengths]
        object.__setattr__(self, "_starts", tuple(accumulate(exact[:-1], initial=0)))
        object.__setattr__(self, "_last", exact[-1])

    def of(self, step: int) -> int:
        """Return the epoch of a step, both counted from 0."""
        epoch = bisect_right(self._starts, step) - 1
        if epoch < len(self._starts) - 1:
            return epoch
        return epoch + int((step - self._starts[-1]) // self._last)

    def share(self, step: int) -> float:
        """Return the number of epochs up to a step, with the fraction of the last one."""
        epoch = self.of(step)
        place = min(epoch, len(self._starts) - 1)
        length = _exact(self.lengths[place])
        begin = self._starts[place] + (epoch - place) * length
        return epoch + float((step - begin) / length)

    def start(self, epoch: int) -> int:
        """Return the first step of an epoch."""
        later = max(0, epoch - len(self._starts) + 1)
        return ceil(self._starts[min(epoch, len(self._starts) - 1)] + later * self._last)


def _exact(number: float | Fraction) -> int | Fraction:
    exact = number if isinstance(number, Fraction) else Fraction(repr(number))
    return int(exact) if exact.denominator == 1 else exact


@dataclass(frozen=True)
class Staircase:
    """A curve of the epoch as a curve of the step, which changes at the start of each epoch."""

    curve: Curve
    epochs: Epochs

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        return self.curve(self.epochs.of(step))

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of the curve, in steps."""
        return tuple(
            Phase(label, self.epochs.start(start), None if end is None else self.epochs.start(end))
            for label, start, end in phases_of(self.curve)
        )


@dataclass(frozen=True)
class Stretched:
    """A curve of the elapsed periods, fractions included, as a curve of the step.

    A period is `every` epochs, and step 0 is step `begin` of the epochs.
    """

    curve: Callable[[float], float]
    epochs: Epochs
    begin: int
    every: float

    _before: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_before", self.epochs.share(self.begin))

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        return self.curve((self.epochs.share(self.begin + step) - self._before) / self.every)

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of the curve."""
        return phases_of(self.curve)
