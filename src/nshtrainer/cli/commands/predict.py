"""Write the predictions of a trained model: what `predict_step` returns for each batch.

The file is a list that torch.load(path, weights_only=True) reads. The weights are those of
--checkpoint: the best of the newest run of the file, or of the folder of a run, unless another one
is named.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

HELP = "write the predictions of a trained model"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_trained_run_arguments()
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        is_file=True,
        help="file for the predictions, such as predictions.pt",
    )


def run(args: Namespace) -> int:
    """Write the predictions."""
    from nshtrainer.project.user_code import split_target
    from nshtrainer.runs.trained_run import find_checkpoint

    # Obvious errors are reported before torch is imported.
    split_target(args.code)
    checkpoint = find_checkpoint(args.config, args.checkpoint)

    from nshtrainer.console import say
    from nshtrainer.runs.loaded_run import load_run
    from nshtrainer.runs.trained_run import predict

    loaded = load_run(args.config, args.code, overrides=args.overrides)
    count = predict(loaded, checkpoint, args.out)
    say(f"checkpoint   {checkpoint}")
    say(f"predictions  {args.out} ({count} batches)")
    return 0
