"""A metric for a schedule or a checkpoint: its name, and whether smaller or larger is better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from nshtrainer.config import Config
from nshtrainer.config.messages import suggest
from nshtrainer.types import Label

__all__ = ["MetricConfig", "never_logged"]


class MetricConfig(Config):
    """The name under which a metric is logged, and its direction.

    >>> MetricConfig(monitor="val/loss", mode="min")
    MetricConfig(monitor='val/loss', mode='min')
    """

    monitor: Label
    """The name given to `self.log`, such as `val/loss`."""

    mode: Literal["min", "max"]
    """`min` when smaller is better (a loss), `max` when larger is (an accuracy)."""


def never_logged(who: str, monitor: str, logged: Iterable[str]) -> str:
    """Return the message about a metric that a run did not log.

    >>> never_logged("EarlyStopping", "val_loss", ["val/loss"])
    "EarlyStopping monitors 'val_loss', which was never logged; did you mean 'val/loss'? \
(available: val/loss); correct its metric, or log it with self.log('val_loss', ...)"
    """
    known = sorted(logged)
    return (
        f"{who} monitors {monitor!r}, which was never logged{suggest(monitor, known)} "
        f"(available: {', '.join(known) or 'none'}); correct its metric, or log it with "
        f"self.log({monitor!r}, ...)"
    )
