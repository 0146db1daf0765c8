"""`nshtrainer new --transformers` writes a project that trains and whose tests pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nshtrainer.cli import main

pytest.importorskip("transformers")


def test_a_new_project_for_transformers_trains_and_passes_its_tests(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    assert main(["new", str(folder), "--transformers"]) == 0
    for arguments in (["train.py", "num_epochs=1"], ["-m", "pytest", "-q"]):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
