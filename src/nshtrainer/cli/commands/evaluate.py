"""Evaluate a trained model: print its validation metrics, and its test metrics if it has a test.

The weights are those of --checkpoint: the best of the newest run of the file, or of the folder of a
run, unless another one is named. Nothing is trained or written.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

HELP = "print the metrics of a trained model"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_trained_run_arguments()
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: Namespace) -> int:
    """Print the metrics."""
    from nshtrainer.project.user_code import split_target
    from nshtrainer.runs.trained_run import find_checkpoint

    # Obvious errors are reported before torch is imported.
    split_target(args.code)
    checkpoint = find_checkpoint(args.config, args.checkpoint)

    from lightning.fabric.utilities.rank_zero import rank_zero_only

    from nshtrainer.config.formats.json import write_json
    from nshtrainer.console import say, say_lines
    from nshtrainer.runs.loaded_run import load_run
    from nshtrainer.runs.reports import metrics_text
    from nshtrainer.runs.trained_run import evaluate

    loaded = load_run(args.config, args.code, overrides=args.overrides)
    found = evaluate(loaded, checkpoint, bar=not args.json)
    if getattr(rank_zero_only, "rank", 0):
        return 0
    if args.json:
        say_lines(write_json({"checkpoint": str(checkpoint), **found}).rstrip())
        return 0
    say(f"checkpoint  {checkpoint}")
    for name, metrics in found.items():
        say(f"{name:<10}  {metrics_text(metrics)}")
    return 0
