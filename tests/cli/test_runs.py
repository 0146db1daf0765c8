"""`nshtrainer runs`: runs below a folder, and the comparison of two."""

from __future__ import annotations

import json
import os
from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from nshtrainer.cli import main
from nshtrainer.config.file_lock import hold
from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    CSVLoggerConfig,
    EarlyStoppingCallbackConfig,
    MLFlowLoggerConfig,
    TrainerConfig,
)
from nshtrainer.manifest import GitState, RunRecord, Stretch

Captured = pytest.CaptureFixture[str]

CONFIG: dict[str, Any] = {
    "model": {
        "width": 2,
        "optimizer": AdamWConfig(lr=0.1).to_dict(),
        "lr_scheduler": CosineScheduleConfig().to_dict(),
    },
    "trainer": {"max_epochs": 2},
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(**changes: Any) -> dict[str, Any]:
    """The config with some values, such as `model__optimizer__lr=1`."""
    found = deepcopy(CONFIG)
    for path, value in changes.items():
        *keys, last = path.split("__")
        part = found
        for key in keys:
            part = part[key]
        part[last] = value
    return found


def record(folder: str, data: dict[str, Any], outcome: Any = None, **facts: Any) -> Path:
    """A run's folder with a manifest alone."""
    path = Path(folder)
    path.mkdir(parents=True)
    made = RunRecord(path)
    made.begin(Stretch.now(**{"code": "train.py:Line", **facts}), data)
    if outcome is not None:
        error = "ValueError: no" if outcome == "failed" else None
        best, metrics = {"val/loss": 0.25}, {"val/loss": 0.5, "train/loss": None}
        made.end(outcome, error, steps=1200, metrics=metrics, best=best)
    return path


def listed(*arguments: str) -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("builtins.print", lambda text, file=None, **_: file or said.append(text))
        assert main(["runs", *arguments, "--json"]) == 0
    return json.loads("".join(said))


def test_runs_are_listed_with_their_outcome_and_what_differs(capsys: Captured) -> None:
    record("runs/a/1", config(), "completed")
    record("runs/a/2", config(model__optimizer__lr=0.2), "failed")
    record("runs/b/deep/3", config(trainer__max_epochs=3), "interrupted")
    record("runs/b/deep/3/4", config(), "completed")  # within a run there is none
    record("runs/.hidden/5", config(), "completed")
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.strip().startswith(("a/", "b/"))]
    assert [row[0] for row in rows] == ["a/1", "a/2", "b/deep/3"]
    assert [row[-2:] for row in rows] == [
        ["optimizer.lr=0.1,", "trainer.max_epochs=2"],
        ["optimizer.lr=0.2,", "trainer.max_epochs=2"],
        ["optimizer.lr=0.1,", "trainer.max_epochs=3"],
    ]
    assert "completed" in lines[3]
    assert "failed (ValueError)   1,200   val/loss 0.25" in lines[4]
    assert "interrupted" in lines[5]
    found = listed("runs")
    assert [each["path"] for each in found] == ["runs/a/1", "runs/a/2", "runs/b/deep/3"]
    assert found[1]["differs"] == {"optimizer.lr": 0.2, "trainer.max_epochs": 2}
    assert found[1]["error"] == "ValueError: no"
    assert [each["path"] for each in listed("runs/a/2")] == ["runs/a/2"]


def test_a_narrow_terminal_has_lines_instead_of_a_table(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("runs/1", config(), "completed")
    record("runs/2", config(model__optimizer__lr=0.2), "failed")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["runs"]) == 0
    said = capsys.readouterr().out
    assert "1  completed\n" in said
    assert "  1,200 steps  val/loss 0.25\n  optimizer.lr=0.2\n" in said


def test_of_another_component_the_name_is_listed() -> None:
    record("runs/1", config())
    record("runs/2", config(model__optimizer={"name": "sgd", "lr": 1.0, "momentum": 0.9}))
    record("runs/3", config(model__width=4), code="other.py:Model")
    one, two, three = (each["differs"] for each in listed())
    assert one == {"optimizer.name": "adamw"}
    assert two == {"optimizer.name": "sgd"}
    assert three == {}  # another module has its own differences


def test_a_duration_is_one_value() -> None:
    for number, (name, value) in enumerate([("steps", 5), ("fraction", 0.5)]):
        schedule = {"name": "cosine", "warmup_duration": {"name": name, "value": value}}
        record(f"runs/{number}", config(model__lr_scheduler=schedule))
    assert [each["differs"] for each in listed()] == [
        {"lr_scheduler.warmup_duration": "5 steps"},
        {"lr_scheduler.warmup_duration": "0.5 fraction"},
    ]


def test_a_run_whose_process_is_gone_was_killed() -> None:
    path = record("runs/1", config())
    assert listed()[0]["outcome"] == "killed"
    (path / ".lock").touch()
    assert listed()[0]["outcome"] == "killed"
    with hold(path / ".lock", "this process"):
        assert listed()[0]["outcome"] == "running"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nshtrainer.runs.listing.is_held", lambda _: None)  # no locks here
        assert listed()[0]["outcome"] == "running"


def test_old_and_damaged_runs_are_listed_and_other_programs_are_not(capsys: Captured) -> None:
    for name in ("old", "damaged"):
        Path("runs", name, "checkpoints").mkdir(parents=True)
        Path("runs", name, "config.yaml").write_text("model: {width: 3}\n", encoding="utf-8")
    Path("runs/damaged/manifest.json").write_text("{", encoding="utf-8")
    Path("runs/app").mkdir()
    Path("runs/app/manifest.json").write_text('{"name": "app"}', encoding="utf-8")
    record("runs/a\x1b[2J", config(), "completed")
    assert main(["runs"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("runs/damaged/manifest.json: is damaged: ")
    assert said.out.count("unknown") == 2
    assert "\x1b[2J" not in said.out
    assert {each["path"]: each["outcome"] for each in listed()} == {
        "runs/a\x1b[2J": "completed",
        "runs/damaged": "unknown",
        "runs/old": "unknown",
    }
    assert main(["runs", "runs/old", "runs/a\x1b[2J"]) == 0
    assert "model.width: 3 -> 2\n" in capsys.readouterr().out


def test_without_runs_that_is_said(capsys: Captured) -> None:
    assert main(["runs", "runs"]) == 2
    assert capsys.readouterr().err.startswith("runs: is not a folder; give ")
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == "no runs yet; train with nshtrainer fit\n"
    assert listed() == []
    Path("runs").mkdir()
    assert main(["runs", "runs"]) == 0
    assert capsys.readouterr().out == "no runs in runs\n"
    assert listed("runs") == listed() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "b", "c"], "runs: got 3 folders; give one to list runs, or two runs to compare"),
        (["a", "none"], "none: is not the folder of a run: it has neither manifest.json nor"),
        (["a", "-o", "x.svg"], "--out x.svg: give two runs, and a suffix among .svg, .html"),
        (["a", "a", "-o", "x.gif"], "--out x.gif: give two runs, and a suffix among .svg"),
        (["a", "a", "-o", "x.svg"], "a, a: have neither metrics.csv nor schedule.csv to plot"),
    ],
)
def test_what_cannot_be_shown_is_an_error(
    capsys: Captured, arguments: list[str], said: str
) -> None:
    record("a", config(), "completed")
    assert main(["runs", *arguments]) == 2
    assert capsys.readouterr().err.startswith(said)


# -- compare ---------------------------------------------------------------------------------------


def test_two_runs_are_compared_by_what_their_configs_mean(capsys: Captured) -> None:
    schedule = {"name": "cosine", "max_duration": {"name": "fraction", "value": 1.0}}
    lengths = {"steps_per_epoch": 10}
    git = GitState(commit="0123456789abcdef", is_dirty=True)
    record("a", config(model__lr_scheduler=schedule), "completed", lengths=lengths, git=git)
    changes: dict[str, Any] = {
        "model__optimizer__lr": 0.2,
        "model__optimizer__foreach": True,  # no other result
        "model__lr_scheduler": {**schedule, "max_duration": {"name": "steps", "value": 20}},
        "model__width": 4,
    }
    record("b", config(**changes), "failed", lengths=lengths, versions_of="b")
    assert main(["runs", "a", "b"]) == 0
    said = capsys.readouterr().out
    # 100% of two epochs of ten steps are 20 steps, and foreach changes no result.
    assert said.startswith("model.optimizer.lr: 0.1 -> 0.2\nmodel.width: 2 -> 4\n ")
    rows = dict(line.strip().split("  ", 1) for line in said.splitlines() if "  " in line.strip())
    assert rows["outcome"].split() == ["completed", "failed", "(ValueError)"]
    assert rows["commit"].strip() == "0123456789ab with changes"
    assert rows["best val/loss"].split() == ["0.25", "0.25"]
    assert "NaN or Inf" in rows["last train/loss"]
    assert main(["runs", "a", "b", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [each["outcome"] for each in data["runs"]] == ["completed", "failed"]
    assert {"where": "model.width", "first": "2", "second": "4"} in data["config"]


def test_a_schedule_that_a_resume_has_kept_is_compared_as_it_was(capsys: Captured) -> None:
    for name, epochs in (("a", 2), ("b", 3)):
        lengths = {"steps_per_epoch": 10, "schedule_steps": 20}
        record(name, config(trainer__max_epochs=epochs), "completed", lengths=lengths)
    assert main(["runs", "a", "b"]) == 0
    assert capsys.readouterr().out.startswith("trainer.max_epochs: 2 -> 3\n ")


def test_a_schedule_in_runs_of_unknown_lengths_is_compared_by_its_fields(
    capsys: Captured,
) -> None:
    for name, steps in (("a", 10), ("b", 20)):
        schedule = {"name": "cosine", "warmup_duration": {"name": "steps", "value": steps}}
        record(name, config(model__lr_scheduler=schedule), "completed")
    assert main(["runs", "a", "b"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("model.lr_scheduler.warmup_duration.value: 10 -> 20\n ")


def test_runs_of_unknown_components_are_compared_field_by_field(capsys: Captured) -> None:
    for name, pace in (("a", 1), ("b", 2)):
        record(name, config(model__optimizer={"name": "my_own", "pace": pace}), "completed")
    assert main(["runs", "a", "b"]) == 0
    assert capsys.readouterr().out.startswith("model.optimizer.pace: 1 -> 2\n")
    assert main(["runs", "a", "a"]) == 0
    assert capsys.readouterr().out.startswith("no difference in the configs\n")


def test_loggers_and_callbacks_of_one_run_only_are_told_without_their_defaults(
    capsys: Captured,
) -> None:
    csv, stop = CSVLoggerConfig(prefix="a"), EarlyStoppingCallbackConfig(patience=3)
    named = [{"name": "mine", "pace": 1}, {"name": "mine", "pace": 2}]
    first = TrainerConfig(max_epochs=2, logger=csv, callbacks=(stop,)).to_dict()
    loggers = (csv.replace(prefix="b"), MLFlowLoggerConfig(run_name="r"))
    second = TrainerConfig(max_epochs=2, logger=loggers, callbacks=()).to_dict()
    record("a", config(trainer=first), "completed")
    record("b", config(trainer=second), "completed")
    record("c", config(trainer={**first, "logger": True, "callbacks": named}), "completed")
    assert main(["runs", "a", "b"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if " -> " in line] == [
        "trainer.logger: csv -> csv, mlflow",
        "trainer.logger.csv.prefix: a -> b",
        "trainer.callbacks: early_stopping -> nothing",
        "trainer.logger.mlflow.run_name: nothing -> r",
    ]
    assert main(["runs", "b", "c"]) == 0
    said = capsys.readouterr().out
    assert "trainer.logger: csv, mlflow -> True\n" in said
    assert "trainer.callbacks: nothing -> mine, mine 2\n" in said
    assert "trainer.callbacks.mine 2.pace: nothing -> 2\n" in said


SVG = "{http://www.w3.org/2000/svg}"
METRICS = """\
epoch,schedule/lr/used,step,train/loss,val/loss,phase,norm/default
0,0.1,0,-2.0,,warm,1
0,0.1,4,nan,1.5,,2
1,0.1,9,0.5,0.25,,3
1,0.1,x,0.5
"""


def tables(name: str) -> None:
    record(name, config(), "completed")
    Path(name, "metrics.csv").write_text(METRICS, encoding="utf-8")
    rows = "".join(f"{step},lr,0.1,{step / 50}\n" for step in range(5000))
    text = f"step,hyperparameter,planned,used\n{rows}"
    Path(name, "schedule.csv").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("suffix", ["svg", "html", "csv", "json", "png"])
def test_curves_and_metrics_are_overlaid(capsys: Captured, suffix: str) -> None:
    if suffix == "png":
        pytest.importorskip("resvg_py")
    for name in ("one/run", "two/run"):
        tables(name)
    out = Path(f"both.{suffix}")
    assert main(["runs", "one/run", "two/run", "-o", str(out)]) == 0
    assert f"written to {out}\n" in capsys.readouterr().out
    if suffix == "svg":
        text = "".join(ET.parse(out).getroot().itertext())
        for part in ("learning rate", "train/loss", "val/loss", "norm/default", "-2", "5,000"):
            assert part in text
        legend = [each.text for each in ET.parse(out).iter(f"{SVG}text")]
        assert legend.count("one/run") == legend.count("two/run") == 1
        drawn = {each.get("class") for each in ET.parse(out).iter(f"{SVG}polyline")}
        assert drawn == {"line s0", "line s1"}  # a style for each run
    if suffix == "json":
        data = json.loads(out.read_text(encoding="utf-8"))
        found = {each["series"][0]["hyperparameter"]: each["steps"] for each in data}
        assert found.keys() == {"lr", "train/loss", "val/loss", "norm/default"}
        assert (found["train/loss"], found["val/loss"]) == ([0, 9], [4, 9])
        assert len(found["lr"]) < 2002
        assert (found["lr"][0], found["lr"][-1]) == (0, 4999)


def test_tables_that_cannot_be_read_are_left_out(capsys: Captured) -> None:
    tables("a")
    record("b", config(), "completed")
    Path("b/metrics.csv").mkdir()
    Path("b/schedule.csv").write_bytes(b"\0\xff\n" + os.urandom(9).replace(b"\n", b""))
    assert main(["runs", "a", "b", "-o", "x.json"]) == 0
    labels = {each["config"] for each in json.loads(Path("x.json").read_text(encoding="utf-8"))}
    assert labels == {"a"}
