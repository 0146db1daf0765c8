"""The Hydra example from the command line, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "13_hydra.py"


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "HYDRA_FULL_ERROR": "1"},
    )


@pytest.mark.slow
def test_overrides_of_hydra_choose_another_file_and_another_rate(tmp_path: Path) -> None:
    run = start(tmp_path, "optimizer=sgd", "base_lr=0.05", "hydra.run.dir=out")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[0] == "sgd, lr 0.05, momentum 0.9"
    assert [path.name for path in tmp_path.iterdir()] in ([], ["out"])


@pytest.mark.slow
def test_files_of_another_folder_are_checked_as_well(tmp_path: Path) -> None:
    text = "optimizer: {name: admw}\nlr_scheduler: cosine\nsteps: 1\nbase_lr: 1.0\n"
    (tmp_path / "mine.yaml").write_text(text)
    where = f"--config-path={tmp_path}"
    run = start(tmp_path, where, "--config-name=mine", "hydra.run.dir=out")
    assert run.returncode == 1
    assert "unknown optimizer 'admw'; did you mean 'adamw'?" in run.stderr


@pytest.mark.slow
def test_a_value_that_is_missing_is_named(tmp_path: Path) -> None:
    run = start(tmp_path, "optimizer.lr=???", "hydra.run.dir=out")
    assert run.returncode == 1
    assert "optimizer.lr: is missing ('???'); give it a value" in run.stderr
