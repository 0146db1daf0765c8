"""Schedules in real runs: the rate of every update, resumed, extended, found and regrouped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint
from lightning.pytorch.tuner import Tuner
from tests.trainers.support import (
    BOTH_TRAINERS,
    MID_EPOCH,
    NO_SAVER,
    Plain,
    Rates,
    Tiny,
    TinyConfig,
    data,
    trainer,
)

import nshtrainer
from nshtrainer import RunLength
from nshtrainer.configs import (
    CurveScheduleConfigBase,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfigBase,
    SGDConfig,
)
from nshtrainer.exceptions import ConfigChangedWarning
from nshtrainer.lr_scheduler import lr_scheduler_registry

BASE = 0.1


def cosine(steps: int = 12, warmup: str = "3 steps") -> LinearWarmupCosineDecayLRSchedulerConfig:
    return LinearWarmupCosineDecayLRSchedulerConfig(
        warmup_duration=warmup,
        max_duration=f"{steps} steps",
        warmup_start_lr_factor=0.1,
        min_lr_factor=0.01,
    )


def expected(schedule: Any, steps: Any, base: float = BASE, **run: Any) -> dict[int, float]:
    curve = schedule.curve(RunLength(**run))
    return {step: base * curve(step) for step in steps}


def rates_of(module: Any, make: Any = None, resume: Any = None, **options: Any) -> dict[int, float]:
    rates = Rates()
    callbacks = [rates, *options.pop("callbacks", [])]
    runner = trainer(make or pl.Trainer, callbacks=callbacks, **options)
    runner.fit(module, data(), ckpt_path=resume)
    return rates.seen


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize(
    "options",
    [
        {"max_steps": 15},
        {"max_epochs": 2},
        {"max_epochs": 5, "accumulate_grad_batches": 4},
        {"max_steps": 5, "accumulate_grad_batches": 7},
    ],
)
def test_each_update_uses_the_rate_of_its_index(make: Any, options: dict[str, Any]) -> None:
    seen = rates_of(Tiny({"lr_scheduler": cosine()}), make, **options)
    assert seen == expected(cosine(), range(len(seen)))
    assert len(seen) >= 5


def test_epochs_and_shares_follow_the_run() -> None:
    schedule = LinearWarmupCosineDecayLRSchedulerConfig(
        warmup_duration="0.5 epochs", max_duration="100%"
    )
    seen = rates_of(Tiny({"lr_scheduler": schedule}), max_epochs=3)
    assert seen == expected(schedule, range(30), total_steps=30, steps_per_epoch=10)


@pytest.mark.filterwarnings(MID_EPOCH)
@pytest.mark.filterwarnings(NO_SAVER)
@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 3}])
def test_a_run_resumed_at_any_step_equals_the_uninterrupted_one(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    hparams = TinyConfig(lr_scheduler=cosine(), optimizer=SGDConfig(lr=BASE, momentum=0.9))
    saving = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1)
    whole = rates_of(Tiny(hparams), max_steps=14, callbacks=[saving], **options)
    paths = list(tmp_path.glob("*.ckpt"))
    assert len(paths) == 14
    for path in paths:
        start = torch.load(path, weights_only=True)["global_step"]
        rest = rates_of(Tiny(hparams), resume=path, max_steps=14, **options)
        assert rest == {step: whole[step] for step in range(start, 14)}


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run of `cosine()` that was stopped after 8 updates."""
    runner = trainer(max_steps=8)
    runner.fit(Tiny({"lr_scheduler": cosine()}), data())
    runner.save_checkpoint(tmp_path / "stopped.ckpt")
    return tmp_path / "stopped.ckpt"


@pytest.mark.filterwarnings(MID_EPOCH)
def test_a_longer_schedule_is_followed_on_resume_where_the_policy_says_so(stopped: Path) -> None:
    options: Any = {"config": {"resume": {"policy": "extend"}}, "max_steps": 24}
    module = Tiny({"lr_scheduler": cosine(24)})
    with pytest.warns(ConfigChangedWarning, match="max_duration 12 steps -> 24 steps: taken from"):
        rest = rates_of(module, nshtrainer.Trainer, stopped, **options)
    assert rest == expected(cosine(24), range(8, 24))


@pytest.mark.filterwarnings(MID_EPOCH)
def test_a_longer_run_stays_at_the_end_of_its_schedule(stopped: Path) -> None:
    rest = rates_of(Tiny({"lr_scheduler": cosine()}), resume=stopped, max_steps=20)
    assert rest == expected(cosine(), range(8, 20))
    assert rest[19] == pytest.approx(BASE * 0.01)


def test_a_group_that_joins_during_the_run_is_scheduled() -> None:
    class Growing(Tiny):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 1:
                self.late = torch.nn.Parameter(torch.ones(1))
                group = {"params": [self.late], "lr": 0.5}
                self.optimizers().optimizer.add_param_group(group)

    rates = [Rates(0), Rates(1)]
    runner = trainer(max_epochs=2, callbacks=[rates[0], Second(rates[1])])
    runner.fit(Growing({"lr_scheduler": cosine(20)}), data())
    assert rates[0].seen == expected(cosine(20), range(20))
    base = 0.5 / expected(cosine(20), [10], base=1.0)[10]  # so that it goes on from its own rate
    assert rates[1].seen == pytest.approx(expected(cosine(20), range(10, 20), base=base))


class Second(pl.Callback):
    """Looks at a second group as soon as there is one."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if len(optimizer.param_groups) > 1:
            self.rates.on_before_optimizer_step(trainer, pl_module, optimizer)


# -- schedules of the user's own -------------------------------------------------------------------


class HyperbolaConfig(CurveScheduleConfigBase):
    name: Literal["hyperbola"] = "hyperbola"

    def curve(self, run: RunLength) -> Any:
        return lambda step: 1 / (1 + step)


class HalvingConfig(LRSchedulerConfigBase):
    name: Literal["halving"] = "halving"

    def metadata(self) -> Any:
        return {"interval": "epoch"}

    def create_scheduler_impl(self, optimizer: Any, lightning_module: Any) -> Any:
        assert isinstance(lightning_module, Tiny)
        return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)


def test_a_curve_of_two_lines_drives_a_run() -> None:
    with lr_scheduler_registry.scoped():
        lr_scheduler_registry.register(HyperbolaConfig)
        seen = rates_of(Tiny({"lr_scheduler": "hyperbola"}), max_epochs=1)
    assert seen == {step: BASE * (1 / (1 + step)) for step in range(10)}


def test_a_torch_scheduler_of_the_users_own_drives_a_run() -> None:
    with lr_scheduler_registry.scoped():
        lr_scheduler_registry.register(HalvingConfig)
        seen = rates_of(Tiny({"lr_scheduler": "halving"}), max_epochs=3)
    assert [seen[step] for step in (0, 9, 10, 19, 20, 29)] == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]


def test_a_module_that_is_not_ours_uses_the_same_configs() -> None:
    class Foreign(Plain):
        def configure_optimizers(self) -> Any:
            optimizer = SGDConfig(lr=BASE).create_optimizer(self.parameters())
            scheduler = cosine().create_scheduler(optimizer, self)
            return {"optimizer": optimizer, "lr_scheduler": scheduler}

    assert rates_of(Foreign(), max_steps=12) == expected(cosine(), range(12))


# -- finders ---------------------------------------------------------------------------------------


class Learning(Tiny):
    def training_step(self, batch: Any) -> Any:
        return (self.layer(batch) - 3).square().mean()


FIND: Any = {"min_lr": 1e-4, "max_lr": 1.0, "num_training_steps": 40, "early_stop_threshold": None}


@pytest.mark.filterwarnings(MID_EPOCH)
@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("schedule", [cosine(), None])
def test_what_the_finder_callback_finds_holds_for_the_whole_run(
    tmp_path: Path, make: Any, schedule: Any
) -> None:
    module, finder = Learning({"lr_scheduler": schedule}), LearningRateFinder(**FIND)
    options = {"callbacks": [finder], "max_steps": 15, "default_root_dir": tmp_path}
    seen = rates_of(module, make, **options)
    found = finder.optimal_lr.suggestion()
    assert found not in {None, BASE}
    assert module.lr == found
    constant = dict.fromkeys(range(15), found)
    assert seen == (constant if schedule is None else expected(schedule, range(15), base=found))


@pytest.mark.filterwarnings(MID_EPOCH)
@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_what_the_tuner_finds_holds_for_the_next_run(tmp_path: Path, make: Any) -> None:
    module = Learning({"lr_scheduler": cosine()})
    options = {"max_steps": 15, "default_root_dir": tmp_path}
    found = Tuner(trainer(make, **options)).lr_find(
        module, data(), min_lr=1e-4, max_lr=1.0, num_training=40, early_stop_threshold=None
    )
    assert found.suggestion() not in {None, BASE}
    assert module.lr == found.suggestion()
    seen = rates_of(module, make, **options)
    assert seen == expected(cosine(), range(15), base=found.suggestion())
