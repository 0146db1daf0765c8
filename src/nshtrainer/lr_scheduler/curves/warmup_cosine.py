"""The curve of `linear_warmup_cosine_decay`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi

from nshtrainer.lr_scheduler.curves.phases import Phase, tiled

__all__ = ["LinearWarmupCosine"]


@dataclass(frozen=True)
class LinearWarmupCosine:
    """A linear rise to 1, then a cosine down to `end`, which may restart.

    With W `warmup` steps, M `total` steps, start factor s and end factor m:

    - t < W: s + (1 - s) t / W
    - W <= t < M: m + (1 - m) (1 + cos(pi (t - W) / (M - W))) / 2
    - t >= M: m; with `restarts`, the cosine begins anew every M - W steps instead

    >>> curve = LinearWarmupCosine(warmup=2, total=6)
    >>> [round(curve(t), 3) for t in range(8)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    warmup: int
    total: int
    start: float = 0.0
    end: float = 0.0
    restarts: bool = False

    # Computed once: a schedule is asked at every update.
    _length: int = field(init=False, repr=False, compare=False)
    _height: float = field(init=False, repr=False, compare=False)
    _frequency: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        length = self.total - self.warmup
        object.__setattr__(self, "_length", length)
        object.__setattr__(self, "_height", (1.0 - self.end) / 2.0)
        object.__setattr__(self, "_frequency", pi / length if length else 0.0)

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        position = step - self.warmup
        if position < 0:
            return self.start + (1.0 - self.start) * step / self.warmup
        if position >= self._length:
            if not (self.restarts and self._length):
                return self.end
            position %= self._length
        return self.end + self._height * (1.0 + cos(self._frequency * position))

    def phases(self) -> tuple[Phase, ...]:
        """The warm-up, and the cosine."""
        length = None if self.restarts and self._length else self._length
        return tiled(("warm-up", self.warmup), ("cosine", length))
