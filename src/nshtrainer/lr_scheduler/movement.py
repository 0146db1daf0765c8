"""What the driver writes with each step: curves, and the groups that follow them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from nshtrainer.lr_scheduler.hyperparameters import Place

__all__ = ["Cohort", "Group", "Movement"]

Group = dict[str, Any]

_WATCHED = 4
"""Of more groups than this with the same base, the rest is written without looking."""


@dataclass(slots=True)
class Cohort:
    """The groups of one base value: they share the product, and the very object written last."""

    base: float
    written: float = 0.0
    has_more: bool = False
    watched: list[Group] = field(default_factory=list[Group])
    others: list[Group] = field(default_factory=list[Group])
    filled: list[tuple[Group, Tensor]] = field(default_factory=list[tuple[Group, Tensor]])

    def groups(self) -> list[Group]:
        """All of them."""
        return [*self.watched, *self.others, *(group for group, _ in self.filled)]

    def settle(self, place: Place) -> None:
        """Sort the groups by how they are written: tensors filled, of many numbers some watched."""
        if place.item is not None:
            return
        numbers: list[Group] = []
        for group in self.watched:
            standing = group[place.key]
            if isinstance(standing, Tensor):
                self.filled.append((group, standing))
            else:
                numbers.append(group)
        self.watched, self.others = numbers[:_WATCHED], numbers[_WATCHED:]
        self.has_more = bool(self.others or self.filled)


class Movement(NamedTuple):
    """One curve of one hyperparameter, and the groups that follow it."""

    key: str
    call: Callable[[int], float]
    cohorts: list[Cohort]
    place: Place
