"""The trainer's options as a config: what is handed to Lightning."""

from __future__ import annotations

import pytest

from nshtrainer import TrainerConfig
from nshtrainer.configs import MetricConfig
from nshtrainer.exceptions import ConfigError


def test_only_what_was_changed_is_given_to_lightning():
    config = TrainerConfig(max_epochs=3, accelerator="cpu")
    assert config.lightning_arguments() == {"max_epochs": 3, "accelerator": "cpu"}


def test_configs_of_loggers_and_callbacks_are_not_given_to_lightning():
    config = TrainerConfig(logger="csv", callbacks=["timer"], max_epochs=1)  # type: ignore[arg-type]
    assert config.lightning_arguments() == {"max_epochs": 1}
    assert TrainerConfig(logger=False).lightning_arguments() == {"logger": False}


def test_what_is_ours_is_not_given_to_lightning():
    metric = MetricConfig(monitor="val/loss", mode="min")
    assert TrainerConfig(seed=1, primary_metric=metric).lightning_arguments() == {}


@pytest.mark.parametrize("text", ["1h", "00:01:00"])
def test_a_time_that_is_none_says_how_to_write_one(text: str):
    says = rf"<yaml>:1:11: max_time: must be days:hours:minutes:seconds, .* \(got '{text}'\)"
    with pytest.raises(ConfigError, match=says):
        TrainerConfig.from_yaml(f"max_time: {text}")


def test_the_schema_knows_how_a_time_is_written():
    part = TrainerConfig.json_schema()["properties"]["max_time"]
    assert part["type"] == ["string", "null"]
    assert part["pattern"] == r"^\d+:\d{1,2}:\d{1,2}:\d{1,2}$"


def test_devices_are_given_as_a_list():
    assert TrainerConfig(devices=(0, 2)).lightning_arguments() == {"devices": [0, 2]}
