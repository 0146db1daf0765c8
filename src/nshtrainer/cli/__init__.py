"""The command line: `nshtrainer fit | explain | diff | plot | validate | list | show | ...`.

Each verb is a module of this folder with `HELP`, `add_arguments` and `run`. Nothing heavy is
imported before it is used: only `new`, `fit`, `explain`, and a command with `--for train.py` import
torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from nshtrainer.console import say_lines

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 is success. 1 is a file that `validate` refuses, two files that `diff` finds different, or a
    run that a NaN or Inf ended. 2 is an invalid command, file or override (one line for each
    problem on stderr). A run that a signal ended returns 128 plus the signal's number: 130 for
    Ctrl-C, 143 for SIGTERM. An exception of the user's own code is raised with its traceback.

    Args:
        argv: The arguments without the program's name; by default the process's arguments.

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
    from nshtrainer.exceptions import NshtrainerError

    if argv and argv[0] == "__complete":  # from a script of `nshtrainer completion`
        from nshtrainer.cli.complete import print_candidates

        return print_candidates(argv[1:])
    from nshtrainer.cli.parser import parse

    try:
        run, args = parse(argv)
        return run(args)
    except NshtrainerError as error:
        say_lines(error, sys.stderr)
        return 2
