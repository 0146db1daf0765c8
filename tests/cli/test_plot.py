"""`nshtrainer plot`, through `main`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.cli.support import start

from nshtrainer.cli import main

Captured = pytest.CaptureFixture[str]

WSD = "name: warmup_stable_decay\nwarmup_duration: 1 epochs\n"


def numbers(path: str) -> dict[str, list[tuple[int, float]]]:
    """Step and value of what moves, from a CSV file."""
    found: dict[str, list[tuple[int, float]]] = {}
    with Path(path).open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["hyperparameter"], []).append(
                (int(row["step"]), float(row["value"]))
            )
    return found


def test_a_run_is_drawn_in_the_terminal_with_the_rate_of_its_optimizer(
    home: Path, capsys: Captured
) -> None:
    assert main(["plot", "run.yaml", "--steps-per-epoch", "4"]) == 0
    out = capsys.readouterr().out
    assert "learning rate\n" in out
    assert "0.1┤" in out
    assert out.endswith("run.yaml: warm-up 0 to 2, cosine 2 to 12, last update 0.00245\n")


@pytest.mark.parametrize("suffix", ["svg", "html", "png", "csv", "json"])
def test_the_suffix_of_the_file_is_its_format(home: Path, capsys: Captured, suffix: str) -> None:
    assert main(["plot", "run.yaml", "--total-steps", "12", "-o", f"x.{suffix}"]) == 0
    assert capsys.readouterr().out.startswith(f"written to x.{suffix}\nrun.yaml: warm-up 0 to 2,")
    content = Path(f"x.{suffix}").read_bytes()
    begin = {
        "svg": b"<svg",
        "html": b"<!DOCTYPE",
        "png": b"\x89PNG",
        "csv": b"config",
        "json": b"[",
    }
    assert content.startswith(begin[suffix])


def test_several_files_are_drawn_over_one_another(home: Path) -> None:
    Path("other.yaml").write_text("{optimizer: sgd, lr_scheduler: linear}", encoding="utf-8")
    Path("bare.yaml").write_text(WSD, encoding="utf-8")
    lengths = ["--total-steps", "1k", "--steps-per-epoch", "100"]
    assert main(["plot", "run.yaml", "other.yaml", "bare.yaml", *lengths, "-o", "x.svg"]) == 0
    written = [each.text for each in ET.parse("x.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"run.yaml", "other.yaml", "bare.yaml", "learning rate", "learning rate (factor)"} <= {
        *written
    }


def test_schedule_and_optimizer_are_found_whatever_their_names(home: Path) -> None:
    text = (
        "model: {nets: [{opt: {name: sgd, lr: 0.5}, how: {name: linear}}]}\ntrainer: {max_steps: 4}"
    )
    Path("x.yaml").write_text(text, encoding="utf-8")
    assert main(["plot", "x.yaml", "-o", "x.csv"]) == 0
    assert numbers("x.csv") == {"lr": [(0, 0.5), (1, 0.375), (2, 0.25), (3, 0.125)]}


def test_each_schedule_takes_the_optimizer_beside_it(home: Path) -> None:
    text = (
        "a: {opt: {name: sgd, lr: 1.0}, how: constant}\n"
        "b: {opt: {name: adamw, lr: 0.1}, how: {name: constant}}\n"
    ).replace("how: constant", "how: {name: constant}")
    Path("x.yaml").write_text(text, encoding="utf-8")
    assert main(["plot", "x.yaml", "--total-steps", "2", "-o", "x.json"]) == 0
    found = json.loads(Path("x.json").read_text(encoding="utf-8"))
    assert [each["series"][0]["values"] for each in found] == [[1.0, 1.0], [0.1, 0.1]]


def test_of_two_optimizers_beside_a_schedule_neither_is_guessed(
    home: Path, capsys: Captured
) -> None:
    text = "{one: {name: sgd}, other: {name: adamw}, how: {name: constant}}"
    Path("x.yaml").write_text(text, encoding="utf-8")
    assert main(["plot", "x.yaml", "--total-steps", "2"]) == 0
    assert capsys.readouterr().out.endswith("last update 1 of the base rate\n")
    assert main(["plot", "x.yaml", "--total-steps", "2", "--base-lr", "5e-3"]) == 0
    assert capsys.readouterr().out.endswith("last update 0.005\n")


def test_every_scheduled_hyperparameter_and_group_is_drawn(home: Path) -> None:
    text = """
optimizer: {name: adamw, lr: 0.1, weight_decay: 0.5, betas: [0.8, 0.99]}
lr_scheduler:
  name: schedules
  default: {lr: linear, weight_decay: {follows: lr}, momentum: constant}
  groups: {backbone: {lr: constant}}
"""
    Path("x.yaml").write_text(text, encoding="utf-8")
    assert main(["plot", "x.yaml", "--total-steps", "2", "-o", "x.csv"]) == 0
    assert numbers("x.csv") == {
        "backbone/lr": [(0, 0.1), (1, 0.1)],
        "backbone/weight_decay": [(0, 0.5), (1, 0.5)],
        "backbone/momentum": [(0, 0.8), (1, 0.8)],
        "lr": [(0, 0.1), (1, 0.05)],
        "weight_decay": [(0, 0.5), (1, 0.25)],
        "momentum": [(0, 0.8), (1, 0.8)],
    }


def test_an_override_wins_and_may_bring_the_schedule(home: Path, capsys: Captured) -> None:
    steps = ["--total-steps", "20"]
    assert main(["plot", "run.yaml", *steps, "lr_scheduler=linear", "--optimizer.lr", "2"]) == 0
    assert capsys.readouterr().out.endswith("run.yaml: linear 0 to 20, last update 0.1\n")
    Path("x.yaml").write_text("optimizer: sgd", encoding="utf-8")
    assert main(["plot", "x.yaml", *steps, "lr_scheduler.name=linear"]) == 0
    assert capsys.readouterr().out.endswith("x.yaml: linear 0 to 20, last update 5e-5\n")


@pytest.mark.parametrize("given", ["5400", "90min", "1.5h"])
def test_a_time_may_be_the_length(home: Path, capsys: Captured, given: str) -> None:
    Path("x.yaml").write_text("name: linear", encoding="utf-8")
    assert main(["plot", "x.yaml", "--total-time", given]) == 0
    out = capsys.readouterr().out
    assert "time in minutes" in out
    assert "x.yaml: linear 0 to 1.5 h, " in out


def test_the_time_of_the_trainer_is_the_length_where_there_is_no_other(
    home: Path, capsys: Captured
) -> None:
    text = "model: {how: {name: linear}}\ntrainer: {max_time: '01:00:00:00'}"
    Path("x.yaml").write_text(text, encoding="utf-8")
    assert main(["plot", "x.yaml"]) == 0
    assert "x.yaml: linear 0 to 1 d, " in capsys.readouterr().out


def test_samples_and_tokens_have_their_options(home: Path, capsys: Captured) -> None:
    Path("x.yaml").write_text("{name: linear, max_duration: 1M tokens}", encoding="utf-8")
    assert main(["plot", "x.yaml", "--tokens-per-step", "1k"]) == 0
    assert "x.yaml: linear 0 to 1,000, then 0 of the base rate" in capsys.readouterr().out


def test_the_users_own_defaults_and_schedules_are_known_with_the_code(
    home: Path, capsys: Captured
) -> None:
    Path("x.yaml").write_text("model: {lr_scheduler: linear}", encoding="utf-8")
    assert main(["plot", "x.yaml", "--for", "train.py", "--total-steps", "10"]) == 0
    assert capsys.readouterr().out.endswith("x.yaml: linear 0 to 10, last update 1e-4\n")


def test_a_terminal_that_knows_only_ascii_gets_ascii(home: Path) -> None:
    run = start("plot", "run.yaml", "--total-steps", "12", PYTHONIOENCODING="ascii")
    assert (run.returncode, run.stderr) == (0, "")
    assert "  0.1+" in run.stdout


NOTE = "(for custom components, add --for train.py)\n"
REFUSED = [
    (
        ["run.yaml"],
        "run.yaml:5:5: model.lr_scheduler: max_duration: 100% of the run cannot become steps",
    ),
    (["run.yaml"], "; give --total-steps or --steps-per-epoch, give the duration"),
    (["bare.yaml", "--total-steps", "9"], "bare.yaml:1:1: warmup_duration: 1 epochs cannot become"),
    (
        ["bare.yaml", "--total-steps", "9"],
        "; give --steps-per-epoch, or give the duration in",
    ),
    (["run.yaml", "lr_scheduler=constant"], "constant has no end of its own, and the length of"),
    (
        ["run.yaml", "--total-steps", "9", "lr_scheduler.warmup_duration=1M samples"],
        "give --samples-per-step, or",
    ),
    (
        ["run.yaml", "--total-steps", "1"],
        "warmup_duration is 2 steps (2 steps), longer than max_duration, which is 1 steps (100%)",
    ),
    (["no.yaml"], "no.yaml: no such file; the current folder is "),
    (["train.py"], "train.py: is Python code; give the config, a .yaml, .yml, .json or "),
    (["none.yaml"], "none.yaml: has no schedule, so there is nothing to draw; add one"),
    (
        ["run.yaml", "lr_scheduler=reduce_lr_on_plateau"],
        "reduce_lr_on_plateau: by the epoch; what it does is known only as it runs; there is ",
    ),
    (["run.yaml", "-o", "x.gif"], "--out x.gif: unsupported suffix; use one of .svg, .html"),
    (["run.yaml", "--total-steps", "12", "-o", "no/x.svg"], "no/x.svg: cannot be written: no such"),
    (["run.yaml", "lr_schedulr.min_factor=1"], "unknown key 'lr_schedulr'; did you mean 'lr_sched"),
    (["run.yaml", "optimizer.lrr=1"], "model.optimizer.lrr: unknown key 'lrr'; did you mean 'lr'?"),
    (["bare.yaml", "warmup=1"], "warmup=1: warmup: unknown key 'warmup'"),
    (["number.yaml", "a=1"], "a=1: unknown key 'a' (known: optimizer, 1, lr_scheduler)"),
    (
        ["bare.yaml", "--total-steps", "9", "--total-time", "2h"],
        "bare.yaml:1:1: the run has total_steps and total_time; give one of them\n",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_makes_no_sense_is_refused_with_its_place(
    home: Path, capsys: Captured, arguments: list[str], message: str
) -> None:
    Path("bare.yaml").write_text(WSD, encoding="utf-8")
    Path("none.yaml").write_text("optimizer: sgd", encoding="utf-8")
    Path("number.yaml").write_text("{optimizer: sgd, 1: 2}", encoding="utf-8")
    assert main(["plot", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert len(captured.err.removesuffix(NOTE).splitlines()) == 1


USAGE = [
    ([], "missing FILE; write nshtrainer plot FILE"),
    (["run.yaml", "--total-steps", "1.5"], "'1.5' is not a whole number; give a whole number"),
    (
        ["run.yaml", "--total-steps", "many"],
        "'many' is not a number; use a number such as 1000",
    ),
    (["run.yaml", "--base-lr", "1.2.3"], "'1.2.3' is not a number"),
    (["run.yaml", "--total-time", "2 moons"], "'2 moons' is not a time; use a time such as 90min"),
    (["run.yaml", "--total-stps", "9"], "unknown option --total-stps; did you mean --total-steps?"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_an_option_that_makes_no_sense_is_a_usage_error(
    home: Path, capsys: Captured, arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["plot", *arguments])
    assert message in " ".join(capsys.readouterr().err.split())
