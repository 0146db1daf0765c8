"""Silence Lightning's console output."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from nshtrainer.console import say_lines
from nshtrainer.escaping import printable_lines
from nshtrainer.exceptions import CheckpointWarning, ConfigChangedWarning

__all__ = ["quiet"]

_NOISE = (
    # Advice for data that is slow to read; for a small run it makes no sense.
    "The '.*_dataloader' does not have many workers",
    # A resumed run keeps its folder.
    "(?s)Checkpoint directory .* exists and is not empty",
    # Config changes on resume are printed as lines of this package.
    "The dirpath has changed",
    # lightning 2.6.6 calls what torch 2.13 deprecates.
    ".isinstance.treespec, LeafSpec",
)

_LINES = (CheckpointWarning, ConfigChangedWarning)
"""Warnings that are printed as lines, regardless of warning filters."""


@contextmanager
def quiet() -> Generator[None]:
    """Silence Lightning's own output, and print config changes."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message)
        for category in _LINES:
            warnings.simplefilter("always", category)
        warnings.showwarning = _printing(warnings.showwarning)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _printing(show: Any) -> Any:
    """Return a `showwarning` that prints warnings about a changed config without their place."""

    def shown(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, _LINES):
            say_lines(message)
        else:
            show(printable_lines(message), category, *place, **more)

    return shown
