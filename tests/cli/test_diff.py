"""`nshtrainer diff`, through `main`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.support import RUN

from nshtrainer.cli import main
from nshtrainer.manifest import RunRecord, Stretch

Captured = pytest.CaptureFixture[str]

FOR = ["--for", "train.py"]
KNOWN = ["--total-steps", "12"]
EVERY_WAY = pytest.mark.parametrize("arguments", [[], KNOWN, FOR, [*FOR, *KNOWN]])


def other(*changes: tuple[str, str]) -> None:
    """Write `other.yaml`, which is `run.yaml` with other texts."""
    text = RUN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path("other.yaml").write_text(text, encoding="utf-8")


def diff(capsys: Captured, *arguments: str) -> tuple[int, list[str]]:
    """The exit code and the lines of it."""
    code = main(["diff", "run.yaml", "other.yaml", *arguments])
    return code, capsys.readouterr().out.splitlines()


@EVERY_WAY
def test_what_differs_in_text_alone_is_no_difference(
    home: Path, capsys: Captured, arguments: list[str]
) -> None:
    written = "{lr: 0.1, name: adamw, betas: [0.9, 0.999], fused: false}"
    other(("{name: adamw, lr: 0.1}", written), ("# A run", "# Another run"))
    assert diff(capsys, *arguments) == (0, ["no difference in optimizers and schedules"])


@pytest.mark.parametrize("arguments", [KNOWN, [*FOR, *KNOWN]])
def test_schedules_that_resolve_to_the_same_values_are_the_same(
    home: Path, capsys: Captured, arguments: list[str]
) -> None:
    other(("max_duration: 100%", "max_duration: 12 steps"))
    assert diff(capsys, *arguments)[0] == 0


def test_fields_of_the_optimizer_differ_by_their_place(home: Path, capsys: Captured) -> None:
    other(("lr: 0.1", "lr: 0.1, weight_decay: 0"))
    assert diff(capsys) == (1, ["model.optimizer.weight_decay: 0.01 -> 0.0"])


CLIPPED = "{name: clipped, max_norm: 1, optimizer: {name: adamw, lr: 0.1}}"
WRAPPED = f"optimizer: {{name: lookahead, optimizer: {CLIPPED}}}"
AROUND = "around: nothing -> lookahead (k 5, alpha 0.5), clipped (max_norm 1.0)"


def test_what_is_put_around_an_optimizer_is_one_difference(home: Path, capsys: Captured) -> None:
    other(("optimizer: {name: adamw, lr: 0.1}", WRAPPED))
    assert diff(capsys, *KNOWN) == (1, [f"model.optimizer.{AROUND}"])
    code, lines = diff(capsys, *FOR, *KNOWN)
    assert code == 1
    assert {line.partition(": ")[2] for line in lines} == {AROUND}


def test_schedules_differ_in_a_sentence(home: Path, capsys: Captured) -> None:
    other(("2 steps", "3 steps"))
    code, (line,) = diff(capsys, *KNOWN)
    assert code == 1
    assert line == (
        "model.lr_scheduler: warm-up 0 to 2, cosine 2 to 12, last update 0.00245 -> "
        "warm-up 0 to 3, cosine 3 to 12, last update 0.00302"
    )


def test_curves_with_the_same_sentence_differ_in_a_value(home: Path, capsys: Captured) -> None:
    other(("    warmup_duration", "    warmup_start_lr_factor: 0.5\n    warmup_duration"))
    (line,) = diff(capsys, *KNOWN)[1]
    assert "0.00245 (lr times 0) -> " in line
    assert line.endswith("0.00245 (lr times 0.5)")


@pytest.mark.parametrize("arguments", [[], FOR])
def test_without_a_length_schedules_differ_by_their_fields(
    home: Path, capsys: Captured, arguments: list[str]
) -> None:
    other(("2 steps", "3 steps"))
    assert diff(capsys, *arguments) == (1, ["model.lr_scheduler.warmup_duration.value: 2 -> 3"])


def test_a_schedule_in_one_file_only_is_a_difference(home: Path, capsys: Captured) -> None:
    head, _, tail = RUN.partition("  lr_scheduler:")
    Path("other.yaml").write_text(head + tail[tail.index("\ndata") :], encoding="utf-8")
    code, lines = diff(capsys, *KNOWN)
    assert (code, [line.rpartition(" -> ")[2] for line in lines]) == (1, ["nothing"])
    code, lines = diff(capsys, *KNOWN, *FOR)
    assert (code, [line.rpartition(" -> ")[2] for line in lines]) == (1, ["none"])


def test_with_the_code_it_is_told_which_parameters_differ(home: Path, capsys: Captured) -> None:
    rule = "lr: 0.1, groups: [{name: vectors, select: {ndim: 1}, lr_mult: 2}]"
    other(("lr: 0.1", rule))
    code, lines = diff(capsys, *FOR, *KNOWN)
    assert (code, lines) == (1, ["layer.bias: lr: 0.1 -> 0.2"])


def test_with_the_code_what_is_frozen_differs_from_what_is_not(
    home: Path, capsys: Captured
) -> None:
    rule = "lr: 0.1, groups: [{name: vectors, select: {ndim: 1}, freeze: true}]"
    other(("lr: 0.1", rule))
    code, lines = diff(capsys, *FOR, *KNOWN)
    assert code == 1
    assert "layer.bias: optimizer: AdamW -> nothing" in lines
    assert all(line.startswith("layer.bias: ") for line in lines)


def test_with_the_code_rules_that_come_to_the_same_are_the_same(
    home: Path, capsys: Captured
) -> None:
    other(("lr: 0.1", "lr: 0.2, groups: [{name: all, select: '*', lr_mult: 0.5}]"))
    assert diff(capsys, *KNOWN)[0] == 1
    assert diff(capsys, *KNOWN, *FOR)[0] == 0


@pytest.mark.parametrize("arguments", [KNOWN, [*FOR, *KNOWN]])
def test_schedules_that_look_at_a_metric_differ_by_their_settings(
    home: Path, capsys: Captured, arguments: list[str]
) -> None:
    start = RUN.index("  lr_scheduler:")
    rest = RUN[RUN.index("\ndata") :]
    for name, patience in (("run.yaml", 3), ("other.yaml", 4)):
        plateau = f"  lr_scheduler: {{name: reduce_lr_on_plateau, patience: {patience}}}\n"
        Path(name).write_text(RUN[:start] + plateau + rest, encoding="utf-8")
    code, (line,) = diff(capsys, *arguments)
    assert code == 1
    assert "patience" in line
    assert main(["diff", "run.yaml", "run.yaml", *arguments]) == 0


# -- folders of runs -------------------------------------------------------------------------------


def run_folder(name: str, updates: int | None) -> None:
    """Write the folder of a run with a manifest of this length, or a damaged one."""
    folder = Path(name)
    folder.mkdir()
    (folder / "config.yaml").write_text(RUN, encoding="utf-8")
    if updates is None:
        (folder / "manifest.json").write_text("{", encoding="utf-8")
    else:
        lengths = {"total_steps": updates, "steps_per_epoch": 4, "schedule_steps": None}
        RunRecord(folder).begin(Stretch.now(lengths=lengths), {})


@pytest.mark.parametrize("arguments", [[], FOR])
def test_runs_of_different_lengths_have_different_schedules(
    home: Path, capsys: Captured, arguments: list[str]
) -> None:
    run_folder("a", 12)
    run_folder("b", 8)
    assert main(["diff", "a", "b", *arguments]) == 1
    assert "cosine 2 to 12" in capsys.readouterr().out
    assert main(["diff", "a", "b", *arguments, "--total-steps", "9"]) == 0
    assert main(["diff", "a", "a", *arguments]) == 0


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        ([], 8),
        (["--total-steps", "9"], 9),
        (["--steps-per-epoch", "10"], 30),  # of three epochs
        (["trainer.max_epochs=5"], 20),
        (["optimizer.lr=0.2"], 8),
    ],
)
def test_a_plot_of_a_run_takes_what_is_not_given_from_its_record(
    home: Path, capsys: Captured, arguments: list[str], end: int
) -> None:
    run_folder("a", 8)
    assert main(["plot", "a", *arguments]) == 0
    assert f"cosine 2 to {end}, " in capsys.readouterr().out


def test_without_a_usable_record_the_length_is_unknown(home: Path, capsys: Captured) -> None:
    run_folder("a", 8)
    run_folder("b", None)
    for command in (["plot", "b"], ["plot", "a", "data.num_batches=3"]):
        assert main(command) == 2
        assert "give --total-steps or --steps-per-epoch" in capsys.readouterr().err
    assert main(["explain", "train.py", "--config", "b"]) == 0
    assert "the schedule: " in capsys.readouterr().out
    assert main(["explain", "train.py", "--config", "a"]) == 0
    assert "the schedule: " not in capsys.readouterr().out


# -- three ways of getting it wrong ----------------------------------------------------------------


def test_a_file_that_is_not_there_is_named(home: Path, capsys: Captured) -> None:
    assert main(["diff", "run.yaml", "other.yaml"]) == 2
    assert "other.yaml" in capsys.readouterr().err


def test_a_file_without_an_optimizer_says_what_to_give(home: Path, capsys: Captured) -> None:
    Path("other.yaml").write_text("model: {width: 3}\n", encoding="utf-8")
    assert main(["diff", "run.yaml", "other.yaml"]) == 2
    assert "other.yaml: has neither an optimizer nor a schedule; give --for train.py" in (
        capsys.readouterr().err
    )


@EVERY_WAY
def test_a_file_that_is_wrong_is_refused_with_its_place(
    home: Path, capsys: Captured, arguments: list[str]
) -> None:
    other(("lr: 0.1", "lr: -1"))
    assert main(["diff", "run.yaml", "other.yaml", *arguments]) == 2
    assert "other.yaml:3:32: model.optimizer.lr: must be >= 0 (got -1)" in (capsys.readouterr().err)
