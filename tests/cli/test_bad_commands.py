"""The table of mistakes on the command line; a run's folder is taken where a file is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.support import without_names

from nshtrainer.cli import main
from nshtrainer.config.formats.yaml_reader import read_yaml

TABLE = read_yaml((Path(__file__).parent / "bad_commands.yaml").read_text()).data
FILES = {
    "top.yaml": "optimizer: adamw\nwidth: 3\nmax_epochs: 1\n",
    "part.yaml": "lr_scheduler: cosine\nmodel: {}\ntrainer: {max_epochs: 1}\n",
    "optimizer.yaml": "name: adamw\nlr: 1e-3\n",
    "none.yaml": "model: {lr_scheduler: None}\n",
}

Captured = pytest.CaptureFixture[str]


def code_of(*command: str) -> Any:
    try:
        return main(command)
    except SystemExit as error:
        return error.code


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["what"])
def test_a_mistake_on_the_command_line_says_what_the_table_says(
    case: dict[str, Any], home: Path, capsys: Captured
) -> None:
    for name, text in FILES.items():
        (home / name).write_text(text, encoding="utf-8")
    assert code_of(*shlex.split(case["text"])[1:]) in {1, 2}
    said = capsys.readouterr().err.splitlines()
    assert [without_names(line) for line in said[-len(case["says"]) :]] == case["says"]


def test_the_folder_of_a_run_is_taken_where_a_file_is(home: Path, capsys: Captured) -> None:
    run = home / "runs" / "line" / "20260131-142501"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_bytes((home / "run.yaml").read_bytes())
    folder = str(run.relative_to(home))
    assert code_of("diff", folder, "run.yaml") == 0
    assert code_of("diff", "run.yaml", folder, "--for", "train.py") == 0
    assert code_of("validate", folder) == 0
    assert code_of("plot", folder, "--total-steps", "12") == 0
    assert code_of("explain", "train.py", "--config", folder) == 0
    assert code_of("fit", "train.py", "--config", folder, "trainer.max_epochs=1") == 0
    assert len([*run.parent.iterdir()]) == 2
    assert f"{folder}/config.yaml: ok" in capsys.readouterr().out
