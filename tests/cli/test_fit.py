"""`nshtrainer fit`, through `main`."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from tests.cli.support import command_in, only_run, rates

from nshtrainer.cli import main

FIT = ["fit", "train.py", "--config", "run.yaml"]
SHORT = ["trainer.max_epochs=1"]


def learned_rate(folder: Path) -> float:
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return saved["hyper_parameters"]["hparams"]["optimizer"]["lr"]


def test_a_run_says_what_it_optimises_and_where_its_results_are(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(FIT) == 0
    out = capsys.readouterr().out
    folder = only_run()
    (row,) = [line.split() for line in out.splitlines() if "AdamW" in line]
    assert row[:8] == ["0", "AdamW", "fused", "2", "3", "100%", "0.1", "0.01"]
    assert "schedule   warm-up 0 to 2, cosine 2 to 12, last update" in out
    assert "steps      12\n" in out
    assert f"results   {folder}\n" in out
    assert f"last      {folder}/checkpoints/last.ckpt\n" in out
    assert "best      val/loss " in out
    files = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "metrics.csv", "tensorboard"} <= files
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_a_run_keeps_as_data_what_it_said_at_its_start(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "--out", "o"]) == 0
    said = capsys.readouterr().out.partition("epoch 1/3")[0]
    assert main(["explain", *FIT[1:], "--steps-per-epoch", "4"]) == 0
    assert capsys.readouterr().out == said.removesuffix("\n")
    assert main(["explain", *FIT[1:], "--steps-per-epoch", "4", "--json"]) == 0
    assert capsys.readouterr().out == Path("o/optimizer.json").read_text(encoding="utf-8")


def test_the_file_is_read_once(home: Path) -> None:
    overwriting = "from pathlib import Path\nPath('run.yaml').write_text('[', encoding='utf-8')\n"
    code = Path("train.py").read_text(encoding="utf-8")
    Path("train.py").write_text(overwriting + code, encoding="utf-8")
    assert main([*FIT, "--out", "o", *SHORT]) == 0
    assert Path("run.yaml").read_text(encoding="utf-8") == "["


def test_the_resolved_config_fits_its_schema_and_runs_again(home: Path) -> None:
    assert main([*FIT, "optimizer.lr=0.2", "--out", "first", *SHORT]) == 0
    text = Path("first/config.yaml").read_text(encoding="utf-8")
    first, _, _ = text.partition("\n")
    command = first.removeprefix("# For completion in an editor: nshtrainer ").split()
    assert main([*command[:-1], "run.schema.json"]) == 0
    schema = json.loads(Path("run.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(YAML(typ="safe").load(text))

    again = ["fit", "train.py", "--config", "first/config.yaml", "--out", "second"]
    assert main(again) == 0
    assert Path("second/config.yaml").read_text(encoding="utf-8") == text
    assert rates(Path("second")) == rates(Path("first"))


@pytest.mark.parametrize(
    "override",
    [
        ["model.optimizer.lr=3e-4"],
        ["--model.optimizer.lr", "3e-4"],
        ["--model.optimizer.lr=3e-4"],
        ["optimizer.lr=3e-4"],
        ["--optimizer.lr", "3e-4"],
        ["--optimizer.lr=3e-4"],
    ],
)
def test_every_way_to_write_an_override_is_the_same(home: Path, override: list[str]) -> None:
    assert main(["fit", *override, "train.py", "--config", "run.yaml", "--out", "o", *SHORT]) == 0
    assert learned_rate(Path("o")) == 3e-4


def test_an_override_exchanges_the_optimizer(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "optimizer=sgd", "optimizer.momentum=0.5", *SHORT]) == 0
    assert " SGD " in capsys.readouterr().out


def test_arguments_of_the_data_come_from_the_file(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "data.num_batches=7", *SHORT]) == 0
    assert "steps      7\n" in capsys.readouterr().out


def test_going_on_from_the_last_checkpoint_lengthens_a_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = "lr_scheduler.max_duration=12 steps"
    assert main([*FIT, fixed, *SHORT]) == 0
    folder = only_run()
    capsys.readouterr()
    assert main([*FIT, fixed, "--resume", "last"]) == 0
    assert f"resuming from {folder}/checkpoints/last.ckpt (step 4, epoch 1)\n" in (
        capsys.readouterr().out
    )
    assert sorted(rates(folder)) == list(range(12))


def test_a_resumed_run_says_which_options_the_state_of_its_optimizer_keeps(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "lr_scheduler=null", *SHORT, "--out", "o"]) == 0
    again = [*FIT, "lr_scheduler=null", "--out", "o", "--resume", "last"]
    changed = ["optimizer.lr=0.2", "optimizer.fused=false", "optimizer.no_decay=ndim_below_2"]
    assert main([*again, *changed, "width=2"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if " -> " in line]
    assert "\n".join(said) == (
        "  optimizer.lr 0.1 -> 0.2: taken from the checkpoint\n"
        "  optimizer.no_decay none -> ndim_below_2: parameter groups that the checkpoint knows "
        "keep their options"
    )


def test_a_run_with_more_epochs_says_what_its_schedule_does_and_extends_it_on_demand(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, *SHORT, "--out", "o"]) == 0
    capsys.readouterr()
    extend = "trainer.resume.policy=extend"
    assert main([*FIT, "--out", "o", "--resume", "last", extend]) == 0
    out, err = capsys.readouterr()
    assert (
        "the config has changed since the checkpoint:\n  run 4 -> 12 steps: the schedule is st"
        in out
    )
    assert "schedule   warm-up 0 to 2, cosine 2 to 12, last update" in out
    assert "ConfigChangedWarning" not in out + err


def test_without_a_policy_the_rate_of_the_checkpoint_stays(home: Path) -> None:
    assert main([*FIT, "lr_scheduler=null", *SHORT, "--out", "o"]) == 0
    assert (
        main([*FIT, "lr_scheduler=null", "optimizer.lr=0.2", "--out", "o", "--resume", "last"]) == 0
    )
    assert list(rates(Path("o")).values()) == pytest.approx([0.1] * 12)


def test_with_the_policy_override_the_schedule_multiplies_the_rate_of_the_file(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = "lr_scheduler.max_duration=12 steps"
    assert main([*FIT, fixed, "--out", "whole"]) == 0
    assert main([*FIT, fixed, *SHORT, "--out", "o"]) == 0
    policy = "trainer.resume={policy: override, fields: [lr]}"
    again = [*FIT, fixed, "optimizer.lr=0.2", policy, "--out", "o", "--resume", "last"]
    assert main(again) == 0
    assert "optimizer.lr 0.1 -> 0.2: taken from the config\n" in capsys.readouterr().out
    one, other = rates(Path("whole")), rates(Path("o"))
    expected = [one[step] * (1 if step < 4 else 2) for step in range(12)]
    assert [other[step] for step in range(12)] == pytest.approx(expected)


@pytest.mark.parametrize("given", ["whole", "whole/checkpoints/best.ckpt"])
def test_a_run_goes_on_from_a_folder_or_a_file(home: Path, given: str) -> None:
    fixed = "lr_scheduler.max_duration=12 steps"
    assert main([*FIT, fixed, *SHORT, "--out", "whole"]) == 0
    assert main([*FIT, fixed, "--resume", given]) == 0
    assert sorted(rates(Path("whole"))) == list(range(12))


def test_a_run_that_is_over_says_so_when_it_shall_go_on(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, *SHORT]) == 0
    capsys.readouterr()
    assert main([*FIT, *SHORT, "--resume", "last"]) == 0
    assert "the run was already complete; to train longer, increase trainer.max_epochs" in (
        capsys.readouterr().out
    )


def test_a_trial_run_keeps_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, "trainer.fast_dev_run=true", "lr_scheduler=null"]) == 0
    assert "results   not saved in a trial run\n" in capsys.readouterr().out
    assert not Path("runs").exists()


def test_without_a_primary_metric_there_is_a_last_checkpoint_alone(home: Path) -> None:
    assert main([*FIT, "trainer.primary_metric=null", *SHORT]) == 0
    assert [path.name for path in (only_run() / "checkpoints").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("option", ["enable_checkpointing", "logger"])
def test_checkpoints_and_metrics_can_be_switched_off(home: Path, option: str) -> None:
    assert main([*FIT, f"trainer.{option}=false", *SHORT]) == 0
    kept = "checkpoints" if option == "logger" else "metrics.csv"
    missing = "metrics.csv" if option == "logger" else "checkpoints/last.ckpt"
    assert (only_run() / kept).exists()
    assert not (only_run() / missing).exists()


def test_what_the_users_code_raises_goes_through(home: Path) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    Path("train.py").write_text(text.replace('stop("train"', "1 / 0; stop(0"), encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        main([*FIT, *SHORT])


def test_what_it_raises_in_a_resumed_run_goes_through_too(home: Path) -> None:
    assert main([*FIT, *SHORT]) == 0
    text = Path("train.py").read_text(encoding="utf-8")
    failing = text.replace('stop("train"', 'raise RuntimeError("mine"); stop(0')
    Path("train.py").write_text(failing, encoding="utf-8")
    with pytest.raises(RuntimeError, match="mine"):
        main([*FIT, "--resume", "last"])


def test_the_weights_of_another_model_are_said_to_be_that(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, *SHORT]) == 0
    text = Path("train.py").read_text(encoding="utf-8")
    Path("train.py").write_text(text.replace("self.layer", "self.line"), encoding="utf-8")
    assert main([*FIT, "--resume", "last"]) == 2
    error = capsys.readouterr().err
    assert "last.ckpt: has the weights of another model; resume with the code and the co" in error
    assert 'Missing key(s) in state_dict: "line.weight", "line.bias"' in error


FORGED = "\x1b[2J\nrun.yaml: ok\n\trun.yaml: ok\n::error::forged"


def test_a_name_of_a_weight_forges_no_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, *SHORT]) == 0
    path = only_run() / "checkpoints/last.ckpt"
    saved = torch.load(path, weights_only=True)
    saved["state_dict"]["layer.weight"] = torch.zeros(9)
    for name in (FORGED, f"layer.{FORGED}"):
        torch.save({**saved, "state_dict": {**saved["state_dict"], name: torch.zeros(3)}}, path)
        assert main([*FIT, "--resume", "last"]) == 2
        error = capsys.readouterr().err
        assert "x1b[2J\\nrun.yaml: ok\\n\\trun.yaml: ok\\n::error::forged" in error
        assert "\n  size mismatch for layer.weight: copying" in error
        assert not [
            line for line in error.splitlines() if line.strip().startswith(("run.yaml", "::"))
        ]


REFUSED = [
    (["optimzer.lr=1"], "optimzer.lr=1: unknown key 'optimzer'; did you mean 'optimizer'?"),
    (["optimizer.lr=fast"], "model.optimizer.lr=fast: model.optimizer.lr: must be a number"),
    (["optimizer.lrr=1"], "model.optimizer.lrr=1: model.optimizer.lrr: unknown key 'lrr'"),
    (["trainer.max_epoch=1"], "unknown key 'max_epoch'; did you mean 'max_epochs'?"),
    (["data.num_batchs=1"], "unknown key 'num_batchs'; did you mean 'num_batches'?"),
    (["data.num_batches=many"], "data.num_batches: must be a whole number (got 'many')"),
    (["data.collate=x"], "unknown key 'collate'"),
    (["trainer.accelerator=gpuu"], "invalid trainer options: You selected an invalid"),
    (["loose"], "loose: is not an override; write 'path.to.key=value'"),
    (["--resume", "last"], "--resume last: no checkpoint in runs/run; start without --resume"),
    (["--resume", "x.ckpt"], "--resume x.ckpt: no such checkpoint; give a .ckpt file, or 'last'"),
    (["lr_scheduler.warmup_duration=99 steps"], "warmup_duration is 99 steps (99 steps), longer"),
]


@pytest.mark.parametrize(("arguments", "text"), REFUSED)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main(["fit", "train.py", *arguments, "--config", "run.yaml"]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


def test_a_fault_of_the_file_is_named_with_its_place(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("run.yaml").read_text(encoding="utf-8").replace("lr: 0.1", "lr: -0.1")
    Path("run.yaml").write_text(text, encoding="utf-8")
    assert main(FIT) == 2
    assert capsys.readouterr().err == (
        "run.yaml:3:32: model.optimizer.lr: must be >= 0 (got -0.1)\n"
    )


def test_a_run_is_not_mixed_with_one_that_is_there(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "--out", "x", *SHORT]) == 0
    assert main([*FIT, "--out", "x", *SHORT]) == 2
    assert capsys.readouterr().err == (
        "--out x: the folder already contains a run; add --resume last to continue it, or choose "
        "another folder\n"
    )


@pytest.mark.parametrize("out", ["run.yaml", "run.yaml/x"])
def test_a_folder_that_cannot_be_made_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    assert main([*FIT, "--out", out]) == 2
    assert capsys.readouterr().err == (
        f"{out}: cannot be created: not a directory; choose another folder with --out\n"
    )


def test_a_run_of_no_steps_promises_no_checkpoint(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "trainer.max_epochs=0", "lr_scheduler=null"]) == 0
    out = capsys.readouterr().out
    assert "trained   0 steps" in out
    assert "last " not in out


def test_a_file_that_is_no_checkpoint_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.ckpt").write_text("no checkpoint", encoding="utf-8")
    assert main([*FIT, "--resume", "x.ckpt"]) == 2
    assert capsys.readouterr().err.startswith("x.ckpt: cannot be read as a checkpoint: ")


def rewritten(path: Path, old: bytes, new: bytes) -> None:
    """Change bytes of the pickle in a checkpoint, as an editor of it may."""
    with ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content.replace(old, new) if name.endswith(".pkl") else content)


def test_a_checkpoint_that_cannot_be_read_is_refused_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("x.ckpt")
    whole = {"global_step": 1, "epoch": 0, "weights": torch.ones(9)}
    why = {
        "only persistent": "cannot be read as a checkpoint: ",
        "a path": "cannot be read as a checkpoint: UnpicklingError: Weights only load failed",
        "text": "is damaged: global_step or epoch is not a number; resume from another",
        "nothing": "cannot be read as a checkpoint: KeyError: 'epoch'",
    }
    damaged = [whole, {"it": Path()}, {**whole, "epoch": "x\nx"}, {"global_step": 1}]
    for saved, text in zip(damaged, why.values(), strict=True):
        torch.save(saved, path)
        if saved is whole:
            rewritten(path, b"storage", b"storagf")
        assert main([*FIT, "--resume", "x.ckpt"]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"x.ckpt: {text}")
        assert said.count("\n") == 1
        assert "weights_only" not in said


def test_a_run_that_is_not_finite_keeps_its_checkpoint_and_says_how_to_go_on(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = Path("train.py").read_text(encoding="utf-8")
    bad = "self.layer(batch).square().mean() * (float('nan') if self.global_step == 6 else 1)"
    Path("train.py").write_text(
        code.replace("self.layer(batch).square().mean()", bad, 1), encoding="utf-8"
    )
    assert main([*FIT, "--out", "o"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("update 6 (epoch 1, batch 2, lr 0.")
    assert "the loss is not finite, and the gradients of 2 of 2 parameters" in err
    assert "stopped; the last checkpoint is o/checkpoints/last.ckpt\n" in out
    assert torch.load("o/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4

    go_on = [*command_in(out), "trainer.non_finite=skip"]
    assert main(go_on) == 0
    assert "steps      12" in capsys.readouterr().out
    saved = torch.load("o/checkpoints/last.ckpt", weights_only=True)
    assert saved["optimizer_states"][0]["param_groups"][0]["skipped"] == 1
