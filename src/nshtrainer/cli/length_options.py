"""Options for the length of a run."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

__all__ = ["add_length_arguments"]

_MULTIPLES = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9}
_SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}


def add_length_arguments(parser: VerbParser, *, for_plot: bool = False) -> None:
    """Add the options; those for a time and a base rate are for plots only."""
    for name, (read, metavar, text) in _OPTIONS.items():
        if for_plot or name not in {"--total-time", "--base-lr"}:
            parser.add_argument(name, type=read, metavar=metavar, help=text)


def _number(text: str) -> float:
    """Parse a number, such as 0.001, 5e-4 or 20k."""
    match = re.fullmatch(r"([0-9_.]+(?:[eE][+-]?[0-9]+)?)([kMB]?)", text)
    try:
        return float(match[1]) * _MULTIPLES[match[2]] if match else float(text)
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is not a number; use a number such as 1000 or 20k"
        ) from None


def _whole(text: str) -> int:
    number = _number(text)
    if not number.is_integer():
        raise ArgumentTypeError(f"{text!r} is not a whole number; give a whole number of updates")
    return int(number)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|min|h|d)?", text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a time; use a time such as 90min, 12h or 3d")
    return float(match[1]) * _SECONDS[match[2] or ""]


_OPTIONS: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "--total-steps": (_whole, "N", "optimizer steps in the run"),
    "--steps-per-epoch": (_number, "N", "optimizer steps per epoch"),
    "--total-time": (_seconds, "TIME", "length of a run with a time limit: 90min, 12h, 3d"),
    "--samples-per-step": (_number, "N", "samples per optimizer step"),
    "--tokens-per-step": (_number, "N", "tokens per optimizer step"),
    "--base-lr": (_number, "RATE", "base learning rate (default: the lr of the optimizer)"),
}
