"""The manifest of a run's folder: written, read, and set aside if it is damaged."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nshtrainer.config.file_lock import hold, is_held
from nshtrainer.exceptions import ConfigError
from nshtrainer.manifest import (
    NAME,
    GitState,
    Manifest,
    RunRecord,
    Stretch,
    config_hash,
    git_state,
    lock_owner,
    relative_path,
)


def content(folder: Path) -> dict[str, Any]:
    return json.loads((folder / NAME).read_text(encoding="utf-8"))


def test_a_stretch_is_there_from_its_start_to_its_end(tmp_path: Path) -> None:
    record = RunRecord(tmp_path)
    record.begin(Stretch.now(code="train.py:Model", seed=3), {"lr": 0.1})
    (first,) = content(tmp_path)["stretches"]
    assert (first["outcome"], first["ended"], first["process"]) == ("running", None, os.getpid())
    assert {"python", "nshtrainer", "pydantic"} <= first["versions"].keys()
    record.update(steps=4, metrics={"val/loss": None})
    record.end("failed", "ValueError: no")
    manifest = Manifest.read(tmp_path)
    assert manifest is not None
    assert (manifest.last.outcome, manifest.last.error, manifest.last.steps) == (
        "failed",
        "ValueError: no",
        4,
    )
    assert manifest.last.ended is not None
    assert manifest.last.ended >= manifest.last.started
    assert manifest.config == {"lr": 0.1}


def test_each_stretch_keeps_its_config(tmp_path: Path) -> None:
    for rate in (0.1, 0.2, 0.2):
        record = RunRecord(tmp_path)
        record.begin(Stretch.now(), {"lr": 9.0})
        record.update({"lr": rate})  # what the checkpoint made of it
        record.end("completed")
    manifest = Manifest.read(tmp_path)
    assert manifest is not None
    assert [manifest.configs[each.config]["lr"] for each in manifest.stretches] == [0.1, 0.2, 0.2]
    assert len(manifest.configs) == 2
    assert all(config_hash(config) == key for key, config in manifest.configs.items())


def test_fields_of_a_later_release_are_kept(tmp_path: Path) -> None:
    RunRecord(tmp_path).begin(Stretch.now(), {})
    later = content(tmp_path)
    later["stretches"][0]["energy"] = later["label"] = "new"
    (tmp_path / NAME).write_text(json.dumps(later), encoding="utf-8")
    RunRecord(tmp_path).begin(Stretch.now(), {})
    again = content(tmp_path)
    assert (again["stretches"][0]["energy"], again["label"]) == ("new", "new")


DAMAGED = {
    b"": "is damaged: ",
    b"\0\0\0": "contains a NUL",
    b"\xff": "is not UTF-8",
    b'{"a": 1': "is damaged: ",
    b"[" * 100_000: "is damaged: ",
    b"{}": "is no manifest of a run: stretches: ",
    b'{"stretches": []}': "has no stretches",
    b'{"stretches": [{"started": "now"}]}': "is no manifest of a run: stretches.0.started: ",
    b'{"stretches": [{"started": "2026-01-01T00:00:00"}]}': "is no manifest of a run",
    b'{"version": 2, "stretches": []}': "is no manifest of a run: version: ",
}


@pytest.mark.parametrize("damage", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_manifest_is_named_and_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes
) -> None:
    (tmp_path / NAME).write_bytes(damage)
    with pytest.raises(ConfigError) as caught:
        Manifest.read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / NAME}: ")
    assert DAMAGED[damage] in str(caught.value) or b"\0" in damage
    RunRecord(tmp_path).begin(Stretch.now(), {})
    assert "; it is renamed to manifest.json.old\n" in capsys.readouterr().out
    assert (tmp_path / f"{NAME}.old").read_bytes() == damage
    assert len(content(tmp_path)["stretches"]) == 1


def test_a_folder_in_its_place_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    RunRecord(tmp_path).begin(Stretch.now(), {})
    assert (tmp_path / f"{NAME}.old").is_dir()
    assert Manifest.read(tmp_path)


def test_a_folder_without_a_manifest_has_none(tmp_path: Path) -> None:
    assert Manifest.read(tmp_path) is None
    assert Manifest.read(tmp_path / "none") is None


# -- facts -----------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> None:
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *own, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_the_commit_is_recorded_and_whether_the_code_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "train.py"
    code.write_text("a", encoding="utf-8")
    git(tmp_path, "init")
    assert git_state(code) is None  # no commit
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    state = git_state(code)
    assert state is not None
    assert (len(state.commit), state.is_dirty) == (40, False)
    (tmp_path / "new.py").touch()
    assert git_state(code) == state
    dirty = GitState(commit=state.commit, is_dirty=True)
    assert git_state(tmp_path / "new.py") == dirty  # in no commit
    monkeypatch.chdir(tmp_path)
    assert git_state(None) == state
    code.write_text("b", encoding="utf-8")
    assert git_state(code) == git_state(None) == dirty


def test_without_a_repository_or_git_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path / "train.py") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path / "train.py") is None


def test_a_path_is_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to("one")
    monkeypatch.chdir(tmp_path / "one")
    assert relative_path(Path("run.yaml")) == "run.yaml"
    assert relative_path(tmp_path / "link" / "run.yaml") == "run.yaml"
    assert relative_path(tmp_path / "two" / "run.yaml") == "../two/run.yaml"


# -- the lock --------------------------------------------------------------------------------------


def test_a_held_lock_is_told_from_one_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".lock"
    assert is_held(path) is False
    with hold(path, lock_owner()):
        assert is_held(path) is True
    path.touch()
    assert is_held(path) is False

    def no_locks(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    assert is_held(path) is None


def test_a_glance_at_a_lock_does_not_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".lock"
    glance = hold(path, "a glance")
    glance.__enter__()
    # The glance ends while the other one waits.
    monkeypatch.setattr("time.sleep", lambda _: glance.__exit__(None, None, None))
    with hold(path, "the run"):
        assert path.read_text(encoding="utf-8") == "the run"
