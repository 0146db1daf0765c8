"""The command line: `nshtrainer fit | explain | diff | plot | validate | list | show | ...`.

Each verb is a module of this folder with `HELP`, `add_arguments` and `run`. Nothing heavy is
imported before it is used: only `fit`, `explain`, and what is told `--for train.py` import torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from nshtrainer.cli.console import say_lines

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 is success, 1 a file that `validate` refuses, two that `diff` finds different or a run that
    a loss or gradient that is not finite ended, 2 a command, file or override that makes no sense
    (one line a problem on stderr), 128 and its number for a signal that ended a run: 130 for
    Ctrl-C, 143 for SIGTERM. An exception of the user's own code goes through, with its traceback.

    Args:
        argv: The arguments without the program's name; those of the process if left out.

    Raises:
        SystemExit: `--help`, `--version`, or arguments that cannot be parsed.
    """
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # before there was a run that could be saved
        return 130
    except BrokenPipeError:  # `nshtrainer list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(argv: Sequence[str]) -> int:
    from nshtrainer.cli.parser import parse
    from nshtrainer.exceptions import NshtrainerError

    try:
        run, args = parse(argv)
        return run(args)
    except NshtrainerError as error:
        say_lines(error, sys.stderr)
        return 2
