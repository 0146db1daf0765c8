"""Runs that go on: what fit says of it, and what an exception leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from tests.cli.support import MID_EPOCH, only_run, rates
from tests.cli.test_going_on import FIT

from nshtrainer.cli import main
from nshtrainer.runs.run_dir import RunFolder


def test_a_run_with_nothing_left_to_train_has_its_last_checkpoint(home: Path) -> None:
    run = ["fit", "train.py", "--config", "run.yaml", "--out", "o", "trainer.max_epochs=2"]
    assert main(run) == 0
    last, best = (Path(f"o/checkpoints/{name}.ckpt") for name in ("last", "best"))
    whole = torch.load(last, weights_only=True)
    torch.save({**whole, "weights": "of another"}, best)
    torch.save({**whole, "global_step": whole["global_step"] - 1}, last)
    assert main([*run, "--resume"]) == 0
    assert last.read_bytes() == best.read_bytes()


NAMES = ("best.ckpt", "last.ckpt", "hpc.ckpt", "best", "hpc", "registry", "x" * 300, "x/" * 3000)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_no_file_is_an_error(
    home: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main([*FIT, "--resume", name]) == 2
    assert capsys.readouterr().err.startswith(f"--resume {name}: no such checkpoint; give a .ckpt")


def test_a_file_or_a_folder_that_cannot_be_is_an_error(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "x" * 300
    for option in ("--out", "--config"):
        assert main([*FIT, option, name]) == 2
        assert name in capsys.readouterr().err
    assert main(["fit", f"{name}.py", *FIT[2:]]) == 2
    assert f"{name}.py: no such file" in capsys.readouterr().err
    Path("file").touch()
    assert main([*FIT, "--out", "file"]) == 2
    assert "file: cannot be created: not a directory; choose another" in capsys.readouterr().err


def test_a_file_with_a_name_that_lightning_knows_is_taken_as_a_file(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "--out", "o", "trainer.max_epochs=1"]) == 0
    Path("o/checkpoints/last.ckpt").rename("best")
    assert main([*FIT, "--out", "o", "--resume", "best"]) == 0
    said = capsys.readouterr().out
    assert "resuming from best (step 4, epoch 1)\n" in said
    assert "the run was already complete" not in said
    assert sorted(rates(Path("o"))) == list(range(12))


def test_a_folder_where_a_run_is_alive_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(Path("o")).claimed()
    with folder.held():
        for resume in ([], ["--resume", "auto"]):
            assert main([*FIT, "--out", "o", *resume]) == 2
            said = capsys.readouterr().err
            assert said.startswith(f"o: in use by another run (process {os.getpid()} on")
            assert "wait for its end, stop that run, or choose another folder with --out\n" in said
    assert main([*FIT, "--out", "o", "trainer.max_epochs=1"]) == 0
    assert not Path("o/.lock").exists()


def test_a_resume_with_fewer_epochs_than_were_trained_is_refused_in_a_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "trainer.max_epochs=4"]) == 0
    assert main([*FIT, "trainer.max_epochs=1", "--resume"]) == 2
    error = capsys.readouterr().err
    assert "Lightning refuses this run: You restored a checkpoint with current_epoch" in error
    assert "Traceback" not in error


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
    assert (only_run() / ".start").read_text(encoding="utf-8") == "2\n"
    assert main([*FIT, "--resume"]) == 0
    assert f"resuming from {only_run()}/checkpoints/last.ckpt" in capsys.readouterr().out


def test_an_override_after_a_bare_resume_is_no_checkpoint(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "trainer.max_epochs=1"]) == 0
    assert main(["fit", "--resume", "trainer.max_epochs=2", *FIT[1:]]) == 0
    assert "(step 4, epoch 1)" in capsys.readouterr().out
    for name in ("epoch=3.ckpt", "lr=1"):
        Path("lr=1").mkdir(exist_ok=True)
        assert main([*FIT, "--resume", name]) == 2
        assert f"--resume {name}: no" in capsys.readouterr().err


@pytest.mark.filterwarnings(MID_EPOCH)
def test_the_command_that_goes_on_keeps_an_override_after_a_bare_resume(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "trainer.max_epochs=1"]) == 0
    text = Path("train.py").read_text(encoding="utf-8")
    failing = text.replace('stop("train"', "1 / (self.global_step - 6); stop(0")
    Path("train.py").write_text(failing, encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        main([*FIT, "--resume", "trainer.max_epochs=2"])
    path = only_run() / "checkpoints/exception.ckpt"
    command = f"--config run.yaml trainer.max_epochs=2 --resume {path}\n"
    assert command in capsys.readouterr().out


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
    assert f"stopped by ZeroDivisionError; the last checkpoint is {path}\nto resume: " in said
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
