"""Check run files; each problem is one line that begins with file:line:column.

Without --for train.py, the sections that name a registered component and the trainer section are
checked, and the rest is listed as unchecked. With it everything is checked, which imports torch.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from nshtrainer.console import say_lines
from nshtrainer.escaping import printable

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

HELP = "check files without training"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_file("files", nargs="+")
    parser.add_code("check every section against this code")


def run(args: Namespace) -> int:
    """Check each file; return 1 if any is refused."""
    from nshtrainer.project.components import warn_of_conflicts
    from nshtrainer.project.partial_check import check_loosely

    warn_of_conflicts()

    check: Callable[[str], str] = check_loosely
    if args.code:
        check = partial(_check_fully, args.code)
    accepted = [_accepts(check, file) for file in args.files]
    return 0 if all(accepted) else 1


def _accepts(check: Callable[[str], str], file: str) -> bool:
    from nshtrainer.exceptions import ConfigError

    try:
        say_lines(check(file))
    except ConfigError as error:
        say_lines(error, sys.stderr)
        return False
    return True


def _check_fully(target: str, file: str) -> str:
    from nshtrainer.config.io import read_document
    from nshtrainer.project.run_file import read_run
    from nshtrainer.project.user_code import load_user_code

    code = load_user_code(target)
    read_run(read_document(file), code)
    return printable(f"{file}: ok, every section checked against {target}")
