"""A short run of `nshtrainer fit`, and the checks of a run after an attempt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from tests.cli.support import RUN, TRAIN
from tools.attack.frame import FailedError

from nshtrainer.cli import main

__all__ = ["STEPS", "check_run", "contents", "copy_run", "fit", "make_run", "refused_in_words"]

STEPS = 8


def make_run(folder: Path) -> None:
    """Train for one epoch of two, in `folder/o`."""
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    (folder / "run.yaml").write_text(RUN, encoding="utf-8")
    (folder / "mine").mkdir()
    (folder / "mine/notes.txt").write_text("mine", encoding="utf-8")
    code, said = fit("--out", "o", epochs=1)
    if code:
        raise FailedError(said)


def copy_run(shared: Path) -> None:
    """Copy the run into the current folder."""
    shutil.copytree(shared, Path.cwd(), dirs_exist_ok=True, symlinks=True)


def fit(*arguments: str, epochs: int = 2) -> tuple[int, str]:
    """Run `nshtrainer fit`, and return the exit code and all its output."""
    said = StringIO()
    overrides = ["lr_scheduler.max_duration=8 steps", f"trainer.max_epochs={epochs}"]
    with redirect_stdout(said), redirect_stderr(said):
        code = main(["fit", "train.py", "--config", "run.yaml", *arguments, *overrides])
    return code, said.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files in the current folder that no run writes."""
    return {str(path): path.read_bytes() for path in _own(folder)}


def _own(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if inside[0] not in {"o", "runs"} and "__pycache__" not in inside and path.is_file():
            yield path


def check_run(arguments: list[str]) -> None:
    """Resume a run after an attempt: it ends successfully, or refuses with a message."""
    before = contents(Path.cwd())
    code, said = fit(*arguments)
    if contents(Path.cwd()) != before:
        raise FailedError("files outside of the run have changed")
    if code:
        refused_in_words(code, said)
        return
    if "the run was already complete" in said:
        return
    found = torch.load("o/checkpoints/last.ckpt", weights_only=True)["global_step"]
    if found != STEPS:
        raise FailedError(f"ended with 0 at step {found}:\n{said}")


def refused_in_words(code: int, said: str) -> None:
    """Check the output of a refused run."""
    if code != 2 or "Traceback" in said or not said.strip():
        raise FailedError(f"exit code {code}:\n{said}")
