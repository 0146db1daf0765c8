"""What configs of callbacks hand to Lightning, and what they refuse."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from nshtrainer import TrainerConfig
from nshtrainer.callbacks import (
    CallbackConfigBase,
    EarlyStoppingCallbackConfig,
    ModelCheckpointCallbackConfig,
    TimerConfig,
    UnfreezeCallbackConfig,
)
from nshtrainer.configs import EMACallbackConfig, EMAWeightAveragingConfig
from nshtrainer.exceptions import ConfigError


def read(text: str, *overrides: str) -> tuple[CallbackConfigBase, ...]:
    return TrainerConfig.from_yaml(f"callbacks: [{text}]", overrides=overrides).callbacks


def test_overrides_change_one_callback():
    changed = read("early_stopping, timer", "callbacks.0.patience=7")
    assert changed == (EarlyStoppingCallbackConfig(patience=7), TimerConfig())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("early_stoping", "unknown callback 'early_stoping'; did you mean 'early_stopping'"),
        ("{name: early_stopping, patience: -1}", "patience: must be >= 0"),
        ("{name: model_checkpoint, save_top_k: 3}", "no metric to tell which are best; set mon"),
        (
            "{name: model_checkpoint, every_n_epochs: 2, every_n_train_steps: 5}",
            "every_n_train_steps and every_n_epochs exclude each other; set one of them",
        ),
        ("{name: timer, duration: 1h}", "duration: must be days:hours:minutes:seconds"),
        ("{name: gradient_accumulation_scheduler, scheduling: {a: 2}}", "a key must be a whole"),
        ("{name: gradient_accumulation_scheduler, scheduling: {}}", "must have at least 1 item"),
        ("{name: unfreeze, groups: [body]}", "after: is required; add 'after: ...'"),
        ("{name: unfreeze, groups: [body], after: 3}", "write '3 steps' or '3 epochs'"),
        ("{name: unfreeze, after: 3 epochs}", "give the parameters by groups or by select"),
        (
            "{name: unfreeze, after: 3 epochs, groups: [body], select: body}",
            "give the parameters by groups or by select, one of them",
        ),
    ],
)
def test_what_is_wrong_has_a_remedy(text: str, says: str):
    with pytest.raises(ConfigError, match=f"callbacks.0.*{says}"):
        read(text)


@pytest.mark.parametrize("name", ["learning_rate_monitor", "device_stats_monitor"])
def test_a_callback_that_only_logs_needs_a_logger(name: str):
    with pytest.raises(ConfigError, match=f"{name} only logs, and logger is false; remove one"):
        read(name, "logger=false")
    assert read(name, "logger=csv")


def test_times_become_what_lightning_takes():
    timer: Any = TimerConfig(duration="1:2:3:4").create_callback()
    assert timer.time_remaining() == 93784
    assert TimerConfig().arguments()["duration"] is None
    config = ModelCheckpointCallbackConfig(train_time_interval="00:00:10:00")
    assert config.arguments()["train_time_interval"] == timedelta(minutes=10)


def test_the_name_of_ema_in_1_5_4_is_that_of_the_average():
    assert EMACallbackConfig is EMAWeightAveragingConfig


def test_unfreezing_gets_a_selection_as_it_is():
    config = UnfreezeCallbackConfig(after="3 epochs", select=("body", "head"))
    assert config.arguments()["select"] == ("body", "head")
