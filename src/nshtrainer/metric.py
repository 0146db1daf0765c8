"""A metric for a schedule or a checkpoint: its name, and whether smaller or larger is better."""

from __future__ import annotations

from typing import Literal

from nshtrainer.config import Config
from nshtrainer.types import Label

__all__ = ["MetricConfig"]


class MetricConfig(Config):
    """The name under which a metric is logged, and its direction.

    >>> MetricConfig(monitor="val/loss", mode="min")
    MetricConfig(monitor='val/loss', mode='min')
    """

    monitor: Label
    """The name given to `self.log`, such as `val/loss`."""

    mode: Literal["min", "max"]
    """`min` when smaller is better (a loss), `max` when larger is (an accuracy)."""
