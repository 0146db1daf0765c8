"""The trainer's options as a config: what is handed to Lightning."""

from __future__ import annotations

from nshtrainer import TrainerConfig
from nshtrainer.configs import MetricConfig


def test_only_what_was_changed_is_given_to_lightning():
    config = TrainerConfig(max_epochs=3, accelerator="cpu")
    assert config.lightning_arguments() == {"max_epochs": 3, "accelerator": "cpu"}


def test_what_is_ours_is_not_given_to_lightning():
    metric = MetricConfig(monitor="val/loss", mode="min")
    assert TrainerConfig(seed=1, primary_metric=metric).lightning_arguments() == {}


def test_devices_are_given_as_a_list():
    assert TrainerConfig(devices=(0, 2)).lightning_arguments() == {"devices": [0, 2]}
