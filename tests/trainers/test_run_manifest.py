"""The manifest of a run that Lightning's own trainer makes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from tests.trainers.support import MID_EPOCH, NO_SAVER, Plain, Tiny, trainer
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer import RunManifest
from nshtrainer.config.file_lock import hold
from nshtrainer.configs import SGDConfig
from nshtrainer.runs.listing import find_runs

pytestmark = [
    pytest.mark.filterwarnings(MID_EPOCH),
    pytest.mark.filterwarnings(NO_SAVER),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def batches() -> Any:
    return DataLoader(torch.ones(4, 2))


def stretches(folder: str | Path = ".") -> list[dict[str, Any]]:
    return json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))["stretches"]


class Watched(Plain):
    """A module of plain Lightning, with arguments of all kinds."""

    def __init__(self, width: int = 2, table: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters()

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        loss = super().training_step(batch)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: torch.Tensor) -> None:
        """Do nothing."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_plain_module_under_lightnings_trainer_is_recorded() -> None:
    saver = ModelCheckpoint(monitor="loss")
    stop = EarlyStopping("loss", patience=9, check_on_train_epoch_end=True)
    logger = CSVLogger("logs", name="mine")
    callbacks = [RunManifest(), saver, stop]
    runner = trainer(pl.Trainer, max_epochs=2, callbacks=callbacks, logger=logger)
    runner.fit(Watched(table={"a": (1, object())}), batches())
    assert Path(saver.best_model_path).parents[1] == Path("logs/mine/version_0")
    (stretch,) = stretches("logs/mine/version_0")
    assert (stretch["outcome"], stretch["steps"]) == ("completed", 8)
    assert stretch["command"] == sys.orig_argv
    assert stretch["code"].endswith("test_run_manifest.py:Watched")
    assert stretch["best"].keys() == stretch["metrics"].keys() == {"loss"}
    (run,) = find_runs(Path("logs"))
    model: Any = run.config["model"]
    assert model["width"] == 2
    assert model["table"]["a"][0] == 1
    assert model["table"]["a"][1].startswith("<object object")
    assert run.config["trainer"]["max_epochs"] == 2
    assert not Path("logs/mine/version_0/.lock").exists()


@pytest.mark.filterwarnings("ignore:Early stopping conditioned on metric")
def test_a_metric_that_is_never_logged_has_no_best_value() -> None:
    stops = [
        EarlyStopping(name, strict=False, check_finite=False, check_on_train_epoch_end=True)
        for name in ("los", "never", "nan")
    ]
    runner = trainer(pl.Trainer, max_epochs=1, callbacks=[RunManifest("here"), *stops])
    runner.fit(Diverged(), batches())
    assert stretches("here")[0]["best"] == {"nan": None}


class Diverged(Watched):
    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.log("nan", torch.nan)
        return super().training_step(batch)


def test_a_config_is_recorded_with_the_seed() -> None:
    config = {"max_epochs": 1, "seed": 5}
    runner = trainer(config=config, callbacks=[RunManifest("here")])
    runner.fit(Tiny({"optimizer": SGDConfig(lr=0.5)}), batches())
    (stretch,) = stretches("here")
    assert stretch["seed"] == 5
    assert find_runs(Path())[0].config["model"]["optimizer"]["lr"] == 0.5
    assert find_runs(Path())[0].config["trainer"]["seed"] == 5


@pytest.mark.parametrize("make", [pl.Trainer, nshtrainer.Trainer])
def test_each_fit_is_a_stretch_and_a_resume_has_the_kept_values(make: Any) -> None:
    runner = trainer(make, max_epochs=1, callbacks=[RunManifest()], default_root_dir=".")
    runner.fit(Tiny({"optimizer": SGDConfig(lr=0.5)}), batches())
    runner.save_checkpoint("a.ckpt")
    trainer(pl.Trainer, callbacks=[RunManifest()]).validate(Watched(), batches(), verbose=False)
    longer = trainer(make, max_epochs=2, callbacks=[RunManifest()], default_root_dir=".")
    with pytest.warns(UserWarning, match=r"optimizer.lr 0.5 -> 0.25"):
        longer.fit(Tiny({"optimizer": SGDConfig(lr=0.25)}), batches(), ckpt_path="a.ckpt")
    assert [(each["first_step"], each["steps"]) for each in stretches()] == [(0, 4), (4, 8)]
    assert find_runs(Path())[0].config["model"]["optimizer"]["lr"] == 0.5


class Failing(Watched):
    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        if self.global_step:
            raise ValueError("no")
        return super().training_step(batch)


def test_a_failed_run_is_recorded_and_another_one_after_it() -> None:
    manifest = RunManifest("here")
    with pytest.raises(ValueError, match="no"):
        trainer(pl.Trainer, max_epochs=1, callbacks=[manifest]).fit(Failing(), batches())
    trainer(pl.Trainer, max_epochs=1, callbacks=[manifest]).fit(Watched(), batches())
    ends = [(each["outcome"], each["error"]) for each in stretches("here")]
    assert ends == [("failed", "ValueError: no"), ("completed", None)]


def test_a_manifest_that_cannot_be_written_does_not_stop_a_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("file").touch()
    for folder in ("file", "s3://bucket/run"):
        runner = trainer(pl.Trainer, max_epochs=1, callbacks=[RunManifest(folder)])
        runner.fit(Watched(), batches())
        assert runner.global_step == 4
        assert capsys.readouterr().err.count("no manifest is written: ") == 1


def test_a_folder_that_another_run_holds_is_written_all_the_same() -> None:
    Path("here").mkdir()
    with hold(Path("here/.lock"), "another"):
        trainer(pl.Trainer, max_epochs=1, callbacks=[RunManifest("here")]).fit(Watched(), batches())
    assert stretches("here")[0]["outcome"] == "completed"


def test_a_trial_run_is_not_recorded() -> None:
    trainer(pl.Trainer, fast_dev_run=True, callbacks=[RunManifest()]).fit(Watched(), batches())
    assert not list(Path().iterdir())
