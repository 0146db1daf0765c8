"""Checkpoints of nshtrainer 1.5.4, with what a real one held, cut down to what is read."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import nshtrainer
from nshtrainer.configs import (
    AdafactorConfig,
    AdamWConfig,
    CSVLoggerConfig,
    DurationConfig,
    EarlyStoppingCallbackConfig,
    EpochsConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfig,
    MetricConfig,
    OptimizerConfig,
    SGDConfig,
    StepsConfig,
    TrainerConfig,
    WandbLoggerConfig,
)
from nshtrainer.exceptions import CheckpointError, NshtrainerWarning
from nshtrainer.legacy import convert, read_hparams, read_trainer_config

MODEL: dict[str, Any] = {
    "width": 4,
    "optimizer": {
        "name": "adamw",
        "lr": 0.002,
        "weight_decay": 0.01,
        "betas": (0.9, 0.99),
        "eps": 1e-08,
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
    },
    "lr_scheduler": {
        "name": "linear_warmup_cosine_decay",
        "warmup_duration": {"kind": "steps", "value": 2},
        "max_duration": {"kind": "epochs", "value": 2},
        "warmup_start_lr_factor": 0.0,
        "min_lr_factor": 0.1,
        "annealing": False,
    },
    "freeze_for": {"kind": "epochs", "value": 0.5},
    "metric": {"monitor": "val/loss", "mode": "min"},
}
TRAINER: dict[str, Any] = {
    "id": "run1",
    "environment": {"cwd": "/somewhere"},
    "primary_metric": {"monitor": "val/loss", "mode": "min"},
    "gradient_clipping": {"enabled": True, "value": 0.5, "algorithm": "norm"},
    "precision": "fp16-mixed",
    "max_epochs": 2,
    "max_steps": -1,
    "max_time": None,
    "limit_val_batches": 0.5,
    "accelerator": "cpu",
    "devices": "all",
    "use_distributed_sampler": None,
    "early_stopping": None,
    "hf_hub": {"name": "hf_hub", "enabled": False, "token": None},
    "lightning_kwargs": {"accumulate_grad_batches": 4},
}


class MyConfig(nshtrainer.Config):
    width: int
    optimizer: OptimizerConfig = AdamWConfig()
    lr_scheduler: LRSchedulerConfig | None = None
    freeze_for: DurationConfig = StepsConfig(value=0)
    metric: MetricConfig | None = None


class MyModel(nshtrainer.LightningModuleBase[MyConfig]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.layer = torch.nn.Linear(self.hparams.width, 1)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return saved(tmp_path, MODEL)


def saved(folder: Path, model: Any, trainer: Any = TRAINER) -> Path:
    path = folder / "old.ckpt"
    weights = torch.nn.ModuleDict({"layer": torch.nn.Linear(4, 1)}).state_dict()
    parts = {"hyper_parameters": model, "trainer_hyper_parameters": trainer}
    extra = {"hparams_name": "hparams", "pytorch-lightning_version": "2.6.6"}
    torch.save({"state_dict": weights, **extra, **parts}, path)
    return path


def test_the_hyperparameters_come_back_as_a_config_of_today(checkpoint: Path) -> None:
    assert read_hparams(checkpoint, MyConfig) == MyConfig(
        width=4,
        optimizer=AdamWConfig(lr=2e-3, betas=(0.9, 0.99)),
        lr_scheduler=LinearWarmupCosineDecayLRSchedulerConfig(
            warmup_duration="2 steps", max_duration="2 epochs", min_lr_factor=0.1
        ),
        freeze_for=EpochsConfig(value=0.5),
        metric=MetricConfig(monitor="val/loss", mode="min"),
    )


def test_without_a_class_they_come_back_as_plain_data(checkpoint: Path) -> None:
    data = read_hparams(checkpoint)
    assert data["freeze_for"] == {"name": "epochs", "value": 0.5}
    assert MyConfig.from_mapping(data) == read_hparams(checkpoint, MyConfig)


def test_the_file_beside_the_checkpoint_says_the_same(tmp_path: Path, checkpoint: Path) -> None:
    beside = tmp_path / "old.metadata.json"
    beside.write_text(json.dumps({"epoch": 1, "hparams": {"model": MODEL, "trainer": TRAINER}}))
    assert read_hparams(beside, MyConfig) == read_hparams(checkpoint, MyConfig)
    assert read_trainer_config(beside) == read_trainer_config(checkpoint)


def test_the_weights_load_with_the_hyperparameters_that_were_read(checkpoint: Path) -> None:
    model = MyModel.load_from_checkpoint(checkpoint, hparams=read_hparams(checkpoint, MyConfig))
    old = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert torch.equal(model.layer.weight, old["layer.weight"])
    assert model.lr == 0.002


def test_the_options_of_the_trainer_come_back(checkpoint: Path) -> None:
    assert read_trainer_config(checkpoint) == TrainerConfig(
        primary_metric=MetricConfig(monitor="val/loss", mode="min"),
        gradient_clip_val=0.5,
        gradient_clip_algorithm="norm",
        precision="16-mixed",
        max_epochs=2,
        limit_val_batches=0.5,
        accelerator="cpu",
        devices=-1,
        accumulate_grad_batches=4,
    )


def test_options_without_a_counterpart_are_named(tmp_path: Path) -> None:
    lost = {"precision": "16-mixed-auto", "callbacks": [{"name": "print_table"}], "detect": 1}
    path = saved(tmp_path, MODEL, {**TRAINER, **lost, "gradient_clipping": None})
    with pytest.warns(NshtrainerWarning) as caught:
        config = read_trainer_config(path)
    assert "counterpart and are left out: callbacks, detect" in str(caught[0].message)
    assert "precision is left out: TrainerConfig does not take it" in str(caught[0].message)
    assert Path(caught[0].filename) == Path(__file__)
    assert config.precision is None
    assert config.gradient_clip_val is None


def test_loggers_and_early_stopping_come_back(tmp_path: Path) -> None:
    old = {
        "loggers": [
            {"name": "wandb", "enabled": True, "priority": 2, "project": "x", "watch": {"log": 1}},
            {"name": "csv", "enabled": True, "prefix": ""},
            {"name": "tensorboard", "enabled": False},
            {"name": "actsave"},
        ],
        "early_stopping": {
            "name": "early_stopping",
            "metric": {"monitor": "val/f1", "mode": "max"},
            "patience": 7,
            "min_lr": None,
        },
    }
    assert read_trainer_config(saved(tmp_path, MODEL, old)) == TrainerConfig(
        logger=(WandbLoggerConfig(project="x"), CSVLoggerConfig()),
        callbacks=(EarlyStoppingCallbackConfig(monitor="val/f1", mode="max", patience=7),),
    )
    off = {"loggers": None, "early_stopping": {"enabled": False, "patience": 7}}
    assert read_trainer_config(saved(tmp_path, MODEL, off)) == TrainerConfig()


def test_options_of_another_shape_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, MODEL, {"max_time": {"hours": 1}, "primary_metric": {"monitor": "a"}})
    with pytest.warns(NshtrainerWarning, match="max_time is left out.*primary_metric is left out"):
        assert read_trainer_config(path) == TrainerConfig()


def test_a_key_that_the_class_does_not_have_is_left_out_and_named(tmp_path: Path) -> None:
    path = saved(tmp_path, {**MODEL, "depth": 3})
    with pytest.warns(NshtrainerWarning, match="depth is left out: MyConfig does not take it"):
        assert read_hparams(path, MyConfig).width == 4


def test_a_key_that_a_component_does_not_have_is_left_out_and_named(tmp_path: Path) -> None:
    path = saved(tmp_path, {**MODEL, "optimizer": {"name": "sgd", "lr": 0.1, "lars": True}})
    with pytest.warns(NshtrainerWarning, match=r"optimizer\.lars is left out"):
        assert read_hparams(path, MyConfig).optimizer == SGDConfig(lr=0.1)


def test_a_value_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path, {**MODEL, "width": "wide"})
    with pytest.raises(CheckpointError, match=r"(?s)are no MyConfig; .*width: must be a whole"):
        read_hparams(path, MyConfig)


def test_a_value_in_a_list_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path, {**MODEL, "optimizer": {"name": "adamw", "betas": [1, {"a": 2}]}})
    with pytest.raises(CheckpointError, match="betas"):
        read_hparams(path, MyConfig)


def test_adafactors_two_numbers_become_a_pair() -> None:
    old = {"name": "adafactor", "lr": 0.01, "eps1": None, "eps2": 0.002}
    converted = convert({"optimizer": old})
    assert AdafactorConfig(**converted["optimizer"]) == AdafactorConfig(lr=0.01, eps=(None, 0.002))
    assert old["eps2"] == 0.002


def test_patience_in_epochs_becomes_a_number() -> None:
    old = {"name": "reduce_lr_on_plateau", "patience": {"kind": "epochs", "value": 3.0}, "eps": 0}
    assert convert({"s": old})["s"] == {"name": "reduce_lr_on_plateau", "patience": 3, "eps": 0}


def test_a_cosine_that_was_mirrored_is_named() -> None:
    old = {"name": "linear_warmup_cosine_decay", "annealing": True}
    with pytest.warns(NshtrainerWarning, match=r"phases\.0: annealing mirrored the cosine"):
        assert convert({"phases": [old]}) == {"phases": [old]}


def test_what_only_looks_like_a_duration_is_left_alone() -> None:
    alike = {"a": {"kind": "steps"}, "b": {"kind": "metres", "value": 1}, "c": {"name": ["x"]}}
    assert convert(alike) == alike


@pytest.mark.parametrize("layer", [lambda x: [x] * 10, lambda x: (x,) * 10, lambda x: {"a": x}])
def test_data_within_itself_is_refused(layer: Any) -> None:
    value: Any = 0
    for _ in range(200):
        value = layer(value)
    with pytest.raises(CheckpointError, match="nested too deep"):
        convert({"a": value})


class Trap:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("save", [torch.save, lambda o, path: path.write_bytes(pickle.dumps(o, 2))])
def test_code_in_a_checkpoint_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    save({"hyper_parameters": {"width": Trap()}}, tmp_path / "trap.ckpt")
    with pytest.raises(CheckpointError, match=r"give the \.metadata\.json"):
        read_hparams(tmp_path / "trap.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for name in ("none.ckpt", "none.metadata.json"):
        with pytest.raises(CheckpointError, match=f"{name}.*(No such file|no such file)"):
            read_hparams(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"PK\x05\x06" + bytes(18), b"hello"])
def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        read_hparams(path)


def test_a_file_beside_the_checkpoint_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.metadata.json"
    path.write_text('{"hparams": {', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"is not valid JSON .* was it cut off\?"):
        read_hparams(path)


def test_a_checkpoint_without_hyperparameters_is_an_error(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "bare.ckpt")
    with pytest.raises(CheckpointError, match="no 'hyper_parameters' in it"):
        read_hparams(tmp_path / "bare.ckpt")
    (tmp_path / "bare.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"no 'hparams\.trainer' in it"):
        read_trainer_config(tmp_path / "bare.json")


def test_a_checkpoint_that_changed_nothing_gives_no_warning(checkpoint: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_hparams(checkpoint)
