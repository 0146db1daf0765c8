"""A checkpoint from a stranger is data, or it is refused: what is pickled in it never runs."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytest
import torch
from tests.cli.support import RUN, TRAIN
from tests.trainers.support import Tiny

from nshtrainer.cli import main
from nshtrainer.exceptions import CheckpointError
from nshtrainer.legacy import read_hparams, read_trainer_config

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol 4:UserWarning")


class Payload:
    """What leaves a file behind where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch canary.txt",)


WRITERS: dict[str, Callable[[Any, Path], Any]] = {
    "zip": torch.save,
    "the older form": lambda whole, path: torch.save(
        whole, path, _use_new_zipfile_serialization=False
    ),
    "a bare pickle": lambda whole, path: path.write_bytes(pickle.dumps(whole)),
}
PLACES = ("hyper_parameters", "trainer_hyper_parameters", "optimizer_states", "state_dict", "notes")
BENIGN = {"state_dict": {}, "global_step": 1, "epoch": 0, "hyper_parameters": {"hparams": {}}}


@pytest.fixture(params=[(form, place) for form in WRITERS for place in PLACES], ids=str)
def evil(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with a payload, in an empty folder."""
    form, place = request.param
    monkeypatch.chdir(tmp_path)
    # What makes torch run a file that nobody said is data.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = tmp_path / "evil.ckpt"
    WRITERS[form]({**BENIGN, place: Payload()}, path)
    return path


def not_run() -> bool:
    return not Path("canary.txt").exists()


def test_the_payload_runs_where_it_is_believed(evil: Path):
    with suppress(RuntimeError):  # a bare pickle is no checkpoint, which is seen when it has run
        torch.load(evil, weights_only=False)
    assert not not_run()


def test_a_module_is_not_loaded_from_it(evil: Path):
    with pytest.raises(CheckpointError, match="other than plain data, or is not a checkpoint"):
        Tiny.load_from_checkpoint(evil)
    with pytest.raises((CheckpointError, UnpicklingError)):
        Tiny.load_from_checkpoint(evil, hparams={})
    with evil.open("rb") as file, pytest.raises(CheckpointError):
        Tiny.load_from_checkpoint(file)
    assert not_run()


@pytest.mark.parametrize("read", [read_hparams, read_trainer_config])
def test_options_are_not_read_from_it(evil: Path, read: Any):
    with pytest.raises(CheckpointError, match="only code can make, or is no checkpoint"):
        read(evil)
    assert not_run()


def test_a_run_does_not_go_on_from_it(evil: Path, capsys: pytest.CaptureFixture[str]):
    Path("train.py").write_text(TRAIN, encoding="utf-8")
    Path("run.yaml").write_text(RUN, encoding="utf-8")
    assert main(["fit", "train.py", "--config", "run.yaml", "--resume", "evil.ckpt"]) == 2
    assert "evil.ckpt: cannot be read as a checkpoint: " in capsys.readouterr().err
    assert not_run()


@pytest.mark.parametrize("verb", ["validate", "plot", "show", "explain", "diff"])
def test_a_verb_that_reads_configs_does_not_read_it(
    evil: Path, capsys: pytest.CaptureFixture[str], verb: str
):
    Path("train.py").write_text(TRAIN, encoding="utf-8")
    arguments = {"explain": ["train.py", "--config", "evil.ckpt"], "diff": ["evil.ckpt"] * 2}
    assert main([verb, *arguments.get(verb, ["evil.ckpt"])]) in {1, 2}
    assert "evil.ckpt" in capsys.readouterr().err
    assert not_run()


def test_what_names_a_class_in_plain_data_is_an_unknown_key(tmp_path: Path):
    path = tmp_path / "evil.ckpt"
    hparams = {"_instantiator": "os.system", "_class_path": "os.system"}
    torch.save({**BENIGN, "hyper_parameters": hparams}, path)
    with pytest.raises(CheckpointError, match="unknown key '_instantiator'"):
        Tiny.load_from_checkpoint(path)
