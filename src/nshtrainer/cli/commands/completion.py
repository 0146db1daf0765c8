"""Print a completion script for a shell.

For bash: `nshtrainer completion bash > ~/.local/share/bash-completion/completions/nshtrainer`.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

HELP = "print a completion script for a shell"

_SCRIPTS = {"bash": "bash.sh", "zsh": "zsh.sh", "fish": "fish.fish"}


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("shell", choices=_SCRIPTS, help="name of the shell")


def run(args: Namespace) -> int:
    """Print the script. It calls `nshtrainer __complete`, which knows the words."""
    path = Path(__file__).parents[1] / "shells" / _SCRIPTS[args.shell]
    print(path.read_text(encoding="utf-8"), end="")
    return 0
