"""Schedules of a trainer that nobody steps, or at the wrong time: told once."""

from __future__ import annotations

import warnings
from typing import Any

import lightning.pytorch as pl
import pytest
from tests.trainers.support import BOTH_TRAINERS, Tiny, data, trainer

from nshtrainer.configs import (
    ConstantScheduleConfig,
    CosineScheduleConfig,
    InverseSqrtScheduleConfig,
    LinearScheduleConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
    SGDConfig,
    StepScheduleConfig,
)
from nshtrainer.exceptions import NshtrainerWarning

pytestmark = pytest.mark.filterwarnings("ignore:The lr scheduler dict contains:RuntimeWarning")

SCHEDULES = {
    "constant": ConstantScheduleConfig(warmup_duration="10 steps", warmup_start_factor=0.0),
    "inverse_sqrt": InverseSqrtScheduleConfig(warmup_duration="10 steps"),
    "in steps": LinearScheduleConfig(max_duration="30 steps", warmup_duration="10 steps"),
    "step": StepScheduleConfig(step_duration="5 steps"),
    "of the run": CosineScheduleConfig(),
    "of epochs": StepScheduleConfig(step_duration="2 epochs"),
    "beside a metric": ReduceLROnPlateauConfig(
        warmup_duration="10 steps", metric=MetricConfig(monitor="loss", mode="min")
    ),
}
each_schedule = pytest.mark.parametrize("name", SCHEDULES)


class Logs(Tiny):
    """Leaves it all to the trainer."""

    def __init__(self, schedule: Any) -> None:
        super().__init__({"optimizer": SGDConfig(lr=0.01), "lr_scheduler": schedule})

    def training_step(self, batch: Any) -> Any:
        loss = super().training_step(batch)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss


class ByHand(Logs):
    """Steps one optimizer by hand, and its schedule where a hook says so."""

    when = "never"

    def __init__(self, schedule: Any) -> None:
        super().__init__(schedule)
        self.automatic_optimization = False

    def training_step(self, batch: Any) -> None:
        optimizer: Any = self.optimizers()
        self.manual_backward(super().training_step(batch))
        optimizer.step()
        optimizer.zero_grad()
        self._step_schedule("update")

    def on_train_epoch_end(self) -> None:
        self._step_schedule("epoch")

    def _step_schedule(self, when: str) -> None:
        if when == self.when:
            schedule: Any = self.lr_schedulers()
            schedule.step()


class Forgotten(Logs):
    """Makes a schedule, and returns the optimizer alone."""

    def configure_optimizers(self) -> Any:
        made: Any = super().configure_optimizers()
        self.kept = made["lr_scheduler"]["scheduler"]
        return made["optimizer"]


def told(module: Any, batches: int = 10, make: Any = pl.Trainer, epochs: int = 4) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NshtrainerWarning)
        trainer(make, max_epochs=epochs).fit(module, data(batches))
    return [str(each.message) for each in caught if each.category is NshtrainerWarning]


@each_schedule
def test_one_that_is_never_stepped_by_hand_is_told_once(name: str) -> None:
    (message,) = told(ByHand(SCHEDULES[name]))
    assert "the optimizer made 5 updates without one" in message


@each_schedule
@pytest.mark.parametrize("batches", [2, 10])
def test_one_that_is_stepped_by_the_epoch_by_hand_is_told_once(name: str, batches: int) -> None:
    module = ByHand(SCHEDULES[name])
    module.when = "epoch"
    assert len(told(module, batches)) == 1


@each_schedule
def test_short_epochs_without_a_step_are_told_once(name: str) -> None:
    (message,) = told(ByHand(SCHEDULES[name]), 3)
    assert "without one" in message or "but there were 0" in message


@each_schedule
def test_one_that_is_stepped_with_each_update_is_not_told(name: str) -> None:
    module = ByHand(SCHEDULES[name])
    module.when = "update"
    assert not told(module)
    assert not told(Logs(SCHEDULES[name]))


@pytest.mark.parametrize("name", ["in steps", "of the run"])
@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_one_that_is_made_and_not_returned_is_told_once(name: str, make: Any) -> None:
    (message,) = told(Forgotten(SCHEDULES[name]), make=make)
    assert "for Lightning return what create_scheduler gives" in message
