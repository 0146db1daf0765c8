"""Configs that a plain module saves with `save_hyperparameters()`, under both trainers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tests.trainers.support import BOTH_TRAINERS, data, trainer

from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    LRSchedulerConfig,
    MetricConfig,
    OptimizerConfig,
    SGDConfig,
)
from nshtrainer.exceptions import CheckpointError
from nshtrainer.integrations.hyperparameters import plain

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


@dataclass
class Options:
    optimizer: OptimizerConfig
    width: int = 3


class Base(pl.LightningModule):
    def __init__(self, optimizer: AdamWConfig, schedule: LRSchedulerConfig | None = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.optimizer, self.schedule = optimizer, schedule
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).square().mean()

    def configure_optimizers(self) -> Any:
        return self.hparams["optimizer"].create_optimizer(self)


class Child(Base):
    def __init__(
        self,
        unknown: Unknown = None,
        more: dict[str, list[OptimizerConfig]] | None = None,
        options: Options | None = None,
        others: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.more, self.options, self.others = more, options, others


class Noise(pl.LightningDataModule):
    def __init__(self, metric: MetricConfig, batches: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.metric, self.batches = metric, batches

    def train_dataloader(self) -> Any:
        return data(self.batches)


SAVED: dict[str, Any] = {
    "optimizer": AdamWConfig(lr=0.1, betas=(0.8, 0.9)),
    "schedule": CosineScheduleConfig(warmup_duration="10%"),
    "more": {"a": [SGDConfig(lr=1.0)]},
    "options": Options(AdamWConfig(lr=2.0), 5),
    "others": [1, "a"],
}


def fit(make: Any, module: pl.LightningModule, **options: Any) -> Any:
    run = trainer(make, max_epochs=1, **options)
    run.fit(module, datamodule=Noise(MetricConfig(monitor="loss", mode="min")))
    return run


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`:UserWarning")
def test_a_checkpoint_is_plain_and_loads_as_configs(make: Any, tmp_path: Path) -> None:
    module, whole, weights = Child(**SAVED), tmp_path / "whole.ckpt", tmp_path / "weights.ckpt"
    run = fit(make, module, default_root_dir=tmp_path)
    run.save_checkpoint(whole)
    run.save_checkpoint(weights, weights_only=True)
    for path in (whole, weights):
        saved = torch.load(path, weights_only=True)
        assert saved["hyper_parameters"]["optimizer"] == SAVED["optimizer"].to_dict()
        loaded = Child.load_from_checkpoint(path)
        for name, value in SAVED.items():
            assert getattr(loaded, name) == getattr(module, name) == value
            assert loaded.hparams[name] == module.hparams[name] == value
        noise = Noise.load_from_checkpoint(path)
        assert (noise.metric, noise.batches) == (MetricConfig(monitor="loss", mode="min"), 2)
    longer = trainer(make, max_epochs=2)
    longer.fit(Child(**SAVED), data(2), ckpt_path=whole, weights_only=True)
    assert longer.global_step == 4


@pytest.mark.parametrize("logger", [CSVLogger, TensorBoardLogger])
@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_the_file_of_a_logger_is_plain_and_loads_as_configs(
    make: Any, logger: Any, tmp_path: Path
) -> None:
    log = logger(tmp_path)
    run = fit(make, Child(**SAVED), logger=log, log_every_n_steps=1)
    file = Path(log.log_dir) / "hparams.yaml"
    written = yaml.safe_load(file.read_text())
    assert written == {**plain(SAVED), "unknown": None, "batches": 2, "metric": written["metric"]}
    run.save_checkpoint(tmp_path / "some.ckpt")
    loaded = Base.load_from_checkpoint(tmp_path / "some.ckpt", hparams_file=file)
    assert (loaded.optimizer, loaded.schedule) == (SAVED["optimizer"], SAVED["schedule"])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    run = trainer(pl.Trainer, max_epochs=1)
    run.fit(Base(AdamWConfig(lr=0.1)), data(1))
    run.save_checkpoint(tmp_path / "base.ckpt")
    return tmp_path / "base.ckpt"


def test_an_argument_of_the_caller_is_converted_too(checkpoint: Path) -> None:
    changes: Any = {"optimizer": {"name": "adamw", "lr": 0.5}, "schedule": "cosine"}
    loaded = Base.load_from_checkpoint(checkpoint, **changes)
    assert loaded.optimizer == AdamWConfig(lr=0.5)
    assert loaded.schedule == CosineScheduleConfig()


def test_a_value_that_is_not_valid_any_more_is_named_with_its_remedy(checkpoint: Path) -> None:
    wrong: Any = {"name": "adamw", "lrr": 0.5}
    with pytest.raises(CheckpointError, match=r"load_from_checkpoint\(path, optimizer=...\)\n.*lr"):
        Base.load_from_checkpoint(checkpoint, optimizer=wrong)


def test_a_checkpoint_with_pickled_configs_still_loads(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["optimizer"] = AdamWConfig(lr=0.3)  # as Lightning saved it before
    torch.save(content, checkpoint)
    loaded = Base.load_from_checkpoint(checkpoint, weights_only=False)
    assert loaded.optimizer == AdamWConfig(lr=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "order", [("lightning.pytorch", "nshtrainer"), ("nshtrainer", "lightning")]
)
def test_the_order_of_imports_does_not_matter(order: tuple[str, str]) -> None:
    code = f"""
import {order[0]}, {order[1]}
from lightning.pytorch.core import saving
assert "nshtrainer.integrations.lightning" not in __import__("sys").modules
assert saving._load_state.__module__ == "nshtrainer.integrations.lightning_hook"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
