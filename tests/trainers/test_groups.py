"""Parameter groups in real runs: their names, their schedules, the batch, and a resumed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from tests.models import settings
from tests.trainers.support import MID_EPOCH, NO_SAVER, Deep, Rates, data, trainer

import nshtrainer
from nshtrainer.exceptions import OptimizerError

GROUPED = {
    "name": "adamw",
    "lr": 0.1,
    "weight_decay": 0.2,
    "no_decay": "bias_and_norm",
    "groups": [
        {"name": "head", "select": {"role": "head"}, "options": {"lr": 0.5}},
        {"name": "body", "select": "net.blocks", "lr_mult": 2},
    ],
}


def fitted(optimizer: Any = GROUPED, schedule: Any = None, **options: Any) -> Any:
    torch.manual_seed(0)
    resume = options.pop("resume", None)
    loader = options.pop("loader", data())
    runner = trainer(**{"max_steps": 6, **options})
    runner.fit(Deep({"optimizer": optimizer, "lr_scheduler": schedule}), loader, ckpt_path=resume)
    return runner


def test_the_monitor_shows_the_names_of_the_groups(tmp_path: Path) -> None:
    monitor = LearningRateMonitor(log_weight_decay=True)
    logger = CSVLogger(tmp_path)
    fitted(callbacks=[monitor], logger=logger, log_every_n_steps=1)
    assert {key: values[0] for key, values in monitor.lrs.items()} == {
        "lr-AdamW/default": 0.1,
        "lr-AdamW/no_decay": 0.1,
        "lr-AdamW/body": 0.2,
        "lr-AdamW/body/no_decay": 0.2,
        "lr-AdamW/head": 0.5,
        "lr-AdamW/head/no_decay": 0.5,
    }
    assert monitor.last_weight_decay_values["lr-AdamW/head/no_decay-weight_decay"] == 0


def test_a_schedule_may_be_for_a_group_by_its_name() -> None:
    schedule = {
        "name": "schedules",
        "default": {"lr": {"name": "linear"}},
        "groups": {"head": {"lr": "constant"}},
    }
    (optimizer,) = fitted(schedule=schedule, max_steps=3).optimizers
    rates = settings(optimizer, "lr")
    assert rates["head"] == (0.5,)
    assert rates["default"] == rates["body"] == (0.0,)


def test_every_schedule_multiplies_the_rates_of_the_layers() -> None:
    rates = [Rates(group) for group in range(4)]
    optimizer = {"name": "sgd", "lr": 0.1, "layer_decay": 0.5}
    fitted(optimizer, "linear", callbacks=rates, max_steps=4)
    for place, one in enumerate(rates):
        base = 0.1 * 0.5 ** (3 - place)
        assert list(one.seen.values()) == pytest.approx([base, base * 0.75, base / 2, base / 4])


@pytest.mark.parametrize(
    ("options", "batch"),
    [({}, 2), ({"accumulate_grad_batches": 4}, 8), ({"limit_train_batches": 3}, 2)],
)
@pytest.mark.parametrize("rule", ["linear", "sqrt"])
def test_the_rate_follows_the_batch_of_the_run(
    options: dict[str, Any], batch: int, rule: str
) -> None:
    optimizer = {"name": "sgd", "lr": 0.1, "lr_scaling": {"base_batch_size": 4, "rule": rule}}
    (built,) = fitted(optimizer, **options).optimizers
    power = 1 if rule == "linear" else 0.5
    assert built.param_groups[0]["lr"] == pytest.approx(0.1 * (batch / 4) ** power)


def test_a_batch_that_the_loader_does_not_know_is_an_error() -> None:
    optimizer = {"name": "sgd", "lr_scaling": {"base_batch_size": 4}}
    with pytest.raises(OptimizerError, match="the batch of one update is unknown; in a loop of"):
        fitted(optimizer, loader=[torch.ones(2, 2)] * 3)
    module = Deep({"optimizer": optimizer})
    with pytest.raises(OptimizerError, match=r"unknown \(Deep is not attached to a trainer\); "):
        module.hparams.optimizer.create_optimizer(module)


@pytest.mark.filterwarnings(MID_EPOCH, NO_SAVER)
@pytest.mark.parametrize("make", [pl.Trainer, nshtrainer.Trainer])
def test_a_resumed_run_with_groups_equals_the_uninterrupted_one(make: Any, tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=4, save_top_k=-1)
    whole = fitted(schedule="cosine", max_steps=8, callbacks=[saver], make=make)
    path = next(tmp_path.glob("*step=4.ckpt"))
    assert torch.load(path, weights_only=True)["hyper_parameters"]
    again = fitted(schedule="cosine", max_steps=8, resume=path, make=make)
    ours, theirs = again.optimizers[0].state_dict(), whole.optimizers[0].state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    weights = zip(again.model.parameters(), whole.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)
