"""Chance that is no chance: the same for the same seed and step, whatever was asked before."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

from nshtrainer.lr_scheduler.curves.phases import HOLD, Curve, Phase, overlaid, parts_of, tiled

if TYPE_CHECKING:
    from statistics import NormalDist

__all__ = ["Noisy", "uniform"]


def uniform(seed: int, step: int) -> float:
    """A number between 0 and 1, neither of them reached, drawn by the seed and the step alone.

    >>> uniform(seed=42, step=0) == uniform(seed=42, step=0) != uniform(seed=42, step=1)
    True
    """
    digest = blake2b(f"{seed}/{step}".encode(), digest_size=8).digest()
    # 52 bits: with half a unit more the number is exact, and above 0 and below 1.
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52


@dataclass(frozen=True)
class Noisy:
    """A curve times 1 + z in the steps `[start, end)`, with z drawn anew at each, |z| <= `limit`.

    For `normal`, z has the standard deviation `scale` before it is cut off at the limit.
    """

    curve: Curve
    seed: int
    limit: float
    scale: float = 1.0
    kind: Literal["normal", "uniform"] = "normal"
    start: int = 0
    end: int | None = None

    _normal: NormalDist = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Imported on use: no other curve needs it.
        from statistics import NormalDist

        object.__setattr__(self, "_normal", NormalDist(0.0, self.scale))

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        value = self.curve(step)
        if step < self.start or (self.end is not None and step >= self.end):
            return value
        return value * (1.0 + self._drawn(uniform(self.seed, step)))

    def _drawn(self, u: float) -> float:
        """The noise that stands at the share u of its distribution."""
        if self.kind == "uniform":
            return self.limit * (2.0 * u - 1.0)
        low, high = self._normal.cdf(-self.limit), self._normal.cdf(self.limit)
        return max(-self.limit, min(self.limit, self._normal.inv_cdf(low + (high - low) * u)))

    def phases(self) -> tuple[Phase, ...]:
        """Those of the curve, and with them whether there is noise."""
        length = None if self.end is None else self.end - self.start
        return overlaid([parts_of(self.curve), tiled((HOLD, self.start), ("noise", length))])
