"""Tests: pytest."""

from __future__ import annotations

from pathlib import Path

from nshtrainer.cli import main

FOLDER = Path(__file__).parent
RUN = [str(FOLDER / "train.py"), "--config", str(FOLDER / "run.yaml")]


def test_the_config_file_is_valid() -> None:
    assert main(["validate", "--for", RUN[0], RUN[2]]) == 0


def test_a_short_run_ends_with_a_checkpoint(tmp_path: Path) -> None:
    shorter = ["trainer.max_epochs=1", "trainer.accelerator=cpu", "data.num_points=500"]
    assert main(["fit", *RUN, *shorter, "--out", str(tmp_path / "run")]) == 0
    assert list(tmp_path.glob("run/checkpoints/*.ckpt"))
