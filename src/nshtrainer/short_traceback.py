"""Tracebacks for notebooks: the lines of the user's own code, without those of libraries."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from nshtrainer.escaping import printable

__all__ = ["short_traceback"]

_LIBRARIES = (str(Path(__file__).parent), str(Path(traceback.__file__).parent))
"""Folders of this package and of the standard library."""


def short_traceback(error: BaseException | None = None) -> list[str]:
    """Return the lines of the user's code that led to an error and to its cause, and the message.

    IPython calls an exception's `_render_traceback_`, which may be this function.

    Args:
        error: The error; left out, the one that is being handled.

    >>> short_traceback(ValueError("too large"))
    ['ValueError: too large']
    """
    error = error or sys.exc_info()[1]
    frames = [printable(line) for line in _users_lines(error)]
    notes: list[str] = getattr(error, "__notes__", [])
    return [*frames, f"{type(error).__name__}: {error}", *map(printable, notes)]


def _users_lines(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        for frame in traceback.extract_tb(error.__traceback__):
            installed = "site-packages" in frame.filename or "dist-packages" in frame.filename
            if not installed and not frame.filename.startswith(_LIBRARIES):
                # A cell has a temporary name, of a file that does not exist.
                place = f"{frame.filename}, " if Path(frame.filename).exists() else ""
                yield f"{place}line {frame.lineno}, in {frame.name}: {frame.line}"
        error = error.__cause__
