"""Print a completion script for a shell.

For bash: `nshtrainer completion bash > ~/.local/share/bash-completion/completions/nshtrainer`.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

HELP = "print a completion script for a shell"
_SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("shell", choices=_SHELLS, help="name of the shell")


def run(args: Namespace) -> int:
    """Print the script.

    Raises:
        ConfigError: shtab, which generates the script, is not installed.
    """
    from nshtrainer.cli.parser import make_parser
    from nshtrainer.exceptions import ConfigError

    try:
        import shtab
    except ImportError as error:
        text = "completion needs shtab; install it with: pip install 'nshtrainer[completion]'"
        raise ConfigError(text) from error
    print(shtab.complete(make_parser()[0], shell=args.shell))
    return 0
