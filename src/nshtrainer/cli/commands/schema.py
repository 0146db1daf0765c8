"""Print the JSON Schema of a run file, for completion and checks in editors."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from nshtrainer.console import say

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

HELP = "print the JSON Schema of a run file, for editors"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_code("include this code's fields and components; train.py:Name: a config class")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="output file")


def run(args: Namespace) -> int:
    """Print or write the schema, and print the comment that makes an editor use it."""
    from nshtrainer.config.files import write_file
    from nshtrainer.project.run_schema import run_schema_text, schema_comment

    text = run_schema_text(args.code)
    if args.output is None:
        print(text, end="")
    else:
        write_file(args.output, text)
    hint = schema_comment(args.output or "run.schema.json")
    say("the first line of a YAML file that uses it:", sys.stderr)
    say(hint, sys.stderr)
    return 0
