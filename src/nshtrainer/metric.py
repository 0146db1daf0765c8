"""A metric that a schedule or a checkpoint looks at: its name and which way is better."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from nshtrainer.config import Config

__all__ = ["MetricConfig"]


class MetricConfig(Config):
    """The name under which a metric is logged, and its direction.

    >>> MetricConfig(monitor="val/loss", mode="min")
    MetricConfig(monitor='val/loss', mode='min')
    """

    monitor: Annotated[str, StringConstraints(min_length=1)]
    """The name given to `self.log`, such as `val/loss`."""

    mode: Literal["min", "max"]
    """`min` when smaller is better (a loss), `max` when larger is (an accuracy)."""
