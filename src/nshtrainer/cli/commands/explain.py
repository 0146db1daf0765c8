"""Show parameter groups and schedules without training.

The model is a file with code, a config.json of transformers, or a list of names and shapes. Its
optimizer is built without data and, unless the code has a LightningModuleBase, without memory: one
row per parameter group, and the unassigned parameters. The length of the run is read from the
trainer section of the file, or from the options.
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
    code = "file with a model, or train.py:NAME of a class, of a function without arguments, ..."
    parser.add_argument("code", nargs="?", metavar="train.py", is_file=True, help=code)
    parser.add_model_files()
    config = "YAML, JSON or TOML with an optimizer (default: the module's configure_optimizers)"
    parser.add_file("--config", help=config)
    parser.add_overrides("override of the file")
    parser.add_argument(
        "--parameter", metavar="NAME", help="show which rule matches this parameter, and why"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_length_arguments(parser)


def run(args: Namespace) -> int:
    """Print the table, or the trace of one parameter."""
    from nshtrainer.config.io import read_document
    from nshtrainer.exceptions import ConfigError
    from nshtrainer.project.user_code import split_target

    # Obvious errors are reported before torch is imported.
    if args.code:
        split_target(args.code)
    elif args.config is None and (args.parameters or args.transformers):
        option = "parameters" if args.parameters else "transformers"
        model = f"--{option} {args.parameters or args.transformers}"
        raise ConfigError(f"missing --config; write nshtrainer explain {model} --config FILE")
    if args.config:
        read_document(args.config)

    from nshtrainer.analysis.file_explanation import (
        explain_config,
        explain_module,
        load_source,
        read_config,
    )
    from nshtrainer.config.formats.json import write_json
    from nshtrainer.console import say_lines
    from nshtrainer.runs.reports import quiet

    source = load_source(args)
    with quiet():
        if args.config is None:
            found = explain_module(source, args)
        else:
            config = read_config(source, args.config, args.overrides)
            found = explain_config(source, config, args.config, args)
    shown = found if args.parameter is None else found.parameter(args.parameter)
    if args.json:
        print(write_json(shown.to_dict()), end="")
    else:
        say_lines(shown)
    return 0
