"""Rates of parameter groups, and rates that follow the batch, after a learning-rate finder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.tuner import Tuner
from tests.trainers.support import BOTH_TRAINERS, MID_EPOCH, Plain, Rates, Tiny, data, trainer

from nshtrainer import RunLength
from nshtrainer.configs import AdamWConfig, ConstantScheduleConfig, LinearScheduleConfig

pytestmark = pytest.mark.filterwarnings(MID_EPOCH)

FIND: Any = {"min_lr": 1e-4, "max_lr": 1.0, "num_training_steps": 40, "early_stop_threshold": None}
RATIOS = "{lr: 0.1, groups: [{name: bias, select: '*.bias', lr_mult: 0.1}]}"
SCALED = "{lr: 0.1, lr_scaling: {base_batch_size: 16, rule: linear}}"
"""The batch is 2: an eighth of the rate."""


class Learning(Tiny):
    def training_step(self, batch: Any) -> Any:
        return (self.layer(batch) - 3).square().mean()


def learning(optimizer: str, schedule: Any = None) -> Learning:
    return Learning({"optimizer": AdamWConfig.from_yaml(optimizer), "lr_scheduler": schedule})


def fitted(module: Any, folder: Path, make: Any, *callbacks: Any) -> Any:
    made = trainer(make, callbacks=list(callbacks), max_steps=15, default_root_dir=folder)
    made.fit(module, data())
    return made


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("schedule", [LinearScheduleConfig(warmup_duration="4 steps"), None])
def test_the_callback_keeps_the_ratios_of_groups(tmp_path: Path, make: Any, schedule: Any):
    finder, main, bias = LearningRateFinder(**FIND), Rates(), Rates(1)
    module = learning(RATIOS, schedule)
    made = fitted(module, tmp_path, make, finder, main, bias)
    found = finder.optimal_lr.suggestion()
    curve = schedule.curve(RunLength(total_steps=15)) if schedule else lambda _: 1.0
    assert main.seen == {step: pytest.approx(found * curve(step)) for step in range(15)}
    assert bias.seen == {step: pytest.approx(found * curve(step) / 10) for step in range(15)}
    assert module.lr == found
    assert len(made.optimizers[0].param_groups) == 2


def test_rates_in_tensors_keep_their_ratios(tmp_path: Path):
    finder, bias = LearningRateFinder(**FIND), Rates(1)
    fitted(
        learning(RATIOS.replace("lr: 0.1,", "lr: 0.1, tensor_lr: true,", 1)),
        tmp_path,
        BOTH_TRAINERS[1],
        finder,
        bias,
    )
    assert bias.seen[0] == pytest.approx(finder.optimal_lr.suggestion() / 10)


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("how", ["callback", "tuner"])
def test_what_was_found_at_a_batch_is_not_scaled_to_it_again(tmp_path: Path, make: Any, how: str):
    module, rates, callbacks = learning(SCALED), Rates(), []
    if how == "tuner":
        options = {**FIND, "num_training": FIND["num_training_steps"]}
        del options["num_training_steps"]
        tuner = Tuner(trainer(make, max_steps=15, default_root_dir=tmp_path))
        finder: Any = tuner.lr_find(module, data(), **options)
        found = finder.suggestion()
    else:
        callbacks = [LearningRateFinder(**FIND)]
    fitted(module, tmp_path, make, *callbacks, rates)
    if how == "callback":
        found = callbacks[0].optimal_lr.suggestion()
    assert list(rates.seen.values()) == [pytest.approx(found)] * 15
    assert module.lr == pytest.approx(found)
    assert module.hparams.optimizer.lr == pytest.approx(8 * found)


def test_without_a_known_batch_the_rate_is_that_of_the_config():
    module = learning(SCALED)
    assert module.lr == 0.1
    module.lr = 0.2
    assert module.hparams.optimizer.lr == 0.2


class ByHand(Plain):
    """Its rates are in no config."""

    def __init__(self, takes_lr: bool) -> None:
        super().__init__()
        self.lr, self.takes_lr = 0.1, takes_lr

    def training_step(self, batch: Any) -> Any:
        return (self.layer(batch) - 3).square().mean()

    def configure_optimizers(self) -> Any:
        rate = self.lr if self.takes_lr else 0.5
        weight, bias = {"params": [self.layer.weight]}, {"params": [self.layer.bias]}
        return torch.optim.SGD([weight, {**bias, "lr": rate / 10}], lr=rate)


@pytest.mark.parametrize("takes_lr", [True, False])
def test_a_module_that_is_not_ours_keeps_its_ratios_if_it_takes_the_rate(
    tmp_path: Path, takes_lr: bool
):
    finder, main, bias = LearningRateFinder(**FIND), Rates(), Rates(1)
    fitted(ByHand(takes_lr), tmp_path, BOTH_TRAINERS[1], finder, main, bias)
    found = finder.optimal_lr.suggestion()
    assert main.seen[0] == found
    assert bias.seen[0] == pytest.approx(found / 10 if takes_lr else found)


class WithConfigs(ByHand):
    """Its optimizer and schedule are ours, and it is not."""

    def __init__(self, schedule: Any) -> None:
        super().__init__(takes_lr=True)
        self.schedule = schedule

    def configure_optimizers(self) -> Any:
        config = AdamWConfig.from_yaml(RATIOS).override(f"lr={self.lr}")
        optimizer = config.create_optimizer(self)
        if self.schedule is None:
            return optimizer
        made = self.schedule.create_scheduler(optimizer, self)
        return {"optimizer": optimizer, "lr_scheduler": made}


@pytest.mark.parametrize("schedule", [LinearScheduleConfig(), ConstantScheduleConfig(), None])
def test_under_lightnings_own_trainer_such_a_module_keeps_its_ratios(tmp_path: Path, schedule: Any):
    finder, main, bias = LearningRateFinder(**FIND), Rates(), Rates(1)
    fitted(WithConfigs(schedule), tmp_path, BOTH_TRAINERS[0], finder, main, bias)
    found = finder.optimal_lr.suggestion()
    assert main.seen[0] == pytest.approx(found)
    for step, rate in main.seen.items():
        assert bias.seen[step] == pytest.approx(rate / 10)
