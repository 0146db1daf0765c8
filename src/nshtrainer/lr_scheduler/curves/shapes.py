"""Shapes of decays and warm-ups: functions of x, the elapsed share of a phase, in [0, 1].

A shape is a frozen dataclass, so that it compares and prints as a value; its `label` is the name of
a phase of this shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, expm1, pi, sin, sqrt, tanh
from typing import ClassVar, TypeAlias

__all__ = [
    "FALLS",
    "RISES",
    "CosineShape",
    "HalfCosineShape",
    "HalvingShape",
    "InverseShape",
    "LinearShape",
    "PowerShape",
    "ReflectedExponentialShape",
    "RootShape",
    "Shape",
    "SquareShape",
    "TanhShape",
    "label_of",
]

Shape: TypeAlias = Callable[[float], float]
"""Elapsed share of the phase -> height."""


def label_of(shape: Shape) -> str:
    """Return the label of a phase of this shape.

    >>> label_of(CosineShape()), label_of(abs)
    ('cosine', 'decay')
    """
    return getattr(shape, "label", "decay")


# -- down: from 1 at x = 0 to 0 at x = 1 -----------------------------------------------------------


@dataclass(frozen=True)
class LinearShape:
    """1 - x."""

    label: ClassVar[str] = "linear"

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        return 1.0 - x


_TURN = 2.0 * pi


@dataclass(frozen=True)
class CosineShape:
    """(1 + cos(2 pi c x^k)) / 2: half a wave for c = 1/2; with a larger k it is high for longer."""

    label: ClassVar[str] = "cosine"

    num_cycles: float = 0.5
    k_decay: float = 1.0

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        if self.k_decay != 1.0:
            x **= self.k_decay
        return (1.0 + cos(_TURN * self.num_cycles * x)) / 2.0


@dataclass(frozen=True)
class PowerShape:
    """(1 - x)^p."""

    label: ClassVar[str] = "polynomial"

    power: float = 1.0

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        return (1.0 - x) ** self.power


@dataclass(frozen=True)
class ReflectedExponentialShape:
    """(1 - x) / (1 - x / 2): between linear and delayed linear."""

    label: ClassVar[str] = "rex"

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        return (1.0 - x) / (1.0 - x / 2.0)


@dataclass(frozen=True)
class RootShape:
    """1 - sqrt(x): steep at first."""

    label: ClassVar[str] = "1-sqrt"

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        return 1.0 - sqrt(x)


@dataclass(frozen=True)
class SquareShape:
    """1 - x^2: steep at last."""

    label: ClassVar[str] = "1-square"

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        return 1.0 - x * x


@dataclass(frozen=True)
class HalvingShape:
    """2^(1 - x) - 1: an exponential that reaches 0."""

    label: ClassVar[str] = "exponential"

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        return 2.0 ** (1.0 - x) - 1.0


@dataclass(frozen=True)
class HalfCosineShape:
    """1 - sin(pi x / 2): the second half of a cosine, steep at first."""

    label: ClassVar[str] = "half cosine"

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        return 1.0 - sin(pi * x / 2.0)


@dataclass(frozen=True)
class TanhShape:
    """A hyperbolic tangent between two bounds, scaled to go from 1 to 0 exactly."""

    lower: float = -6.0
    upper: float = 3.0

    label: ClassVar[str] = "tanh"

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        top, bottom = tanh(self.lower), tanh(self.upper)
        return (bottom - tanh(self.lower * (1.0 - x) + self.upper * x)) / (bottom - top)


@dataclass(frozen=True)
class InverseShape:
    """m (1 - x) / (x + m (1 - x)): 1 / factor rises in a straight line to 1 / m."""

    end: float

    label: ClassVar[str] = "inverse"

    def __call__(self, x: float) -> float:
        """Return the height at x."""
        rest = self.end * (1.0 - x)
        return rest / (x + rest)


FALLS: dict[str, Shape] = {
    "linear": LinearShape(),
    "cosine": CosineShape(),
    "exponential": HalvingShape(),
    "1-sqrt": RootShape(),
    "1-square": SquareShape(),
}
"""The shapes of a decay at the end, by name."""


# -- up: from 0 at x = 0 to 1 at x = 1 -------------------------------------------------------------

_STEEPNESS = 5.0


RISES: dict[str, Shape] = {
    "linear": float,
    "cosine": lambda x: (1.0 - cos(pi * x)) / 2.0,
    "exponential": lambda x: expm1(_STEEPNESS * x) / expm1(_STEEPNESS),
    "1-sqrt": lambda x: 1.0 - sqrt(1.0 - x),
}
"""The shapes of a warm-up, by name."""
