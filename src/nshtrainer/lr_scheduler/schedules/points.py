"""Schedules given as points, with an interpolation between them."""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import ceil
from typing import Annotated, Literal

from pydantic import Field

from nshtrainer.config import Config
from nshtrainer.duration import DurationField
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import Interpolation, Piecewise
from nshtrainer.lr_scheduler.schedules.base import too_long
from nshtrainer.run_length import RunLength
from nshtrainer.types import NonNegative

__all__ = ["PiecewiseScheduleConfig", "PointConfig"]


class PointConfig(Config):
    """The factor at one moment of a run.

    >>> PointConfig(at="10%", factor=0.5).at
    FractionConfig(value=0.1)
    """

    at: DurationField
    """The moment, counted from the beginning of the run."""

    factor: NonNegative
    """Factor on the base rate at that moment."""


@lr_scheduler_registry.register
class PiecewiseScheduleConfig(CurveScheduleConfigBase):
    """Interpolation between points, constant before the first and after the last.

    Reference: `optax.piecewise_interpolate_schedule` and `optax.piecewise_constant_schedule`.

    Raises:
        ScheduleError: A point does not come after the one before.

    >>> from nshtrainer import RunLength
    >>> points = (PointConfig(at="2 steps", factor=1.0), PointConfig(at="4 steps", factor=0.0))
    >>> curve = PiecewiseScheduleConfig(points=points).curve(RunLength())
    >>> [curve(step) for step in range(6)]
    [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    example = """
points:
  - {at: 0%, factor: 0.1}
  - {at: 20%, factor: 1.0}
  - {at: 60%, factor: 0.7}
  - {at: 100%, factor: 0.05}
"""

    name: Literal["piecewise"] = "piecewise"

    points: Annotated[tuple[PointConfig, ...], Field(min_length=1)]
    """The points, in order."""

    interpolation: Interpolation = "linear"
    """Interpolation between two points: a line, half a cosine wave, or the factor of the first."""

    def curve(self, run: RunLength) -> Piecewise:
        """Return the joined points."""
        exact = [
            point.at.exact(run, f"points.{place}.at") for place, point in enumerate(self.points)
        ]
        steps = list(map(ceil, exact))
        if any(one >= other for one, other in pairwise(exact)):
            text = (
                f"points at {', '.join(map(str, steps))} steps: each must come after the one before"
            )
            too_long(run, text, "move one")
            steps = list(accumulate(steps, max))
        factors = tuple(point.factor for point in self.points)
        return Piecewise(tuple(steps), factors, self.interpolation)
