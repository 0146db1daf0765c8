"""Train a model from a config file.

Overrides such as model.optimizer.lr=3e-4 (or --model.optimizer.lr 3e-4) take precedence over the
file; `model.` is optional. Ctrl-C, SIGTERM and SLURM's SIGUSR1 save a checkpoint and print how to
resume; a second signal stops immediately.
"""

from __future__ import annotations

from argparse import Namespace
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


def run(args: Namespace) -> int:
    """Train; return 0, 128 plus the number of the signal that ended it, or 1 after a NaN or Inf."""
    from nshtrainer.config.io import read_document
    from nshtrainer.project.user_code import split_target
    from nshtrainer.runs.run_dir import AUTOMATIC, choose_folder

    # Obvious errors are reported before torch is imported.
    split_target(args.code)
    document = read_document(args.config)
    is_search = args.resume in AUTOMATIC
    start = None if is_search else choose_folder(args.config, args.out, args.resume)

    from nshtrainer.cli.parser import without_resume
    from nshtrainer.integrations.lightning.run_manifest import code_of
    from nshtrainer.project.components import warn_of_conflicts
    from nshtrainer.project.run_file import read_run
    from nshtrainer.project.user_code import load_user_code
    from nshtrainer.runs.job import TrainingRun

    warn_of_conflicts()
    code = load_user_code(args.code)
    start = start or choose_folder(args.config, args.out, args.resume, code_of(code.module))
    config = read_run(document, code, args.overrides)
    return TrainingRun(
        code,
        config,
        start.folder,
        start.checkpoint,
        argv=without_resume(args.argv),
        resumes_itself=args.resume == "auto",
        passed_over=start.passed_over,
    ).run()
