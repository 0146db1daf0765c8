"""Axes with round ticks and their labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Axis", "height_axis", "step_axis", "time_axis"]


@dataclass(frozen=True)
class Axis:
    """The scale of one direction of a picture.

    Args:
        title: The measured quantity, with its unit.
        low: The value at its beginning.
        high: The value at its end.
        ticks: The labeled values, in order.
        labels: The text of each tick.
    """

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]

    def share(self, value: float) -> float:
        """Return the position of a value, from 0 at the start of the axis to 1 at the end.

        >>> step_axis(200).share(50)
        0.25
        """
        return (value - self.low) / (self.high - self.low)


def step_axis(steps: int) -> Axis:
    """Return an axis of optimizer updates.

    >>> step_axis(20_000).labels
    ('0', '5k', '10k', '15k', '20k')
    >>> step_axis(1000).labels
    ('0', '200', '400', '600', '800', '1,000')
    """
    ticks = _round_values(0, steps, least=1)
    return Axis("update of the optimizer", 0, steps, ticks, _labels(ticks, _step_text))


def time_axis(seconds: float) -> Axis:
    """Return an axis of the time since the beginning of a run.

    >>> time_axis(7200).title, time_axis(7200).labels
    ('time in minutes', ('0', '20', '40', '60', '80', '100', '120'))
    """
    unit, size = next((name, size) for name, size, least in _UNITS if seconds >= least * size)
    ticks = _round_values(0, seconds / size)
    labels = _labels(ticks, _plain_text)
    return Axis(f"time in {unit}", 0, seconds, tuple(tick * size for tick in ticks), labels)


_UNITS = (("days", 86400, 3), ("hours", 3600, 4), ("minutes", 60, 2), ("seconds", 1, 0))
"""The name of a unit, its seconds, and the least number of them for which it is used."""


def height_axis(title: str, low: float, high: float) -> Axis:
    """Return an axis of values, which starts at 0 unless all of them are close together.

    >>> height_axis("learning rate", 0, 1e-3).labels
    ('0', '2e-4', '4e-4', '6e-4', '8e-4', '1e-3')
    >>> height_axis("betas.0", 0.85, 0.95).labels
    ('0.84', '0.86', '0.88', '0.9', '0.92', '0.94', '0.96')
    >>> height_axis("reward", -3, -1).labels
    ('-3', '-2.5', '-2', '-1.5', '-1', '-0.5', '0')
    """
    below = low < 0
    if high <= 0:
        high = 0.0 if below else 1.0
    close = below or high > low > 0.6 * high
    ticks = _round_values(low if close else 0, high, around=close)
    top = max(ticks[-1], high)
    small = max(map(abs, ticks)) < 0.01
    labels = _labels(ticks, _small_text if small else _plain_text)
    return Axis(title, ticks[0], top, ticks, labels)


def _round_values(
    low: float, high: float, *, least: float = 0.0, around: bool = False
) -> tuple[float, ...]:
    """Return four to nine round values: multiples of 1, 2 or 5 times a power of ten."""
    step = _round_step((high - low) / 4, least)
    first = math.floor(low / step) if around else math.ceil(low / step - 1e-9)
    last = math.ceil(high / step) if around else math.floor(high / step + 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return tuple(round(index * step, digits) for index in range(first, last + 1))


def _round_step(most: float, least: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a number."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(least, next(m * power for m in (5, 2, 1) if m * power <= most * (1 + 1e-9)))


def _labels(ticks: Sequence[float], text: Callable[[float, float], str]) -> tuple[str, ...]:
    largest = max(map(abs, ticks))
    return tuple(text(tick, largest) for tick in ticks)


def _step_text(step: float, largest: float) -> str:
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if largest >= size:
            return f"{step / min(size, _THOUSANDS.get(suffix, size)):g}{suffix}" if step else "0"
    return f"{step:,.0f}"


_THOUSANDS = {"k": 1e3}
"""Steps are written in thousands from ten thousand on."""


def _plain_text(value: float, _largest: float) -> str:
    return f"{value:.6g}"


def _small_text(value: float, _largest: float) -> str:
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if value else "0"
