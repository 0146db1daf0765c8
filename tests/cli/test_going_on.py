"""From where a run goes on, and what it says of that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.cli.support import MID_EPOCH, only_run, rates

from nshtrainer.cli import main
from nshtrainer.cli.run_folder import choose_folder
from nshtrainer.cli.slurm import requeue
from nshtrainer.exceptions import ConfigError

FIT = ["fit", "train.py", "--config", "run.yaml"]
RUN = Path("run.yaml")


def cut(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(share * path.stat().st_size))


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def blank(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(400))


DAMAGES = [
    (cut(0), "is empty"),
    (cut(0.01), "is cut off, or no checkpoint"),
    (cut(0.5), "is cut off, or no checkpoint"),
    (shorten, "is cut off, or no checkpoint"),
    (blank, "is damaged: "),
]


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two checkpoints of a run, the newer one first."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/run/one/checkpoints")
    folder.mkdir(parents=True)
    for time, name in enumerate(["best.ckpt", "last.ckpt"]):
        torch.save({"weights": torch.ones(1000)}, folder / name)
        os.utime(folder / name, (time, time))
    return [folder / "last.ckpt", folder / "best.ckpt"]


@pytest.mark.parametrize("resume", ["last", "auto"])
@pytest.mark.parametrize(("damage", "why"), DAMAGES)
def test_a_checkpoint_that_cannot_be_read_is_passed_over(
    saved: list[Path], damage: Callable[[Path], None], why: str, resume: str
) -> None:
    assert choose_folder(RUN, None, resume)[1:] == (saved[0], ())
    damage(saved[0])
    start = choose_folder(RUN, None, resume)
    assert start.checkpoint == saved[1]
    (text,) = start.passed_over
    assert text.startswith(f"{saved[0]}: {why}")


def test_where_none_can_be_read_each_is_named(saved: list[Path]) -> None:
    for path in saved:
        cut(0)(path)
    text = rf"no checkpoint in runs.run that can be read \({saved[0]}: is empty; .*best.ckpt: is e"
    with pytest.raises(ConfigError, match=text):
        choose_folder(RUN, None, "auto")


def test_with_auto_one_command_starts_a_run_and_goes_on_with_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*FIT, "--out", "o", "--resume", "auto", "lr_scheduler.max_duration=12 steps"]
    assert main([*command, "trainer.max_epochs=1"]) == 0
    assert "resuming" not in capsys.readouterr().out
    assert main(command) == 0
    assert "resuming from o/checkpoints/last.ckpt (step 4, epoch 1)\n" in capsys.readouterr().out
    assert sorted(rates(Path("o"))) == list(range(12))


def test_without_a_word_the_newest_one_is_found(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "trainer.max_epochs=1"]) == 0
    capsys.readouterr()
    assert main([*FIT, "--resume", "--out", str(only_run())]) == 0
    assert f"resuming from {only_run()}/checkpoints/last.ckpt (step 4" in capsys.readouterr().out
    assert main([*FIT, "--resume"]) == 0
    assert f"resuming from {only_run()}/checkpoints/last.ckpt" in capsys.readouterr().out


def test_auto_without_a_folder_begins_one(home: Path) -> None:
    start = choose_folder(RUN, None, "auto")
    assert (start.folder.path.parent, start.checkpoint) == (Path("runs/run"), None)


@pytest.mark.filterwarnings(MID_EPOCH)
def test_an_exception_leaves_a_checkpoint_and_the_command_that_goes_on(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    failing = text.replace('stop("train"', "1 / (self.global_step - 2); stop(0")
    Path("train.py").write_text(failing, encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        main(FIT)
    path = only_run() / "checkpoints/exception.ckpt"
    said = capsys.readouterr().out
    assert f"stopped by ZeroDivisionError; the last checkpoint is {path}\nto go on: " in said
    assert f"train.py --config run.yaml --resume {path}\n" in said
    Path("train.py").write_text(text, encoding="utf-8")
    assert main([*FIT, "--resume", "last"]) == 0
    assert f"resuming from {path} (step 2, epoch 1)\n" in capsys.readouterr().out
    last = torch.load(only_run() / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 12


def test_weights_that_are_not_finite_are_not_kept_after_an_exception(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    broken = "self.layer.weight.data.fill_(float('nan')); 1 / 0; stop(0"
    Path("train.py").write_text(text.replace('stop("train"', broken), encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        main(FIT)
    assert "stopped by ZeroDivisionError before there was a checkpoint\n" in capsys.readouterr().out
    assert not list(only_run().glob("checkpoints/*"))


def test_a_table_of_metrics_that_was_cut_off_is_gone_on_with(home: Path) -> None:
    assert main([*FIT, "--out", "o", "trainer.max_epochs=1"]) == 0
    with Path("o/metrics.csv").open("a", encoding="utf-8") as file:
        file.write("0,,0.")
    fixed = "lr_scheduler.max_duration=12 steps"
    assert main([*FIT, fixed, "--out", "o", "--resume", "last"]) == 0
    assert sorted(rates(Path("o"))) == list(range(12))


@pytest.mark.parametrize(
    ("job", "number"),
    [
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}, "7_2"),
    ],
)
@pytest.mark.parametrize(
    ("script", "text"),
    [("exit 0", "queued again"), ("exit 3", "failed with exit code 3"), (None, "not queued again")],
)
def test_what_came_of_the_wish_to_be_queued_again_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    job: dict[str, str],
    number: str,
    script: str | None,
    text: str,
) -> None:
    for name, value in {**job, "PATH": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    if script is not None:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "scontrol").chmod(0o755)
    said = requeue()
    assert said.startswith(f"scontrol requeue {number}: ")
    assert said.endswith(text)


def test_a_checkpoint_does_not_make_a_run_delete_what_is_not_its_own(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "--out", "o", "trainer.max_epochs=1"]) == 0
    last = Path("o/checkpoints/last.ckpt")
    saved = torch.load(last, weights_only=True)
    mine = home / "mine"
    mine.mkdir()
    path = f"{home}/o/checkpoints/../../mine"
    (state,) = (state for key, state in saved["callbacks"].items() if "val/loss" in key)
    state["best_k_models"] = {path: torch.tensor(1e9)}
    state["kth_best_model_path"] = path
    torch.save(saved, last)
    longer = "lr_scheduler.max_duration=12 steps"
    assert main([*FIT, "--out", "o", "--resume", "last", longer]) == 0
    text = f"the checkpoint lists files that are not in '{home}/o/checkpoints': {path!r}"
    assert f"\n{text}. They are dropped from the list, and left alone\n" in capsys.readouterr().out
    assert mine.is_dir()
