"""Values over the updates of a run: what a picture is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from typing_extensions import override

from nshtrainer.config.messages import join_names

__all__ = ["Preview", "Series"]


@dataclass(frozen=True, repr=False)
class Series:
    """The values of one hyperparameter of some parameter groups.

    Args:
        name: The hyperparameter, such as `lr`; for a single group, `backbone/lr`.
        kind: `value` for the values that will be used, `factor` for factors on an unknown base.
        values: One value for each step.
        phases: The phases of the curve, up to the end of the run: label, start and end.
    """

    name: str
    kind: Literal["factor", "value"]
    values: tuple[float, ...]
    phases: tuple[tuple[str, int, int | None], ...]

    @override
    def __repr__(self) -> str:
        return f"<{self.name}: {len(self.values):,} of a {self.kind}>"

    @property
    def hyperparameter(self) -> str:
        """The name without the group."""
        return self.name.rpartition("/")[2]

    @property
    def group(self) -> str | None:
        """The name of the group; `None`: every group that no other series names."""
        return self.name.rpartition("/")[0] or None


@dataclass(frozen=True, repr=False)
class Preview:
    """The values of a schedule at some of the updates of a run.

    The steps include the start of each phase and the step before it, and both steps around a jump.
    Between two of them a straight line is off by at most a thousandth of the height, unless the
    curve oscillates without an end.

    Args:
        steps: Indices of updates, from 0, in order.
        series: The scheduled hyperparameters, all at the same steps.
        updates: The number of updates in the run.
        total_time: The seconds of a run that is limited by time; steps are then ticks, a million in
            all.
    """

    steps: tuple[int, ...]
    series: tuple[Series, ...]
    updates: int
    total_time: float | None = None

    @override
    def __repr__(self) -> str:
        names, steps = join_names(self.names), f"{len(self.steps):,} of {self.updates:,} updates"
        return f"<Preview of {names} at {steps}>"

    def __getitem__(self, name: str) -> tuple[float, ...]:
        for series in self.series:
            if series.name == name:
                return series.values
        raise KeyError(f"{name!r} is not scheduled (these are: {', '.join(self.names)})")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the series, such as `lr` and `backbone/lr`."""
        return tuple(series.name for series in self.series)
