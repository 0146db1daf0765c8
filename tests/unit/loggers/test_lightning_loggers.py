"""What configs of loggers hand to Lightning, and the field that holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from lightning.pytorch.loggers import CSVLogger

from nshtrainer import TrainerConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.loggers import (
    CSVLoggerConfig,
    LightningLoggerConfigBase,
    MLFlowLoggerConfig,
    TensorboardLoggerConfig,
    WandbLoggerConfig,
)


class PlainConfig(LightningLoggerConfigBase):
    """A logger of Lightning without a version."""

    target = "lightning.pytorch.loggers:CSVLogger"
    name: Literal["plain"] = "plain"


def test_a_logger_writes_to_the_folder_that_it_is_given(tmp_path: Path):
    logger = PlainConfig().create_logger(tmp_path)
    assert isinstance(logger, CSVLogger)
    assert logger.save_dir == str(tmp_path)


def read(text: str, *overrides: str) -> Any:
    return TrainerConfig.from_yaml(text, overrides=overrides).logger


def test_a_field_holds_a_switch_a_logger_or_several():
    assert read("logger: true") is True
    assert read("logger: null") is None
    assert read("logger: csv") == CSVLoggerConfig()
    two = read("logger: [csv, {name: wandb, offline: true}]")
    assert two == (CSVLoggerConfig(), WandbLoggerConfig(offline=True))


def test_overrides_choose_and_change_a_logger():
    assert read("", "logger=wandb", "logger.project=x") == WandbLoggerConfig(project="x")
    assert read("logger: wandb", "logger.project=x") == WandbLoggerConfig(project="x")
    assert read("logger: [csv, wandb]", "logger.1.project=x")[1].project == "x"
    assert read("logger: {name: wandb, project: x}", "logger=csv") == CSVLoggerConfig()
    assert read("logger: wandb", "logger=false") is False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("wandbb", r"<yaml>:1:9: logger: unknown logger 'wandbb'; did you mean 'wandb'\?"),
        ("1", r"logger: write the logger as a mapping with a 'name', or give a config \(got 1\)"),
        ("[]", "logger: must have 1 item"),
        ("[csv, {name: wandb, proj: x}]", "logger.1.proj: unknown key 'proj'; did you mean 'proj"),
        ("{name: wandb, offline: true, log_model: all}", "log_model uploads .* offline forbids"),
        ("{name: tensorboard, flush_secs: 0}", "flush_secs: must be > 0"),
    ],
)
def test_what_is_wrong_has_a_place_and_a_remedy(text: str, says: str):
    with pytest.raises(ConfigError, match=says):
        read(f"logger: {text}")


@pytest.mark.parametrize("cls", [CSVLoggerConfig, TensorboardLoggerConfig])
def test_files_have_lightnings_layout_by_default(cls: Any, tmp_path: Path):
    log = cls().create_logger(tmp_path)
    assert Path(log.log_dir) == tmp_path / "lightning_logs/version_0"
    log = cls(experiment_name="mine", version=3).create_logger(tmp_path)
    assert Path(log.log_dir) == tmp_path / "mine/version_3"
    log = cls(experiment_name="", version="").create_logger(tmp_path)
    assert Path(log.log_dir) == tmp_path
    assert not cls().is_placed
    assert cls(version="").is_placed


def test_wandb_gets_its_name_and_a_folder_by_either_name(tmp_path: Path):
    log: Any = WandbLoggerConfig(run_name="first", dir="own", tags=("a",)).create_logger(tmp_path)
    assert (log.name, log.save_dir) == ("lightning_logs", "own")
    assert log._wandb_init["name"] == "first"
    assert log._wandb_init["tags"] == ("a",)


@pytest.mark.parametrize(
    ("fields", "environment", "expected"),
    [
        ({}, "", {"tracking_uri": "sqlite:///{}/mlflow.db", "artifact_location": "{}/mlartifacts"}),
        ({"artifact_location": "s3://x"}, "", {"artifact_location": "s3://x"}),
        ({}, "http://host", {"tracking_uri": "http://host", "artifact_location": None}),
        ({"tracking_uri": "file:a"}, "http://host", {"tracking_uri": "file:a"}),
        ({"tags": {"a": "b"}}, "", {"tags": {"a": "b"}}),
    ],
)
def test_mlflow_keeps_its_runs_in_a_database_of_the_folder(
    fields: Any, environment: str, expected: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", environment)
    monkeypatch.setattr(MLFlowLoggerConfig, "target", "builtins:dict")
    made: Any = MLFlowLoggerConfig(**fields).create_logger(tmp_path)
    assert made["save_dir"] == str(tmp_path)
    for key, value in expected.items():
        assert made[key] == (value.format(tmp_path) if isinstance(value, str) else value)
