"""The hyperparameters of a resumed run are those that train it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.changes import ROWS, HyperbolaConfig, Row, Setup
from tests.trainers.support import MID_EPOCH, NO_SAVER, trainer
from tests.trainers.test_resume_policy import (
    Layers,
    fitted,
    registered,  # noqa: F401 - a fixture
    same,
    stopped,
    told,
)

from nshtrainer.configs import AdamWConfig, ReduceLROnPlateauConfig, SGDConfig
from nshtrainer.integrations.lightning.checkpoint.in_force import adopt_kept_values

pytestmark = [pytest.mark.filterwarnings(MID_EPOCH), pytest.mark.filterwarnings(NO_SAVER)]


def resumed(setup: Setup, path: Path, folder: Path, **how: Any) -> tuple[Any, Path]:
    """The module of a resumed run, and a checkpoint of its end."""
    (runner, _), _ = told(lambda: fitted(setup, path, **how))
    runner.save_checkpoint(folder / "resumed.ckpt")
    return runner.lightning_module, folder / "resumed.ckpt"


QUICK = {"a longer run", "all at once", "two groups"}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=[pytest.mark.slow] * (row.name not in QUICK), id=row.name)
        for row in ROWS
    ],
)
def test_a_resumed_run_saves_the_hyperparameters_that_trained_it(row: Row, tmp_path: Path) -> None:
    module, path = resumed(row.after, stopped(row.before, tmp_path), tmp_path)
    saved = torch.load(path, weights_only=True)["hyper_parameters"]["hparams"]
    assert saved == module.hparams.to_dict()
    if row.name == "two groups":  # the groups are those of the config
        assert module.hparams.optimizer == row.after.optimizer
        return
    assert (module.hparams.optimizer, module.hparams.lr_scheduler) == row.before[:2]
    # With them there is nothing to say but another length.
    hparams = Layers.hparams_cls().from_mapping(saved)
    again = Setup(hparams.optimizer, hparams.lr_scheduler, row.after.steps)  # type: ignore[arg-type]
    said = told(lambda: fitted(again, path))[1].splitlines()[1:]
    assert [line for line in said if not line.startswith(("  run ", "  to follow"))] == []


def test_what_is_taken_from_the_config_stays(tmp_path: Path) -> None:
    before = Setup(AdamWConfig(lr=0.01, weight_decay=0.01))
    after = Setup(AdamWConfig(lr=0.5, weight_decay=0.9), HyperbolaConfig())
    path = stopped(before, tmp_path)
    module, _ = resumed(after, path, tmp_path, policy="override", fields=["lr"])
    assert module.hparams.optimizer == AdamWConfig(lr=0.5, weight_decay=0.01)
    assert module.hparams.lr_scheduler == before.schedule
    module, _ = resumed(after, path, tmp_path, policy="extend")
    assert module.hparams.optimizer == before.optimizer
    assert module.hparams.lr_scheduler == after.schedule


def test_another_optimizer_has_the_options_of_the_checkpoint_that_fit(tmp_path: Path) -> None:
    path = stopped(Setup(SGDConfig(lr=0.25, weight_decay=0.5)), tmp_path)
    module, _ = resumed(Setup(SGDConfig(lr=0.5, momentum=0.5)), path, tmp_path)
    assert module.hparams.optimizer == SGDConfig(lr=0.25, weight_decay=0.5)


@pytest.mark.filterwarnings("ignore:the run ended before its plateau scheduler saw a value")
def test_a_schedule_of_a_metric_has_the_options_of_its_state(tmp_path: Path) -> None:
    def watching(patience: int) -> Any:
        metric = {"monitor": "val", "mode": "min"}
        return ReduceLROnPlateauConfig.model_validate({"metric": metric, "patience": patience})

    path = stopped(Setup(schedule=watching(1)), tmp_path)
    module, _ = resumed(Setup(schedule=watching(5)), path, tmp_path)
    assert module.hparams.lr_scheduler == watching(1)


def test_a_rate_is_kept_in_the_units_of_the_file(tmp_path: Path) -> None:
    scaling = {"rule": "linear", "base_batch_size": 1}
    before, after = (
        Setup(AdamWConfig.model_validate({"lr": lr, "lr_scaling": scaling})) for lr in (0.1, 0.3)
    )
    module, _ = resumed(after, stopped(before, tmp_path), tmp_path)
    adopt_kept_values(module.trainer, module)  # a second time
    assert module.hparams.optimizer.lr == pytest.approx(0.1)


OPTIMIZERS: tuple[dict[str, Any], ...] = (
    {"name": "adamw", "lr_scaling": {"rule": "linear", "base_batch_size": 1}},
    {"name": "sgd", "lr": 0.1, "groups": [{"name": "b", "select": "b", "options": {"lr": 0.2}}]},
    {"name": "sam", "optimizer": {"name": "sgd", "lr": 0.1}},
)
METRIC = {"monitor": "val", "mode": "min"}
SCHEDULES: tuple[dict[str, Any], ...] = (
    {"name": "reduce_lr_on_plateau", "metric": METRIC},
    {"name": "reduce_lr_on_plateau", "metric": METRIC, "warmup_duration": "2 steps"},
    {"name": "schedules", "default": {"weight_decay": {"factor": "cosine"}}},
    {"name": "step_lr", "step_size": 2},
)


@pytest.mark.filterwarnings("ignore:the run ended before its plateau scheduler saw a value")
@pytest.mark.parametrize(
    "part",
    [
        *({"optimizer": each} for each in OPTIMIZERS),
        *({"optimizer": "adamw", "lr_scheduler": each} for each in SCHEDULES),
    ],
)
def test_a_new_run_keeps_its_hyperparameters(part: dict[str, Any]) -> None:
    module = Layers(part)
    given = module.hparams
    runner = trainer(max_steps=1)
    runner.fit(module, same())
    assert module.hparams is given
    assert not adopt_kept_values(runner, module)
