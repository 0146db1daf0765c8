"""`nshtrainer new` writes projects that run, pass their tests, and have a schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from nshtrainer.cli import main

Captured = pytest.CaptureFixture[str]

COMMANDS = {
    "plain": ["train.py", "num_epochs=1", "num_points=200"],
    "lightning": [
        *("-m", "nshtrainer", "fit", "train.py", "--config", "run.yaml"),
        *("trainer.max_epochs=1", "data.num_points=200", "trainer.accelerator=cpu"),
    ],
}


def python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["plain", pytest.param("lightning", marks=pytest.mark.slow)])
def test_a_new_project_trains_and_its_file_fits_its_schema(
    tmp_path: Path, kind: str, capsys: Captured
) -> None:
    folder = tmp_path / "project"
    assert main(["new", str(folder), f"--{kind}"]) == 0
    assert f"to train: cd {folder} && " in capsys.readouterr().out
    names = {path.name for path in folder.iterdir() if path.is_file()}
    files = {"train.py", "run.yaml", "run.schema.json", "test_train.py", "README.md", ".gitignore"}
    assert names == files
    text = (folder / "run.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=run.schema.json\n")
    schema = json.loads((folder / "run.schema.json").read_text(encoding="utf-8"))
    validator, run = Draft202012Validator(schema), YAML(typ="safe").load(text)
    validator.validate(run)
    own = run["model"] if kind == "lightning" else run
    own["hidden_size"] = "many"
    assert not validator.is_valid(run)
    assert "loss" in python(folder, *COMMANDS[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
def test_the_tests_of_a_new_project_pass(tmp_path: Path, kind: str) -> None:
    assert main(["new", str(tmp_path / "project"), f"--{kind}"]) == 0
    python(tmp_path / "project", "-m", "pytest", "-q", "-W", "error")


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert main(["new", str(tmp_path)]) == 2
    assert f"{tmp_path}: is not empty; choose another folder" in capsys.readouterr().err
    assert main(["new", str(tmp_path / "file")]) == 2
    assert "file: is a file; choose another folder" in capsys.readouterr().err
    assert main(["new", str(tmp_path / "file/project")]) == 2
    assert "cannot be created: Not a directory; choose another" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_kinds_are_refused(tmp_path: Path, capsys: Captured) -> None:
    assert main(["new", str(tmp_path), "--plain", "--lightning"]) == 2
    assert "new: got --plain and --lightning; choose one" in capsys.readouterr().err


def test_a_missing_package_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["new", str(tmp_path / "project"), "--transformers"]) == 2
    assert "run pip install 'nshtrainer[transformers]'" in capsys.readouterr().err
    assert not (tmp_path / "project").exists()
