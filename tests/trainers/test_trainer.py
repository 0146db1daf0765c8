"""`TrainerConfig` against Lightning's constructor, and the trainer that is made from it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer
from pydantic import ValidationError
from tests.trainers.support import QUIET, Tiny, data, trainer

from nshtrainer import Trainer, TrainerConfig
from nshtrainer.configs import MetricConfig
from nshtrainer.exceptions import MetricError
from nshtrainer.integrations.lightning import (
    FiniteGradientCheck,
    FoundRates,
    LengthCheck,
    OptimizerCallback,
    OwnershipCheck,
    PlateauCallback,
    RNGStateCallback,
)

OBJECTS = {"self", "callbacks", "plugins"}
OURS = {
    "telemetry",
    "non_finite",
    "primary_metric",
    "resume",
    "schedule_clock",
    "seed",
    "weight_averaging",
}
LIGHTNINGS = {
    name: parameter.default
    for name, parameter in inspect.signature(pl.Trainer.__init__).parameters.items()
    if name not in OBJECTS
}


def test_the_options_are_lightnings_and_ours() -> None:
    assert set(TrainerConfig.model_fields) == {*LIGHTNINGS, *OURS, "callbacks"}


@pytest.mark.parametrize("name", LIGHTNINGS)
def test_a_default_equals_lightnings(name: str) -> None:
    default = TrainerConfig.model_fields[name].default
    assert default == LIGHTNINGS[name]
    assert type(default) is type(LIGHTNINGS[name])


EXAMPLES: dict[str, list[Any]] = {
    "accelerator": ["cpu"],
    "devices": [1, -1, "auto", (0, 1)],
    "precision": ["bf16-mixed", 32, "32"],
    "fast_dev_run": [True, 3],
    "max_epochs": [0, -1, 5],
    "max_steps": [100],
    "max_time": ["00:12:30:00"],
    "limit_train_batches": [1, 1.0, 0, 0.0, 0.5, 100],
    "overfit_batches": [1, 1.0, 0.5],
    "val_check_interval": [1, 1.0, 0.25, 1000, "00:00:10:00"],
    "check_val_every_n_epoch": [None, 2],
    "gradient_clip_val": [0.5, 1],
    "deterministic": [True, "warn"],
    "profiler": ["simple"],
    "logger": [True, False, "wandb", ("csv", {"name": "mlflow", "run_name": "first"})],
    "callbacks": [("early_stopping", {"name": "timer", "duration": "00:01:00:00"})],
    "primary_metric": [MetricConfig(monitor="val/loss", mode="min")],
    "seed": [0, 2**32 - 1],
}
CASES = [(name, value) for name, values in EXAMPLES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_values_keep_their_type_through_files(name: str, value: Any) -> None:
    config = TrainerConfig(**{name: value})
    for copy in (
        TrainerConfig.from_yaml(config.to_yaml()),
        TrainerConfig.from_json(config.to_json()),
        TrainerConfig.from_toml(config.replace(check_val_every_n_epoch=1).to_toml()),
    ):
        if name != "check_val_every_n_epoch":
            assert copy == config
            assert type(getattr(copy, name)) is type(getattr(config, name))
    assert config.gradient_clip_val is None or type(config.gradient_clip_val) is float
    hash(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("devices", -2),
        ("num_nodes", 0),
        ("precision", "8-mixed"),
        ("fast_dev_run", -1),
        ("max_epochs", -2),
        ("max_epochs", 1.5),
        ("max_epochs", True),
        ("min_steps", -1),
        ("max_steps", -2),
        ("max_steps", "100"),
        ("max_time", "12 hours"),
        ("limit_train_batches", 1.5),
        ("limit_val_batches", -1),
        ("limit_test_batches", True),
        ("overfit_batches", -0.5),
        ("val_check_interval", 0),
        ("val_check_interval", 2.5),
        ("check_val_every_n_epoch", 0),
        ("num_sanity_val_steps", -2),
        ("log_every_n_steps", -1),
        ("accumulate_grad_batches", 0),
        ("gradient_clip_val", -1.0),
        ("gradient_clip_val", float("nan")),
        ("gradient_clip_algorithm", "normal"),
        ("deterministic", "yes"),
        ("profiler", "sample"),
        ("seed", -1),
        ("seed", 2**32),
        ("callbacks", ["no_such_callback"]),
        ("logger", "no_such_logger"),
        ("logger", []),
        ("max_epoch", 3),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        TrainerConfig(**{name: value})


@pytest.mark.parametrize(
    "config",
    [TrainerConfig(max_steps=7), {"max_steps": 7}],
)
def test_a_trainer_is_made_from_a_config_or_a_mapping(config: Any) -> None:
    trainer = Trainer(config, **QUIET)
    assert (trainer.max_steps, trainer.config) == (7, TrainerConfig(max_steps=7))


def test_a_trainer_without_a_config_is_lightnings() -> None:
    trainer = Trainer(max_steps=5, **QUIET)
    assert (trainer.max_steps, trainer.config, trainer.primary_metric) == (5, TrainerConfig(), None)


def test_every_option_reaches_lightning(tmp_path: Path) -> None:
    config = TrainerConfig(
        accelerator="cpu",
        devices=1,
        precision="64-true",
        logger=False,
        max_epochs=3,
        max_time="00:00:10:00",
        limit_val_batches=4,
        val_check_interval=0.5,
        accumulate_grad_batches=2,
        gradient_clip_val=0.5,
        enable_checkpointing=False,
        default_root_dir=str(tmp_path),
    )
    trainer = Trainer(config)
    assert (trainer.max_epochs, trainer.limit_val_batches) == (3, 4)
    assert (trainer.val_check_interval, trainer.accumulate_grad_batches) == (0.5, 2)
    assert (trainer.precision, trainer.gradient_clip_val) == ("64-true", 0.5)
    assert any(isinstance(callback, Timer) for callback in trainer.callbacks)
    assert trainer.default_root_dir == str(tmp_path)
    assert trainer.checkpoint_callback is None


def test_python_arguments_go_before_the_config() -> None:
    assert Trainer({"max_steps": 7, "max_epochs": 2}, max_steps=3, **QUIET).max_steps == 3


def test_options_that_the_config_leaves_out_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PL_TRAINER_MAX_STEPS", "9")
    assert Trainer({"max_epochs": 2}, **QUIET).max_steps == 9
    assert Trainer({"max_steps": 7}, **QUIET).max_steps == 7


@pytest.mark.parametrize("wrong", [{"max_epoch": 3}, {"primary_metrics": None}])
def test_an_argument_that_nobody_knows_is_a_type_error_that_names_it(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(wrong))):
        Trainer(**wrong, **QUIET)
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Trainer(wrong, **QUIET)


@pytest.mark.parametrize("ours", [{"seed": 1}, {"primary_metric": None}, {"resume": None}])
def test_what_is_ours_stands_in_the_config_alone(ours: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=rf"set it in the config: .*{next(iter(ours))}="):
        Trainer(**ours, **QUIET)


@pytest.mark.parametrize("wrong", [3, "run.yaml", [("max_steps", 3)]])
def test_a_config_is_a_config_or_a_mapping(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        Trainer(wrong, **QUIET)


def test_a_seed_fixes_the_weights_of_the_module_made_next() -> None:
    weights = []
    for seed in (1, 1, 2):
        Trainer({"seed": seed}, **QUIET)
        weights.append(Tiny().layer.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("given", [None, [], PlateauCallback(), [PlateauCallback()]])
def test_each_callback_of_ours_is_there_once(given: Any) -> None:
    callbacks = Trainer(callbacks=given, **QUIET).callbacks
    ours = [
        PlateauCallback,
        FoundRates,
        OptimizerCallback,
        FiniteGradientCheck,
        RNGStateCallback,
        LengthCheck,
        OwnershipCheck,
    ]
    assert [type(callback) for callback in callbacks] == ours


def test_the_primary_metric_is_what_a_plateau_schedule_looks_at() -> None:
    class Validated(Tiny):
        def validation_step(self, batch: Any) -> None:
            self.log("score", 1.0)

    trainer = Trainer(
        {"primary_metric": {"monitor": "score", "mode": "max"}}, max_epochs=1, **QUIET
    )
    trainer.fit(Validated({"lr_scheduler": "reduce_lr_on_plateau"}), data(), data(2))
    (config,) = trainer.lr_scheduler_configs
    assert (config.monitor, config.scheduler.mode) == ("score", "max")


# -- a metric that is never logged -----------------------------------------------------------------


class Logging(Tiny):
    def training_step(self, batch: Any) -> Any:
        if batch[0, 0] > 1e9:
            raise RuntimeError("of the user's own")
        loss = super().training_step(batch)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Any) -> None:
        self.log("val/loss", super().training_step(batch))


@pytest.mark.parametrize(
    ("monitors", "who"),
    [
        (lambda _: EarlyStopping("val_loss"), "EarlyStopping"),
        (lambda path: ModelCheckpoint(path, monitor="val_loss"), "ModelCheckpoint"),
    ],
)
def test_a_metric_that_is_never_logged_is_an_error_with_the_nearest(
    monitors: Any, who: str, tmp_path: Path
) -> None:
    says = rf"^{who} monitors 'val_loss', which was never logged; did you mean 'val/loss'\?"
    fitting = trainer(max_epochs=1, callbacks=[monitors(tmp_path)])
    with pytest.raises(MetricError, match=says):
        fitting.fit(Logging(), data(), data())


def test_another_error_of_a_run_is_raised_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="of the user's own") as caught:
        trainer(max_epochs=1).fit(Logging(), torch.full((2, 1, 2), 1e10), data())
    assert not isinstance(caught.value, MetricError)


def test_fit_has_the_arguments_of_lightnings() -> None:
    assert inspect.signature(Trainer.fit) == inspect.signature(pl.Trainer.fit)
