"""The ways down and up: functions of x, the share of a phase that lies behind, in [0, 1].

A shape is a frozen dataclass, so that it compares and prints as a value; its `label` is what a
phase of this shape is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, expm1, pi, sqrt
from typing import ClassVar, TypeAlias

__all__ = [
    "RISES",
    "CosineShape",
    "LinearShape",
    "PowerShape",
    "ReflectedExponentialShape",
    "RootShape",
    "Shape",
    "SquareShape",
    "label_of",
]

Shape: TypeAlias = Callable[[float], float]
"""The share of the way that lies behind -> the height."""


def label_of(shape: Shape) -> str:
    """What a phase of this shape is called.

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
        """The height at x."""
        return 1.0 - x


@dataclass(frozen=True)
class CosineShape:
    """(1 + cos(2 pi c x^k)) / 2: half a wave for c = 1/2; with a larger k it is high for longer."""

    label: ClassVar[str] = "cosine"

    num_cycles: float = 0.5
    k_decay: float = 1.0

    def __call__(self, x: float) -> float:
        """The height at x."""
        return (1.0 + cos(2.0 * pi * self.num_cycles * x**self.k_decay)) / 2.0


@dataclass(frozen=True)
class PowerShape:
    """(1 - x)^p."""

    label: ClassVar[str] = "polynomial"

    power: float = 1.0

    def __call__(self, x: float) -> float:
        """The height at x."""
        return (1.0 - x) ** self.power


@dataclass(frozen=True)
class ReflectedExponentialShape:
    """(1 - x) / (1 - x / 2): between linear and delayed linear."""

    label: ClassVar[str] = "rex"

    def __call__(self, x: float) -> float:
        """The height at x."""
        return (1.0 - x) / (1.0 - x / 2.0)


@dataclass(frozen=True)
class RootShape:
    """1 - sqrt(x): steep at first."""

    label: ClassVar[str] = "1-sqrt"

    def __call__(self, x: float) -> float:
        """The height at x."""
        return 1.0 - sqrt(x)


@dataclass(frozen=True)
class SquareShape:
    """1 - x^2: steep at last."""

    label: ClassVar[str] = "1-square"

    def __call__(self, x: float) -> float:
        """The height at x."""
        return 1.0 - x * x


# -- up: from 0 at x = 0 to 1 at x = 1 -------------------------------------------------------------

_STEEPNESS = 5.0


def _exponential_rise(x: float) -> float:
    return expm1(_STEEPNESS * x) / expm1(_STEEPNESS)


RISES: dict[str, Shape] = {
    "linear": float,
    "cosine": lambda x: (1.0 - cos(pi * x)) / 2.0,
    "exponential": _exponential_rise,
    "1-sqrt": lambda x: 1.0 - sqrt(1.0 - x),
}
"""The shapes of a warm-up, by name."""
