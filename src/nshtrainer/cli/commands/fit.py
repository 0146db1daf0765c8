"""Train a model from a config file.

Overrides such as model.optimizer.lr=3e-4 (or --model.optimizer.lr 3e-4) take precedence over the
file; `model.` is optional. Ctrl-C, SIGTERM and SLURM's SIGUSR1 save a checkpoint and print how to
resume; a second signal stops immediately.
"""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

HELP = "train a model from a config file"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_run_arguments()
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="output directory (default: runs/<config>/<time>)",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="last",
        metavar="last|auto|PATH",
        is_file=True,
        help="checkpoint to resume from: last (the newest of this config, the default), "
        "auto (last, if it exists), or a path",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="PATH",
        is_file=True,
        help="initial weights of a new run: a checkpoint, a state_dict or a .safetensors file",
    )


def run(args: Namespace) -> int:
    """Train; return 0, 128 plus the number of the signal that ended it, or 1 after a NaN or Inf."""
    from nshtrainer.config.io import read_document
    from nshtrainer.project.user_code import split_target
    from nshtrainer.runs.run_dir import AUTOMATIC, choose_folder
    from nshtrainer.runs.weights import check_weights

    # Obvious errors are reported before torch is imported.
    split_target(args.code)
    document = read_document(args.config)
    check_weights(args.weights, args.resume)
    is_search = args.resume in AUTOMATIC
    start = None if is_search else choose_folder(args.config, args.out, args.resume)

    from nshtrainer.console import say_lines
    from nshtrainer.exceptions import BadUpdateError
    from nshtrainer.integrations.lightning.run_manifest import code_of
    from nshtrainer.project.components import warn_of_conflicts
    from nshtrainer.project.run_file import read_run
    from nshtrainer.project.user_code import load_user_code
    from nshtrainer.runs.job import TrainingRun
    from nshtrainer.runs.loaded_run import Run

    warn_of_conflicts()
    code = load_user_code(args.code)
    start = start or choose_folder(args.config, args.out, args.resume, code_of(code.module))
    training = TrainingRun(
        Run(code, read_run(document, code, args.overrides), args.config),
        start.folder,
        start.checkpoint,
        how_to_resume=partial(_command_to_resume, args.argv),
        resumes_itself=args.resume == "auto",
        passed_over=start.passed_over,
        weights=args.weights,
    )
    try:
        return training.run()
    except BadUpdateError as error:
        say_lines(error, sys.stderr)
        return 1


def _command_to_resume(argv: Sequence[str], path: Path) -> str:
    from nshtrainer.cli.parser import without_resume

    is_module = sys.argv[0].endswith("__main__.py")
    program = ["python", "-m", "nshtrainer"] if is_module else ["nshtrainer"]
    return shlex.join([*program, *without_resume(argv), "--resume", str(path)])
