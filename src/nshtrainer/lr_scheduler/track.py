"""One hyperparameter along one curve, for one parameter group or all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Curve", "Track"]

Curve: TypeAlias = Callable[[int], float]
"""A pure function: index of the optimizer update, from 0 -> factor on the base value."""


class Track(NamedTuple):
    """The curve of one hyperparameter of some parameter groups, over a run."""

    hyperparameter: str
    """The key in a group, such as `lr` or `weight_decay`; `betas.0` is the first of a tuple."""

    curve: Curve
    """Index of the update, from 0 -> factor or value."""

    kind: Literal["factor", "value"] = "factor"
    """`factor`: the curve multiplies the initial value of the group; `value`: it is the value."""

    group: str | None = None
    """The name of the group, or of a rule that made several, such as `head/bias`;
    `None`: every group for which no other track names this hyperparameter."""
