"""Ctrl-C and SIGTERM on real runs, and going on from what they left."""

from __future__ import annotations

import os
import signal as python_signal
from pathlib import Path

import pytest
import torch
from tests.cli.support import MID_EPOCH, command_in, only_run, rates
from tests.faults.programs import command, start

from nshtrainer.cli import main
from nshtrainer.runs.signals import Signals

pytestmark = pytest.mark.filterwarnings(MID_EPOCH)

FIT = ["fit", "train.py", "--config", "run.yaml"]

HANDLERS = """

import signal
from nshtrainer.runs.signals import Signals

def check(self):
    assert isinstance(signal.getsignal(signal.SIGTERM).__self__, Signals)
    open("checked", "w").close()

Line.on_sanity_check_start = Line.on_train_start = check
"""


@pytest.mark.parametrize(
    ("signal", "code"), [pytest.param("SIGINT", 130, marks=pytest.mark.slow), ("SIGTERM", 143)]
)
def test_a_process_that_is_interrupted_saves_and_its_own_words_go_on(
    home: Path, whole: dict[int, float], signal: str, code: int
) -> None:
    environment = {"STOP": f"{signal} train 5"}
    stopped = start(home, command, *FIT, environment=environment)
    assert stopped.code == code, stopped.err
    folder = only_run()
    assert f"the last checkpoint is {folder / 'checkpoints' / 'last.ckpt'}" in stopped.out
    assert "stopping after this step" in stopped.err
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6

    again = start(home, command, *command_in(stopped.out))
    assert again.code == 0, again.err
    assert f"resuming from {folder / 'checkpoints' / 'last.ckpt'} (step 6, epoch 2)" in again.out
    assert rates(folder) == whole
    assert len(whole) == 12


@pytest.mark.parametrize(
    ("phase", "step", "signal"),
    [
        ("train", 0, "SIGINT"),
        ("train", 3, "SIGTERM"),
        ("train", 4, "SIGINT"),
        ("train", 7, "SIGINT"),
        ("train", 8, "SIGTERM"),
        ("train", 11, "SIGTERM"),
        ("validate", 4, "SIGINT"),
        ("validate", 12, "SIGTERM"),
    ],
)
def test_wherever_a_run_is_interrupted_it_goes_on_as_if_it_had_not_been(
    home: Path,
    whole: dict[int, float],
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    step: int,
    signal: str,
) -> None:
    monkeypatch.setenv("STOP", f"{signal} {phase} {step}")
    assert main(FIT) == {"SIGINT": 130, "SIGTERM": 143}[signal]
    monkeypatch.delenv("STOP")
    assert main([*FIT, "--resume", "last"]) == 0
    folder = only_run()
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 12
    assert rates(folder) == whole


def test_a_second_signal_stops_at_once_and_unsaved(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (home / "train.py").read_text(encoding="utf-8")
    twice = code.replace("os.kill(", "os.kill(os.getpid(), signal.SIGINT); os.kill(")
    (home / "train.py").write_text(twice, encoding="utf-8")
    monkeypatch.setenv("STOP", "SIGINT train 5")
    assert main(FIT) == 130
    saved = torch.load(only_run() / "checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert "to resume: " in capsys.readouterr().out


def test_ctrl_c_in_a_process_that_reads_data_is_left_to_the_run() -> None:
    with Signals() as signals:
        signals._process = -1
        os.kill(os.getpid(), python_signal.SIGINT)
        assert signals.asked is None


def test_the_handlers_of_before_are_put_back(home: Path) -> None:
    before = [
        python_signal.getsignal(each) for each in (python_signal.SIGINT, python_signal.SIGTERM)
    ]
    assert main([*FIT, "trainer.max_epochs=1"]) == 0
    after = [
        python_signal.getsignal(each) for each in (python_signal.SIGINT, python_signal.SIGTERM)
    ]
    assert after == before


@pytest.mark.parametrize(("phase", "step"), [("train", 7), ("validate", 8)])
def test_a_run_with_an_average_goes_on_with_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, phase: str, step: int
) -> None:
    averaged = [*FIT, "trainer.weight_averaging={name: ema, decay: 0.5, start: 3 steps}"]
    assert main([*averaged, "--out", "whole"]) == 0
    monkeypatch.setenv("STOP", f"SIGINT {phase} {step}")
    assert main([*averaged, "--out", "o"]) == 130
    monkeypatch.delenv("STOP")
    assert main([*averaged, "--out", "o", "--resume", "last"]) == 0
    one, other = (
        torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)
        for folder in ("o", "whole")
    )
    assert one["averaging_state"]["n_averaged"] == other["averaging_state"]["n_averaged"] == 9
    for kind in ("state_dict", "current_model_state"):
        for key, value in other[kind].items():
            assert torch.equal(one[kind][key], value)
    assert not torch.equal(
        one["state_dict"]["layer.bias"], one["current_model_state"]["layer.bias"]
    )


def test_lightning_adds_no_signal_handler_to_a_run(home: Path) -> None:
    with (home / "train.py").open("a", encoding="utf-8") as code:
        code.write(HANDLERS)
    assert main(FIT) == 0
    assert (home / "checked").exists()
