"""Loggers and callbacks of a trainer in Python: from its config, and given as configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar, Timer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import DummyLogger
from tests.trainers.support import BOTH_TRAINERS, QUIET, Tiny, data

from nshtrainer import Trainer
from nshtrainer.callbacks import EarlyStoppingCallbackConfig, TimerConfig
from nshtrainer.exceptions import MetricError
from nshtrainer.loggers import CSVLoggerConfig

LOUD = {key: value for key, value in QUIET.items() if value is not False}


def test_loggers_of_the_config_write_to_the_root_folder(tmp_path: Path) -> None:
    config = {
        "logger": ["csv", {"name": "csv", "save_dir": "own"}],
        "default_root_dir": f"{tmp_path}",
    }
    trainer = Trainer(config, **LOUD)
    assert [type(each) for each in trainer.loggers] == [CSVLogger, CSVLogger]
    assert [each.save_dir for each in trainer.loggers] == [str(tmp_path), "own"]


def test_loggers_and_callbacks_may_be_given_as_configs(tmp_path: Path) -> None:
    own = CSVLogger(tmp_path)
    loggers: Any = [CSVLoggerConfig(save_dir="a"), own]
    trainer = Trainer({"logger": "wandb"}, **LOUD, logger=loggers, callbacks=TimerConfig())
    assert trainer.loggers[0].save_dir == "a"
    assert trainer.loggers[1] is own
    assert any(isinstance(each, Timer) for each in trainer.callbacks)  # type: ignore[attr-defined]


@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"logger": False}])
def test_a_trial_run_creates_no_logger(
    options: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CSVLoggerConfig, "create_logger", None)
    trainer = Trainer({"logger": "csv"}, **LOUD, **options)
    assert all(isinstance(each, DummyLogger) for each in trainer.loggers)


def test_callbacks_are_added_to_those_of_the_config() -> None:
    given = Timer()
    trainer: Any = Trainer({"callbacks": ["early_stopping"]}, **QUIET, callbacks=[given])
    assert isinstance(trainer.callbacks[0], EarlyStopping)
    assert given in trainer.callbacks


@pytest.mark.parametrize(
    ("name", "switch", "cls"),
    [
        ("model_checkpoint", "enable_checkpointing", ModelCheckpoint),
        ("rich_progress_bar", "enable_progress_bar", RichProgressBar),
    ],
)
def test_a_switch_in_python_leaves_out_callbacks_of_the_config(
    name: str, switch: str, cls: Any
) -> None:
    def kinds(**options: Any) -> bool:
        trainer: Any = Trainer({"callbacks": [name]}, **{**QUIET, **options})
        return any(isinstance(each, cls) for each in trainer.callbacks)

    assert kinds(**{switch: True})
    assert not kinds()


def test_the_environment_chooses_where_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_TRAINER_LOGGER", "False")
    assert Trainer(**LOUD).loggers == []
    assert Trainer({"logger": "csv"}, **LOUD).loggers != []


# -- early stopping --------------------------------------------------------------------------------


class Rising(Tiny):
    def on_train_epoch_end(self) -> None:
        self.log("loss", float(self.current_epoch))


def stopped(make: Any, hparams: Any, **fields: Any) -> pl.Trainer:
    callback = EarlyStoppingCallbackConfig(patience=1, **fields).create_callback()
    trainer = make(max_epochs=6, **QUIET, callbacks=[callback])
    trainer.fit(Rising(hparams), data(1))
    return trainer


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize(("mode", "epochs"), [("min", 2), ("max", 6)])
def test_the_metric_of_the_hyperparameters_is_monitored(make: Any, mode: str, epochs: int) -> None:
    hparams = {"primary_metric": {"monitor": "loss", "mode": mode}}
    assert stopped(make, hparams).current_epoch == epochs
    assert stopped(make, hparams, monitor="loss").current_epoch == epochs
    assert stopped(make, hparams, monitor="loss", mode="min").current_epoch == 2


def test_another_metric_is_minimized_unless_its_mode_is_given() -> None:
    hparams = {"primary_metric": {"monitor": "other", "mode": "max"}}
    assert stopped(Trainer, hparams, monitor="loss").current_epoch == 2
    assert stopped(Trainer, {}, monitor="loss", mode="max").current_epoch == 6


def test_no_metric_is_an_error() -> None:
    with pytest.raises(MetricError, match="monitor is not set, and there is no primary metric"):
        stopped(Trainer, {})


def test_its_state_fits_that_of_lightnings() -> None:
    ours = EarlyStoppingCallbackConfig(monitor="a", mode="max", patience=2).create_callback()
    theirs = EarlyStopping("a", mode="max")
    assert ours.state_key == theirs.state_key
    theirs.load_state_dict(ours.state_dict())
    assert theirs.patience == 2
