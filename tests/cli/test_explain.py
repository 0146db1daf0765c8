"""`nshtrainer explain`, through `main`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nshtrainer.cli import main

EXPLAIN = ["explain", "train.py", "--config", "run.yaml"]
KNOWN = ["--total-steps", "12"]
RULES = (
    "optimizer.groups=[{name: matrices, select: {ndim: 2}, lr_mult: 2}, "
    "{name: vectors, select: '*bias', freeze: true}, "
    "{name: rest, select: ['*', {role: norm}], required: false}]"
)

Captured = pytest.CaptureFixture[str]


def data(capsys: Captured, *arguments: str) -> dict[str, Any]:
    """What the verb prints as JSON."""
    assert main([*EXPLAIN, *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_groups_are_those_of_the_file_and_its_overrides(home: Path, capsys: Captured) -> None:
    found = data(capsys, *KNOWN, RULES)
    (row,) = found["groups"]
    assert (row["name"], row["lr"], row["names"]) == ("matrices", 0.2, ["layer.weight"])
    assert row["schedule"].startswith("warm-up 0 to 2, cosine 2 to 12, last update ")
    assert found["frozen"] == {"tensors": 1, "parameters": 1, "names": ["layer.bias"]}
    assert found["total_steps"] == 12


def test_nothing_is_written_and_no_data_is_read(home: Path, capsys: Captured) -> None:
    code = home / "train.py"
    text = code.read_text(encoding="utf-8").replace("self.num_batches = num_batches", "1 / 0")
    code.write_text(text, encoding="utf-8")
    before = {path for path in home.rglob("*") if "__pycache__" not in path.parts}
    assert main([*EXPLAIN, *KNOWN]) == 0
    assert "steps      12\n" in capsys.readouterr().out
    assert {path for path in home.rglob("*") if "__pycache__" not in path.parts} == before


def test_without_a_length_the_rest_is_said_and_what_is_missing(
    home: Path, capsys: Captured
) -> None:
    found = data(capsys)
    assert [row["optimizer"] for row in found["groups"]] == ["AdamW"]
    assert (found["schedules"], found["total_steps"]) == ([], None)
    (text,) = found["missing"]
    assert "max_duration: 100% of the run" in text
    assert text.endswith("give --total-steps or --steps-per-epoch, or trainer.max_steps")


def test_a_schedule_that_needs_no_length_is_told_without_one(home: Path, capsys: Captured) -> None:
    found = data(capsys, "lr_scheduler=constant")
    assert found["missing"] == []
    assert len(found["schedules"]) == 1


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        (["--steps-per-epoch", "4"], 12),
        (["--steps-per-epoch", "4", "trainer.accumulate_grad_batches=2"], 12),
        (["--total-steps", "1k"], 1000),
        (["trainer.max_steps=7", "trainer.max_epochs=null"], 7),
        (["--steps-per-epoch", "4", "trainer.max_steps=7"], 7),
        (["--steps-per-epoch", "4", "trainer.val_check_interval=50"], 12),
    ],
)
def test_the_length_comes_from_the_options_and_the_trainer(
    home: Path, capsys: Captured, arguments: list[str], steps: int
) -> None:
    assert data(capsys, *arguments)["total_steps"] == steps


def test_rates_that_follow_the_batch_take_it_from_the_options(home: Path, capsys: Captured) -> None:
    scaling = "optimizer.lr_scaling={base_batch_size: 8, rule: linear}"
    found = data(capsys, *KNOWN, "--samples-per-step", "16", scaling)
    assert found["groups"][0]["lr"] == pytest.approx(0.2)
    found = data(capsys, *KNOWN, scaling)
    assert (found["groups"][0]["lr"], len(found["schedules"])) == (0.1, 1)
    (text,) = found["missing"]
    assert text.endswith("assume 8 samples per update; give --samples-per-step")


def test_a_module_with_its_own_configure_optimizers_is_asked(home: Path, capsys: Captured) -> None:
    with (home / "train.py").open("a", encoding="utf-8") as file:
        file.write("\n    def nothing(self): ...\n")
        file.write("\nclass Own(Line):\n    def configure_optimizers(self):\n")
        file.write("        return torch.optim.SGD(self.parameters(), lr=0.5)\n")
    assert main(["explain", "train.py:Own", "--config", "run.yaml", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["groups"]
    assert (row["optimizer"], row["lr"]) == ("SGD", 0.5)


def test_the_precision_of_the_run_counts_for_the_state(home: Path, capsys: Captured) -> None:
    sizes = [
        data(capsys, *KNOWN, f"trainer.precision={precision}")["groups"][0]["state_bytes"]
        for precision in ("16-mixed", "bf16-true")
    ]
    assert sizes == [32, 20]


@pytest.mark.parametrize("accelerator", ["gpu", "cpu"])
def test_the_implementation_is_that_of_where_the_run_is_trained(
    home: Path, capsys: Captured, accelerator: str
) -> None:
    given = ["optimizer=nadam", "lr_scheduler=null", f"trainer.accelerator={accelerator}"]
    (row,) = data(capsys, *given)["groups"]
    assert row["implementation"] == {"gpu": "foreach", "cpu": "plain"}[accelerator]


# -- one parameter ---------------------------------------------------------------------------------


def test_each_rule_says_why_it_takes_a_parameter_or_does_not(home: Path, capsys: Captured) -> None:
    assert main([*EXPLAIN, *KNOWN, RULES, "--parameter", "layer.bias"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "layer.bias",
        "1, in Linear, role bias, head, frozen",
        "in no parameter group: no optimizer updates it",
        "skipped  optimizer: group 'matrices': {ndim: 2}",
        "its ndim is 1, not 2",
        "applied  optimizer: group 'vectors': '*bias'",
        "it is the first match",
        "skipped  optimizer: group 'rest': ['*', {role: 'norm'}]",
        "matches too, but the first match applies: 'vectors'",
    ]


def test_a_parameter_that_no_rule_takes_has_what_holds_for_all(
    home: Path, capsys: Captured
) -> None:
    assert main([*EXPLAIN, "--parameter", "layer.weight", "lr_scheduler=null"]) == 0
    out = capsys.readouterr().out
    assert "  in group '0' of AdamW, lr 0.1, weight decay 0.01\n" in out
    assert "matched by no rule: default settings and presets apply" in out


@pytest.mark.parametrize(
    ("select", "why"),
    [
        ("'head'", "its name is not head"),
        ("{role: [norm, bias]}", "its role is head, not norm or bias"),
        ("{module: LayerNorm}", "its module is Linear, not LayerNorm"),
        ("{name: head, ndim: 2}", "its name is layer.weight, not head"),
        ("{none_of: {ndim: 2}}", "{ndim: 2} matches, which none_of excludes"),
        ("{all_of: [{ndim: 2}, {role: bias}]}", "its role is head, not bias"),
        ("[{ndim: 1}, {role: bias}]", "its ndim is 2, not 1; its role is head, not bias"),
    ],
)
def test_why_a_rule_does_not_take_a_parameter_is_what_fails(
    home: Path, capsys: Captured, select: str, why: str
) -> None:
    rules = f"optimizer.groups=[{{name: one, select: {select}, required: false}}]"
    found = data(capsys, *KNOWN, rules, "--parameter", "layer.weight")
    (rule,) = found["rules"]
    assert (rule["takes"], rule["why"]) == (False, why)
    assert (found["shape"], found["modules"]) == ([1, 2], ["Linear"])


def test_the_route_of_a_parameter_is_told_before_the_rules_of_what_it_wraps(
    home: Path, capsys: Captured
) -> None:
    routed = (
        "optimizer={name: lookahead, optimizer: {name: routed, default: adamw, routes: [{name: "
        "biases, select: '*bias', optimizer: {name: clipped, max_norm: 1, optimizer: {name: sgd, "
        "groups: [{name: own, select: layer}]}}}]}}"
    )
    found = data(capsys, *KNOWN, routed, "--parameter", "layer.bias")
    assert found["group"]["name"] == "biases/own"
    assert [(rule["where"], rule["takes"]) for rule in found["rules"]] == [
        ("optimizer: route 'biases'", True),
        ("optimizer: route 'default'", False),
        ("optimizer: route 'biases': group 'own'", True),
    ]


# -- three ways of getting it wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--parameter", "layer.wieght"], "did you mean 'layer.weight'?"),
        (["optimizer.groups=[{name: a, select: laier}]"], "the nearest are 'layer'"),
        (["optimiser.lr=1"], "did you mean 'optimizer'?"),
        (["trainer.profiler=nothing"], "profiler"),
        (["--total-steps", "0"], "total_steps must be at least 1 and finite, not 0"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_near(
    home: Path, capsys: Captured, arguments: list[str], text: str
) -> None:
    assert main([*EXPLAIN, *KNOWN, *arguments]) == 2
    assert text in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(home: Path, capsys: Captured) -> None:
    assert main(["explain", "train.py", "--config", "other.yaml"]) == 2
    assert "other.yaml" in capsys.readouterr().err


def test_the_config_is_asked_for(home: Path, capsys: Captured) -> None:
    assert main(["explain", "train.py"]) == 2
    assert "train.py: the optimizer is unknown; give --config FILE" in capsys.readouterr().err
