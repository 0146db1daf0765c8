"""The run length of manual optimization, of a second run and of averages of weights."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from tests.trainers.support import (
    Rates,
    Tiny,
    data,
    trainer,
)
from tests.trainers.test_length_check import LINEAR, Batches, ChangesTheBatch, both, config, fitted

from nshtrainer.configs import (
    ConstantScheduleConfig,
    SGDConfig,
    StepScheduleConfig,
    SWAWeightAveragingConfig,
)
from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.integrations.lightning.weight_averaging import AveragingCallback

# -- manual optimization ---------------------------------------------------------------------------


class Pair(Tiny):
    """Two optimizers, of which the second may be stepped less often."""

    steps_schedules = True
    every = 1

    def __init__(self, hparams: Any = None) -> None:
        super().__init__(hparams)
        self.automatic_optimization = False
        self.other = torch.nn.Linear(2, 1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        parts = zip(self.optimizers(), self.lr_schedulers(), (1, self.every), strict=True)
        for optimizer, schedule, every in parts:
            if batch_idx % every == 0:
                self.manual_backward((self.layer(batch) + self.other(batch)).square().mean())
                optimizer.step()
                optimizer.zero_grad()
                if self.steps_schedules:
                    schedule.step()

    def configure_optimizers(self) -> Any:
        optimizers = [SGDConfig(lr=1.0).create_optimizer(part) for part in (self.layer, self.other)]
        return optimizers, [LINEAR.create_scheduler(each, self) for each in optimizers]


def last_rates(made: Any) -> list[float]:
    return [optimizer.param_groups[0]["lr"] for optimizer in made.optimizers]


@both
def test_two_optimizers_share_max_steps(make: Any):
    made, rates = fitted(Pair(), data(), make, max_steps=20)
    assert rates[19] == pytest.approx(0.1)
    assert last_rates(made) == [0.0, 0.0]


def test_an_optimizer_that_is_stepped_less_often_is_a_warning():
    module = Pair()
    module.every = 2
    with pytest.warns(NshtrainerWarning, match="resolved for") as said:
        fitted(module, data(), max_epochs=2)
    (text,) = [str(each.message) for each in said if each.category is NshtrainerWarning]
    assert "resolved for 10 steps before epoch 1, but there were 5" in text
    assert "step() after each step of its optimizer, or pass RunLength(" in text


@pytest.mark.parametrize(("epochs", "when"), [(2, r"4 steps before epoch 1"), (1, "4 steps")])
def test_a_schedule_that_is_never_stepped_is_a_warning(epochs: int, when: str):
    module = Pair()
    module.steps_schedules = False
    text = rf"resolved for {when}, but there were 0\. Call the scheduler's step\(\) after each"
    with pytest.warns(NshtrainerWarning, match=text):
        fitted(module, data(4), max_epochs=epochs)


# -- a second run ----------------------------------------------------------------------------------


@both
def test_a_second_fit_goes_on_with_the_schedule(make: Any):
    rates = Rates()
    made, module, loader = trainer(make, max_epochs=4, callbacks=[rates]), Tiny(config()), data(4)
    made.fit(module, loader)
    assert rates.seen[15] == 1 / 16
    made.fit_loop.max_epochs = 8
    made.fit(module, loader)
    assert rates.seen == {
        **{step: 1 - step / 16 for step in range(16)},
        **{step: 1 - step / 32 for step in range(16, 32)},
    }
    assert last_rates(made) == [0.0]


def test_a_second_fit_goes_on_with_each_of_two_schedules():
    made, module = trainer(max_epochs=1), Pair()
    made.fit(module, data())
    made.fit_loop.max_epochs = 2
    made.fit(module, data())
    assert last_rates(made) == [0.0, 0.0]


class Kept(Tiny):
    """Makes its optimizer and its scheduler once."""

    made: Any = None

    def configure_optimizers(self) -> Any:
        self.made = self.made or super().configure_optimizers()
        return self.made


@pytest.mark.parametrize("again", [True, False])
def test_a_second_run_of_the_same_objects_is_a_warning(again: bool):
    module = Kept(config())
    first = trainer(max_epochs=2)
    first.fit(module, data(4))
    second = first if again else trainer(max_epochs=4)
    second.fit_loop.max_epochs = 4
    begin = 8 if again else 0
    text = (
        "resolved for 8 steps, 8 of them taken in an earlier run, but this run begins at step "
        f"{begin} and has 16 steps. Create a new optimizer and scheduler for each run."
    )
    with pytest.warns(NshtrainerWarning, match=text):
        second.fit(module, data(4))


def test_a_second_run_of_a_schedule_without_an_end_is_a_warning():
    module = Kept(config(StepScheduleConfig(step_duration="1 epochs", gamma=0.5)))
    trainer(max_epochs=1).fit(module, data(4))
    text = "an unknown number of steps, 4 of them taken in an earlier run, but this run begins at s"
    with pytest.warns(NshtrainerWarning, match=text):
        trainer(max_epochs=1).fit(module, data(4))


def test_the_check_is_attached_once():
    made = trainer(max_epochs=1)
    for _ in range(2):
        made.fit(Tiny(config(ConstantScheduleConfig())), data(1))
        made.fit_loop.max_epochs += 1
    names = [type(callback).__name__ for callback in made.callbacks]
    assert names.count("LengthCheck") == 1


# -- averages of weights ---------------------------------------------------------------------------


class Joins(pl.Callback):
    """The updates whose weights join the average."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._count = 0

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        (average,) = (c for c in trainer.callbacks if isinstance(c, AveragingCallback))
        assert average._average_model is not None
        count = int(average._average_model.n_averaged)
        if count > self._count:
            self.seen.append(trainer.global_step)
        self._count = count


def joins(module: Any, averaging: Any, loader: Any, **options: Any) -> list[int]:
    seen = Joins()
    callbacks = [AveragingCallback(averaging), seen, *options.pop("callbacks", [])]
    trainer(pl.Trainer, callbacks=callbacks, **options).fit(module, loader)
    return seen.seen


def test_an_average_counts_the_updates_of_one_of_two_optimizers():
    swa = SWAWeightAveragingConfig(every="1 steps")
    for limit in ({"max_steps": 20}, {"max_epochs": 1}):
        assert joins(Pair(), swa, data(10), **limit) == [18, 20]


def test_an_average_is_not_lost_where_optimizers_step_at_different_times():
    module = Pair()
    module.every = 5
    swa = SWAWeightAveragingConfig(start="2 steps", every="2 steps")
    with pytest.warns(NshtrainerWarning):
        assert joins(module, swa, data(10), max_epochs=1) == [8, 12]


def test_an_average_joins_at_each_epoch_of_its_length():
    accumulation = GradientAccumulationScheduler({0: 1, 2: 2})
    swa = SWAWeightAveragingConfig(start="1 epochs")
    seen = joins(Tiny(), swa, data(4), max_epochs=5, callbacks=[accumulation])
    assert seen == [8, 10, 12, 14]


def test_an_average_begins_by_the_length_after_the_start_hooks():
    module = Batches()
    swa = SWAWeightAveragingConfig(start="50%", every="1 steps")
    callbacks = [ChangesTheBatch("on_fit_start")]
    assert joins(module, swa, None, max_epochs=1, callbacks=callbacks) == [3, 4]
