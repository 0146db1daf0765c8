"""Write a small project that trains at once, and in which editors complete."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser

HELP = "write a small project to start from"

_TEMPLATES = Path(__file__).parents[1] / "templates"
_GITIGNORE = _TEMPLATES / "gitignore"
_FIT = "nshtrainer fit train.py --config run.yaml"
_KINDS = {
    # Kind: help, code whose config the run file is, command that trains.
    "lightning": ("train with Lightning, by nshtrainer fit (the default)", "train.py", _FIT),
    "plain": ("train in a loop of plain PyTorch", "train.py:TrainConfig", "python train.py"),
    "transformers": ("train with transformers", "train.py:TrainConfig", "python train.py"),
}


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="new or empty folder")
    for kind, (text, _, _) in _KINDS.items():
        parser.add_argument(f"--{kind}", dest="kinds", action="append_const", const=kind, help=text)


def run(args: Namespace) -> int:
    """Write the files of the template, and the JSON Schema that run.yaml names.

    Raises:
        ConfigError: The folder is not empty or cannot be written, or a package is missing.
    """
    from nshtrainer.config.document import fail
    from nshtrainer.config.files import write_file
    from nshtrainer.console import say
    from nshtrainer.project.run_schema import run_schema_text

    folder: Path = args.folder
    kind, *others = args.kinds or ["lightning"]
    if others:
        fail("new", f"got --{kind} and --{others[0]}; choose one")
    _check_package(kind)
    _make_empty(folder)
    _, code, command = _KINDS[kind]
    files = {path.name: path for path in (_TEMPLATES / kind).glob("*.*")}
    for name, path in {**files, ".gitignore": _GITIGNORE}.items():
        write_file(folder / name, path.read_bytes())
    write_file(folder / "run.schema.json", run_schema_text(str(folder / code)))
    say(f"wrote {folder}: {', '.join(sorted([*files, 'run.schema.json']))}")
    say(f"to train: cd {quote(str(folder))} && {command}")
    return 0


def _check_package(kind: str) -> None:
    from importlib.util import find_spec

    from nshtrainer.config.document import fail

    if kind == "transformers" and find_spec("transformers") is None:
        fail("transformers", "is not installed; run pip install 'nshtrainer[transformers]'")


def _make_empty(folder: Path) -> None:
    """Make a folder, unless there is an empty one."""
    from nshtrainer.config.document import fail
    from nshtrainer.config.files import kind_of

    if kind_of(folder) not in (None, "folder"):
        fail(str(folder), "is a file; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        fail(str(folder), f"cannot be created: {error.strerror}; choose another folder", error)
    if used:
        fail(str(folder), "is not empty; choose another folder")
