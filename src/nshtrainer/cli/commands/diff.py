"""Compare the optimizers and schedules of two files; the exit code is 1 if they differ.

Defaults are filled in, and schedules are compared by their values, not by their text. With a model
(--for train.py, --parameters or --transformers) the result is per parameter, which imports torch.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from nshtrainer.cli.length_options import add_length_arguments
from nshtrainer.console import say, say_lines

if TYPE_CHECKING:
    from nshtrainer.analysis.config_diff import ConfigDifference
    from nshtrainer.cli.parser import VerbParser

HELP = "compare the optimizers and schedules of two files"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_file("first")
    parser.add_file("second", metavar="OTHER", help="the file to compare with")
    parser.add_code("compare parameter by parameter")
    parser.add_model_files()
    add_length_arguments(parser)


def run(args: Namespace) -> int:
    """Print a line for each difference; return 0 if there is none, else 1."""
    from nshtrainer.analysis.config_diff import Differences

    found = _by_parameter(args) if _has_model(args) else _by_field(args)
    say_lines(Differences(found))
    return 1 if found else 0


def _has_model(args: Namespace) -> bool:
    return any((args.code, args.parameters, args.transformers))


def _by_field(args: Namespace) -> list[ConfigDifference]:
    from nshtrainer.analysis.config_diff import by_field
    from nshtrainer.config.document import fail
    from nshtrainer.project.find_configs import (
        optimizers_in,
        schedules_in,
        with_recorded_lengths,
    )
    from nshtrainer.project.partial_check import read_loosely

    one, two = configs = [read_loosely(file)[0] for file in (args.first, args.second)]
    for file, config in zip((args.first, args.second), configs, strict=True):
        if not optimizers_in(config) and not schedules_in(config):
            fail(file, "has neither an optimizer nor a schedule; give --for train.py for defaults")
    lengths = [with_recorded_lengths(args, file) for file in (args.first, args.second)]
    return by_field(one, two, lengths)


def _by_parameter(args: Namespace) -> list[ConfigDifference]:
    from nshtrainer.analysis.config_diff import by_field
    from nshtrainer.analysis.file_explanation import explain_config, load_source, read_config
    from nshtrainer.project.find_configs import schedules_in
    from nshtrainer.runs.reports import quiet

    source, files = load_source(args), (args.first, args.second)
    first, second = configs = [read_config(source, file) for file in files]
    with quiet():
        one, two = found = [
            explain_config(source, config, file, args)
            for config, file in zip(configs, files, strict=True)
        ]
    for text in dict.fromkeys(one.missing + two.missing):
        say(f"unknown: {text}", sys.stderr)
    is_resolved = all(
        each.sources.schedulers or not schedules_in(config)
        for each, config in zip(found, configs, strict=True)
    )
    left = [] if is_resolved else by_field(first, second, [args, args], schedules_only=True)
    return [*left, *one.diff(two)]
