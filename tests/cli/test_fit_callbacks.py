"""Callbacks of a run, as `nshtrainer fit` takes them from the config."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.support import rates

from nshtrainer.cli import main
from nshtrainer.configs import TrainerConfig

FIT = ["fit", "train.py", "--config", "run.yaml", "--out", "o"]
FIXED = "lr_scheduler.max_duration=12 steps"
RISING = """
    def validation_step(self, batch, batch_idx):
        self.log("val/loss", float(max(self.current_epoch, 1)))
"""


def with_rising_loss() -> None:
    """Make the validation loss the best in epochs 0 and 1, and worse from then on."""
    code = Path("train.py").read_text(encoding="utf-8")
    start, end = code.index("    def validation_step"), code.index("\n\nclass Noise")
    Path("train.py").write_text(code[:start] + RISING.lstrip("\n") + code[end:], "utf-8")


def trained(folder: str = "o") -> int:
    saved = torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)
    return saved["global_step"]


# -- early stopping --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "epochs", "why"),
    [
        ("{patience: 2}", 3, "did not improve in 2 checks"),
        ("{monitor: val/loss, stopping_threshold: 1.5}", 1, "reached stopping_threshold 1.5"),
        ("{min_delta: 5.0, mode: max, patience: 3}", 4, "did not improve in 3 checks"),
        pytest.param("{patience: 2, mode: max}", 9, "", marks=pytest.mark.slow),
        pytest.param(
            "{monitor: val/loss, patience: 4}",
            5,
            "did not improve in 4 checks",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "{divergence_threshold: 2.5}",
            4,
            "passed divergence_threshold 2.5",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_stops_when_the_metric_does_not_improve(
    home: Path, capsys: pytest.CaptureFixture[str], fields: str, epochs: int, why: str
) -> None:
    with_rising_loss()
    callback = f"{{name: early_stopping, {fields[1:]}"
    assert main([*FIT, FIXED, "trainer.max_epochs=9", f"trainer.callbacks=[{callback}]"]) == 0
    assert trained() == 4 * epochs
    assert "stops      after " in (said := capsys.readouterr().out)
    assert "checks of val/loss (" in said
    assert ("(max)" in said) is ("max" in fields)
    assert ("stopped   by " in said) is bool(why)
    assert not why or f"stopped   by early_stopping: val/loss {why}\n" in said


@pytest.mark.slow
def test_the_direction_is_that_of_the_primary_metric(home: Path) -> None:
    with_rising_loss()
    options = ["trainer.max_epochs=5", "trainer.primary_metric.mode=max"]
    callback = "{name: early_stopping, monitor: val/loss, patience: 1}"
    assert main([*FIT, FIXED, *options, f"trainer.callbacks=[{callback}]"]) == 0
    assert trained() == 8


@pytest.mark.slow
def test_a_resumed_run_remembers_how_long_nothing_improved(home: Path) -> None:
    with_rising_loss()
    stop = ["trainer.callbacks=[{name: early_stopping, patience: 3}]", FIXED]
    assert main([*FIT, *stop, "trainer.max_epochs=3"]) == 0
    assert main([*FIT, *stop, "trainer.max_epochs=9", "--resume", "last"]) == 0
    assert trained() == 16


def test_without_a_metric_early_stopping_is_an_error(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["trainer.primary_metric=null", "trainer.callbacks=[early_stopping]"]
    assert main([*FIT, *options]) == 2
    assert "early_stopping: monitor is not set, and there is no prim" in capsys.readouterr().err


# -- checkpoints -----------------------------------------------------------------------------------


def test_checkpoints_of_a_callback_are_beside_those_of_the_run(home: Path) -> None:
    with_rising_loss()
    callbacks = (
        "[{name: model_checkpoint, monitor: val/loss, save_top_k: 2, filename: 'top-{epoch}'},"
        " {name: model_checkpoint, dirpath: all, save_top_k: -1, every_n_train_steps: 5},"
        " {name: model_checkpoint, dirpath: newest}]"
    )
    assert main([*FIT, "trainer.max_epochs=4", f"trainer.callbacks={callbacks}"]) == 0
    own = {"best.ckpt", "last.ckpt"}
    assert {path.name for path in Path("o/checkpoints").iterdir()} == {
        *own,
        "top-epoch=0.ckpt",
        "top-epoch=1.ckpt",
    }
    assert {path.name for path in Path("all").iterdir()} == {
        f"epoch={step // 4}-step={step}.ckpt" for step in (5, 10, 15)
    }
    assert [path.name for path in Path("newest").iterdir()] == ["epoch=3-step=16.ckpt"]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["last", "o/checkpoints/mine.ckpt"])
def test_a_run_resumes_from_either(home: Path, source: str) -> None:
    callback = "{name: model_checkpoint, monitor: val/loss, filename: mine, every_n_epochs: 1}"
    options = [FIXED, f"trainer.callbacks=[{callback}]"]
    assert main([*FIT, *options, "trainer.max_epochs=1"]) == 0
    assert main([*FIT, *options, "trainer.max_epochs=3", "--resume", source]) == 0
    assert sorted(rates(Path("o"))) == list(range(12))


# -- length ----------------------------------------------------------------------------------------


def test_a_schedule_counts_the_updates_of_each_epoch(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = "{name: gradient_accumulation_scheduler, scheduling: {1: 2, 2: 4}}"
    options = [f"trainer.callbacks=[{callback}]"]
    assert main([*FIT, *options]) == 0
    said = capsys.readouterr().out
    assert "schedule   warm-up 0 to 2, cosine 2 to 7, last update" in said
    assert "schedule  7 updates, planned = used" in said
    assert sorted(rates(Path("o"))) == list(range(7))
    assert main(["explain", *FIT[1:4], "--steps-per-epoch", "4", *options]) == 0
    assert "schedule   warm-up 0 to 2, cosine 2 to 7, last update" in capsys.readouterr().out


@pytest.mark.slow
def test_a_timer_ends_a_run_in_time(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timer = "{name: timer, duration: '00:00:00:01', verbose: false}"
    options = ["lr_scheduler=null", "trainer.max_epochs=-1", "trainer.val_check_interval=1.0"]
    assert main([*FIT, *options, f"trainer.callbacks=[{timer}]"]) == 0
    assert trained() > 4
    assert "stopped   by timer: the time is over\n" in capsys.readouterr().out


# -- freezing --------------------------------------------------------------------------------------

UNFREEZE = "trainer.callbacks=[{name: unfreeze, groups: [default], after: 2 epochs}]"


def weight(folder: str) -> Any:
    return torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_unfreezing_is_exact_over_a_resume(home: Path) -> None:
    rule = "optimizer.groups=[{name: bias, select: '*.bias'}]"
    run = [*FIT[:4], rule, FIXED, UNFREEZE]
    assert main([*run, "--out", "whole"]) == 0
    for epochs in (1, 3):
        assert main([*run, "--out", "o", "--resume", "auto", f"trainer.max_epochs={epochs}"]) == 0
        if epochs == 1:
            frozen = weight("o")["layer.weight"]
    assert torch.equal(weight("o")["layer.weight"], weight("whole")["layer.weight"])
    assert not torch.equal(weight("o")["layer.weight"], frozen)


@pytest.mark.slow
def test_a_backbone_is_trained_after_a_resume(home: Path) -> None:
    code = Path("train.py").read_text(encoding="utf-8")
    code = code.replace(
        "self.layer = torch.nn.Linear(self.hparams.width, 1)",
        """
        self.backbone = torch.nn.Linear(self.hparams.width, 2)
        self.layer = torch.nn.Sequential(torch.nn.Linear(2, 1))""".strip(),
    )
    code = code.replace("self.layer(batch)", "self.layer(self.backbone(batch))")
    Path("train.py").write_text(code, encoding="utf-8")
    callback = "{name: backbone_finetuning, unfreeze_backbone_at_epoch: 1}"
    run = [*FIT[:4], "lr_scheduler=null", f"trainer.callbacks=[{callback}]"]
    assert main([*run, "--out", "whole"]) == 0
    for epochs in (2, 3):
        assert main([*run, "--out", "o", "--resume", "auto", f"trainer.max_epochs={epochs}"]) == 0
    for name, value in weight("whole").items():
        assert torch.equal(weight("o")[name], value)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("callbacks", "says"),
    [
        ("[early_stopping, early_stopping]", "trainer.callbacks: several of EarlyStopping cannot"),
        ("[backbone_finetuning]", "backbone_finetuning: Line has no module called backbone; re"),
        (
            "[{name: early_stopping, monitor: val/los}]",
            "early_stopping.monitor: unknown metric 'val/los'; did you mean 'val/loss'?",
        ),
        (
            "[{name: unfreeze, groups: [x], after: 1 epochs}]",
            "unfreeze.groups: unknown parameter group 'x'; if they are frozen when",
        ),
    ],
)
def test_what_lightning_would_raise_is_a_line(
    home: Path, capsys: pytest.CaptureFixture[str], callbacks: str, says: str
) -> None:
    assert main([*FIT, f"trainer.callbacks={callbacks}"]) == 2
    assert says in capsys.readouterr().err


def test_a_wrong_primary_metric_is_named_by_its_key(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["trainer.primary_metric.monitor=val/los", "trainer.callbacks=[early_stopping]"]
    assert main([*FIT, *wrong]) == 2
    said = capsys.readouterr()
    assert "trainer.primary_metric.monitor: unknown metric 'val/los'; did you mean" in said.err
    assert "early_stopping.monitor" not in said.err
    assert "to resume, with the metric corrected: " in said.out


def test_a_missing_metric_may_be_allowed(home: Path) -> None:
    callbacks = "[{name: early_stopping, monitor: val/los, strict: false}]"
    assert main([*FIT, f"trainer.callbacks={callbacks}", "trainer.max_epochs=1"]) == 0


@pytest.mark.slow
def test_weights_alone_are_skipped_by_a_resume(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = "{name: model_checkpoint, save_weights_only: true, filename: weights}"
    options = [FIXED, f"trainer.callbacks=[{callback}]"]
    assert main([*FIT, *options, "trainer.max_epochs=1"]) == 0
    assert main([*FIT, *options, "--resume", "last"]) == 0
    said = capsys.readouterr().out
    assert "skipped o/checkpoints/weights.ckpt: has the weights alone\n" in said
    assert "resuming from o/checkpoints/last.ckpt (step 4, epoch 1)" in said


# -- output ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["[]", "[{name: rich_progress_bar, refresh_rate: 3}]"])
def test_a_terminal_has_one_bar(home: Path, monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    from nshtrainer.analysis import dry_run
    from nshtrainer.runs import job

    bars: list[Any] = []

    def build(options: TrainerConfig, **changes: Any) -> Any:
        trainer = dry_run.build_trainer(options, **changes)
        bars.append(trainer.progress_bar_callback)
        return trainer

    monkeypatch.setattr(job, "build_trainer", build)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main([*FIT, f"trainer.callbacks={own}", "trainer.max_epochs=1"]) == 0
    (bar,) = bars
    assert bar.refresh_rate == (3 if "3" in own else 100)


@pytest.mark.parametrize("name", ["loggers", "callbacks", "logger"])
def test_components_are_listed(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["list", name, "--all"]) == 0
    said = capsys.readouterr().out
    assert ("wandb" in said) is ("logger" in name)
    assert ("early_stopping" in said) is ("callback" in name)


def test_a_logger_is_shown_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "wandb"]) == 0
    said = capsys.readouterr().out
    assert "WandbLoggerConfig" in said
    assert "Recommended for Weights & Biases" in said
    assert "WANDB_PROJECT" in said
