"""How Lightning's trainer moves schedules: by the step, and one of a hyperparameter."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from lightning.pytorch.callbacks import BaseFinetuning
from tests.trainers.support import BOTH_TRAINERS, Rates, Tiny, data, trainer
from torch.optim.lr_scheduler import ChainedScheduler, LinearLR, SequentialLR, StepLR

from nshtrainer.configs import (
    GreedyScheduleConfig,
    HyperparameterScheduleConfig,
    LinearScheduleConfig,
    MetricConfig,
    MultiStepScheduleConfig,
    ReduceLROnPlateauConfig,
    SchedulesConfig,
    SGDConfig,
)
from nshtrainer.exceptions import NshtrainerWarning, ScheduleError

WARMUP = LinearScheduleConfig(warmup_duration="3 steps", warmup_start_factor=0.0)
both = pytest.mark.parametrize("make", BOTH_TRAINERS)


class Returning(Tiny):
    """What `configure_optimizers` returns, made of the optimizer and the schedules' entries."""

    def __init__(self, *schedules: Any, entries: bool = True) -> None:
        super().__init__()
        self.schedules, self.entries = schedules, entries

    def configure_optimizers(self) -> Any:
        optimizer = SGDConfig(lr=1.0).create_optimizer(self)
        made: list[Any] = [each.create_scheduler(optimizer, self) for each in self.schedules]
        return [optimizer], made if self.entries else [each["scheduler"] for each in made]


@both
def test_two_schedules_of_one_optimizer_are_refused_before_the_first_step(make: Any):
    module = Returning(WARMUP, MultiStepScheduleConfig(milestones=("4 steps",)))
    with pytest.raises(
        ScheduleError, match=r"two schedules drive lr .*linear and multi_step.*product"
    ):
        trainer(make, max_steps=6).fit(module, data())


@both
def test_schedules_of_different_groups_of_one_optimizer_stand_beside_each_other(make: Any):
    class Grouped(Returning):
        def configure_optimizers(self) -> Any:
            groups: Any = [
                {"name": "weight", "params": [self.layer.weight]},
                {"name": "bias", "params": [self.layer.bias]},
            ]
            optimizer = SGDConfig(lr=1.0).create_optimizer(groups)
            return [optimizer], [each.create_scheduler(optimizer, self) for each in self.schedules]

    one, other = (
        SchedulesConfig(groups={name: {"lr": LinearScheduleConfig()}})
        for name in ("weight", "bias")
    )
    run = trainer(make, max_steps=4)
    run.fit(Grouped(one, other), data())
    assert [group["lr"] for group in run.optimizers[0].param_groups] == [0.0, 0.0]
    with pytest.raises(ScheduleError, match="two schedules drive lr"):
        trainer(make, max_steps=4).fit(Grouped(one, WARMUP), data())


LOSS = MetricConfig(monitor="loss", mode="min")
METRICS = [ReduceLROnPlateauConfig(metric=LOSS), GreedyScheduleConfig(metric=LOSS, max_lr=2.0)]


@both
@pytest.mark.parametrize("metric", METRICS, ids=lambda config: config.name)
@pytest.mark.parametrize("is_first", [True, False])
def test_one_that_looks_at_a_metric_is_refused_beside_a_curve(
    make: Any, metric: Any, is_first: bool
):
    pair = (metric, WARMUP) if is_first else (WARMUP, metric)
    with pytest.raises(ScheduleError, match=r"two schedules drive lr .* and linear\).*schedule: {"):
        trainer(make, max_steps=6).fit(Returning(*pair), data())


class Torchs:
    """One of torch's, made as a config makes one of ours; chained or not."""

    def __init__(self, *made: Any, chain: bool = False) -> None:
        self.made, self.chain = made, chain

    def create_scheduler(self, optimizer: Any, module: Any) -> Any:
        parts = [
            each(optimizer)
            if callable(each)
            else each.create_scheduler(optimizer, module)["scheduler"]
            for each in self.made
        ]
        scheduler = ChainedScheduler(parts, optimizer) if self.chain else parts[0]
        return {"scheduler": scheduler, "interval": "step"}


def halving(optimizer: Any) -> Any:
    return StepLR(optimizer, 100, 0.5)


def in_sequence(optimizer: Any) -> Any:
    return SequentialLR(optimizer, [LinearLR(optimizer), halving(optimizer)], milestones=[2])


@both
@pytest.mark.parametrize(
    "schedules",
    [
        (WARMUP, Torchs(halving)),
        (Torchs(halving), WARMUP),
        (WARMUP, Torchs(in_sequence)),
        (Torchs(halving, WARMUP, chain=True),),
        (Torchs(WARMUP, halving, chain=True),),
    ],
    ids=["after", "before", "sequence", "chained last", "chained first"],
)
def test_one_of_torchs_beside_ours_is_refused_before_the_first_step(make: Any, schedules: Any):
    told = r"two schedules drive lr .*linear and (StepLR|SequentialLR)\).*Write product"
    with pytest.raises(ScheduleError, match=told):
        trainer(make, max_steps=6).fit(Returning(*schedules), data())


@both
def test_one_of_torchs_stands_beside_a_curve_of_something_else(make: Any):
    motion = HyperparameterScheduleConfig(factor=LinearScheduleConfig())
    decay = SchedulesConfig(default={"weight_decay": motion})
    run = trainer(make, max_steps=4)
    run.fit(Returning(decay, Torchs(lambda optimizer: StepLR(optimizer, 2))), data())
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01)


def test_two_of_torchs_are_torchs_own_business():
    run = trainer(max_steps=4)
    run.fit(Returning(Torchs(halving, halving, chain=True)), data())
    assert run.optimizers[0].param_groups[0]["lr"] == 1.0


def test_one_that_looks_at_a_metric_stands_beside_a_curve_of_something_else():
    motion = HyperparameterScheduleConfig(factor=LinearScheduleConfig())
    decay = SchedulesConfig(default={"weight_decay": motion})

    class Logs(Returning):
        def training_step(self, batch: Any) -> Any:
            loss = super().training_step(batch)
            self.log("loss", loss, on_step=False, on_epoch=True)
            return loss

    run = trainer(max_epochs=2)
    run.fit(Logs(METRICS[0], decay), data(4))
    assert run.optimizers[0].param_groups[0]["lr"] == 1.0


@both
def test_a_bare_scheduler_which_moves_by_the_epoch_is_told_once(make: Any):
    module = Returning(LinearScheduleConfig(), entries=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NshtrainerWarning)
        trainer(make, max_epochs=3).fit(module, data(8))
    messages = [str(each.message) for each in caught if each.category is NshtrainerWarning]
    assert [message.count("Lightning steps it by epoch") for message in messages] == [1]


class Thawing(BaseFinetuning):
    """Thaws the bias in the second epoch."""

    def freeze_before_training(self, pl_module: Any) -> None:
        pl_module.layer.bias.requires_grad_(False)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == 1:
            pl_module.layer.bias.requires_grad_()
            rate = optimizer.param_groups[0]["lr"] / 10
            optimizer.add_param_group({"params": [pl_module.layer.bias], "lr": rate})


@both
def test_a_group_of_lightnings_finetuning_keeps_its_ratio(make: Any):
    main, late = Rates(), Rates(-1)
    module = Tiny({"lr_scheduler": LinearScheduleConfig(), "optimizer": SGDConfig(lr=1.0)})
    trainer(make, max_epochs=2, callbacks=[Thawing(), main, late]).fit(module, data(5))
    assert main.seen == {step: pytest.approx(1 - step / 10) for step in range(10)}
    thawed = {step: rate for step, rate in late.seen.items() if step >= 5}
    assert thawed == {step: pytest.approx(0.1 - step / 100) for step in range(5, 10)}
