"""Show parameter groups and schedules without training.

The model and its optimizers are built as in `fit`, on the CPU and without data: one row per
parameter group, and the unassigned parameters. The length of the run is read from the trainer
section of the file, or from the options.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from nshtrainer.cli.length_options import add_length_arguments

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

HELP = "show parameter groups and schedules without training"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_run_arguments()
    parser.add_argument(
        "--parameter", metavar="NAME", help="show which rule matches this parameter, and why"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_length_arguments(parser)


def run(args: Namespace) -> int:
    """Print the table, or the trace of one parameter."""
    from nshtrainer.config.io import read_document
    from nshtrainer.project.user_code import split_target

    # Obvious errors are reported before torch is imported.
    split_target(args.code)
    document = read_document(args.config)

    from nshtrainer.analysis.dry_run import dry_run
    from nshtrainer.config.formats.json import write_json
    from nshtrainer.console import say_lines
    from nshtrainer.project.find_configs import lengths_in
    from nshtrainer.project.run_file import read_run
    from nshtrainer.project.user_code import load_user_code
    from nshtrainer.runs.quiet_lightning import quiet

    code = load_user_code(args.code)
    config = read_run(document, code, args.overrides)
    with quiet():
        found = dry_run(code, config, lengths_in(args))
    shown = found if args.parameter is None else found.parameter(args.parameter)
    if args.json:
        print(write_json(shown.to_dict()), end="")
    else:
        say_lines(shown)
    return 0
