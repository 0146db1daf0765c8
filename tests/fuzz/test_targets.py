"""A short run of the fuzzer on each target, and what longer ones have found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
SEEDS = Path(__file__).with_name("corpus")
FILES = [file for name in TARGETS for file in sorted((SEEDS / name).iterdir())]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_an_input_of_the_corpus_is_read_or_refused(file: Path):
    TARGETS[file.parent.name](file.read_bytes())


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info < (3, 11), reason="atheris has no wheel here"
)
@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzer_finds_nothing_in_a_short_run(tmp_path: Path, name: str):
    run = [sys.executable, "-m", "tests.fuzz.run", name, "-runs=500", "-seed=1"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        run, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "DONE" in done.stderr
