"""What a schedule is told of a Lightning run, against what the run then does."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities import CombinedLoader
from tests.trainers.support import (
    BOTH_TRAINERS,
    QUIET,
    Plain,
    SizedStream,
    Stream,
    Tiny,
    data,
    trainer,
)

from nshtrainer import RunLength, Trainer
from nshtrainer.configs import (
    EpochsConfig,
    FractionConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    MetricConfig,
    SGDConfig,
    StepsConfig,
)
from nshtrainer.exceptions import NshtrainerWarning, RunLengthError, ScheduleError
from nshtrainer.lr_scheduler import run_length_of


class Asking(Tiny):
    """Asks for the run length where a schedule does."""

    def configure_optimizers(self) -> Any:
        self.run = run_length_of(self)
        self.planned = (self.run.total_steps, self.run.steps_per_epoch)
        return super().configure_optimizers()


class StopAfter(pl.Callback):
    """Ends a run that has no end."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= 3


class AccumulatesByItself(SingleDeviceStrategy):
    """As DeepSpeed does: the rest at the end of an epoch is no update."""

    @property
    def handles_gradient_accumulation(self) -> bool:
        return True


def plan(schedule: dict[int, int]) -> dict[str, Any]:
    return {"callbacks": [GradientAccumulationScheduler(schedule)]}


def two_loaders() -> CombinedLoader:
    return CombinedLoader({"short": data(4), "long": data(10)}, "min_size")


FINITE = {
    "epochs": ({"max_epochs": 3}, data, 30, 10),
    "accumulation": ({"max_epochs": 3, "accumulate_grad_batches": 4}, data, 9, 3),
    "a plan of accumulation": (
        {"max_epochs": 5, **plan({1: 4, 3: 2})},
        data,
        26,
        (10, 3, 3, 5),
    ),
    "a plan beyond the end": ({"max_epochs": 1, **plan({4: 2})}, data, 10, (10, 10, 10, 10, 5)),
    "a plan with max_steps": ({"max_steps": 12, **plan({1: 4})}, data, 12, (10, 3)),
    "a number of batches": ({"max_epochs": 2, "limit_train_batches": 7}, data, 14, 7),
    "one batch": ({"max_epochs": 2, "limit_train_batches": 1}, data, 2, 1),
    "a share of the batches": ({"max_epochs": 2, "limit_train_batches": 0.35}, data, 6, 3),
    "overfitting batches": ({"max_epochs": 2, "overfit_batches": 2}, data, 4, 2),
    "overfitting a share": ({"max_epochs": 2, "overfit_batches": 0.5}, data, 10, 5),
    "fast_dev_run": ({"fast_dev_run": True}, data, 1, 1),
    "three batches of fast_dev_run": ({"fast_dev_run": 3}, data, 3, 3),
    "fast_dev_run, accumulating": (
        {"fast_dev_run": 3, "accumulate_grad_batches": 2},
        data,
        2,
        2,
    ),
    "a stream with a length": ({"max_epochs": 2}, lambda: data(5, SizedStream), 10, 5),
    "a stream and max_steps": ({"max_steps": 12}, lambda: data(5, Stream), 12, None),
    "a limited stream": (
        {"max_epochs": 2, "limit_train_batches": 4},
        lambda: data(5, Stream),
        8,
        4,
    ),
    "max_steps alone": ({"max_steps": 17}, data, 17, 10),
    "max_steps before max_epochs": ({"max_steps": 17, "max_epochs": 3}, data, 17, 10),
    "max_epochs before max_steps": ({"max_steps": 17, "max_epochs": 1}, data, 10, 10),
    "max_steps without an end of epochs": ({"max_steps": 7, "max_epochs": -1}, data, 7, 10),
    "max_steps and a time": ({"max_steps": 7, "max_time": "00:01:00:00"}, data, 7, 10),
    "epochs and a time": ({"max_epochs": 2, "max_time": "00:01:00:00"}, data, 20, 10),
    "loaders made anew": (
        {"max_epochs": 2, "reload_dataloaders_every_n_epochs": 1},
        data,
        20,
        10,
    ),
    "several loaders": ({"max_epochs": 2}, two_loaders, 8, 4),
    "a strategy that accumulates": (
        {
            "max_epochs": 2,
            "accumulate_grad_batches": 4,
            "strategy": AccumulatesByItself("cpu"),
        },
        data,
        4,
        2,
    ),
}


class TakesAny(Asking):
    def training_step(self, batch: Any) -> Any:
        return super().training_step(batch["long"] if isinstance(batch, dict) else batch)


@pytest.mark.parametrize("accumulate", [1, 3, 10, 12])
def test_the_length_of_a_plain_loop_is_that_of_lightning(accumulate: int) -> None:
    module = Asking()
    trainer(max_epochs=2, accumulate_grad_batches=accumulate).fit(module, data())
    own = RunLength.of(data(), epochs=2, accumulate=accumulate)
    assert (own.total_steps, own.steps_per_epoch) == module.planned
    assert own.samples_per_step == module.run.samples_per_step


@pytest.mark.filterwarnings("ignore:Your `IterableDataset` has `__len__` defined")
@pytest.mark.parametrize("row", FINITE.values(), ids=FINITE)
def test_the_planned_steps_are_those_of_the_run(row: tuple[Any, ...]) -> None:
    options, loader, total, per_epoch = row
    module, runner = TakesAny(), trainer(**options)
    runner.fit(module, loader())
    assert module.planned == (total, per_epoch)
    assert runner.global_step == total


UNKNOWN = {
    "a stream": ({"max_epochs": 2}, lambda: data(5, Stream), None, 10),
    "a time": ({"max_time": "00:01:00:00", "callbacks": [StopAfter()]}, data, 10, 3),
    "no end": ({"max_epochs": -1, "callbacks": [StopAfter()]}, data, 10, 3),
}


@pytest.mark.parametrize("row", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_total_is_none(row: tuple[Any, ...]) -> None:
    options, loader, per_epoch, done = row
    module, runner = Asking(), trainer(**options)
    runner.fit(module, loader())
    assert module.planned == (None, per_epoch)
    assert runner.global_step == done


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"max_epochs": 1, "limit_train_batches": 0}, "limit_train_batches=0"),
    ],
)
def test_a_run_of_no_steps_counts_as_one_step(options: dict[str, Any], reason: str) -> None:
    module, runner = Asking(), trainer(**options)
    runner.fit(module, data())
    assert (module.run.total_steps, module.run.shortened) == (1, reason)
    assert runner.global_step == 0


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("module", [Tiny, Plain])
def test_both_modules_and_trainers_tell_their_run_length(make: Any, module: Any) -> None:
    class Told(module):
        def configure_optimizers(self) -> Any:
            self.lengths = [run_length_of(who).total_steps for who in (self, self.trainer)]
            return SGDConfig(lr=0.1).create_optimizer(self.parameters())

    told = Told()
    trainer(make, max_epochs=2).fit(told, data())
    assert told.lengths == [20, 20]


class NoLoader(Tiny):
    """Its loader must not be asked for before training starts."""

    opened = False

    def train_dataloader(self) -> Any:
        self.opened = True
        return data()

    def configure_optimizers(self) -> Any:
        made = super().configure_optimizers()
        assert not self.opened
        return made


def test_a_schedule_in_steps_never_touches_the_loader() -> None:
    schedule = {
        "name": "linear_warmup_cosine_decay",
        "warmup_duration": "2 steps",
        "max_duration": "10 steps",
    }
    module = NoLoader({"lr_scheduler": schedule})
    trainer(max_epochs=1).fit(module)
    assert module.opened


def test_a_total_that_max_steps_alone_gives_does_not_touch_the_loader() -> None:
    schedule = {
        "name": "linear_warmup_cosine_decay",
        "warmup_duration": "10%",
        "max_duration": "100%",
    }
    trainer(max_steps=10).fit(NoLoader({"lr_scheduler": schedule}))


def test_epochs_and_shares_become_steps_in_a_run() -> None:
    class Resolving(Tiny):
        def configure_optimizers(self) -> Any:
            run = run_length_of(self)
            durations = EpochsConfig(value=1.1), FractionConfig(value=0.5), StepsConfig(value=4)
            self.steps = [duration.resolve(run) for duration in durations]
            return super().configure_optimizers()

    module = Resolving()
    trainer(max_epochs=3).fit(module, data())
    assert module.steps == [11, 15, 4]


def test_epochs_of_a_stream_are_an_error_that_names_the_field() -> None:
    schedule = LinearWarmupCosineDecayLRSchedulerConfig(
        warmup_duration=EpochsConfig(value=1), max_duration=StepsConfig(value=10)
    )
    with pytest.raises(RunLengthError, match=r"warmup_duration.*limit_train_batches"):
        trainer(max_steps=10).fit(Tiny({"lr_scheduler": schedule}), data(5, Stream))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fast_dev_run": True}, "fast_dev_run"),
        ({"overfit_batches": 2}, "overfit_batches"),
        ({"limit_train_batches": 7}, "limit_train_batches=7"),
        ({"limit_train_batches": 1}, "limit_train_batches=1"),
        ({"limit_train_batches": 0.5}, "limit_train_batches=0.5"),
        ({"limit_train_batches": 1.0}, None),
        ({}, None),
    ],
)
def test_what_shortens_a_run_is_named(options: dict[str, Any], reason: str | None) -> None:
    assert run_length_of(trainer(max_epochs=1, **options)).shortened == reason


def test_a_warm_up_that_a_dev_run_cannot_hold_is_clipped_with_a_warning() -> None:
    schedule = {
        "name": "linear_warmup_cosine_decay",
        "warmup_duration": "5 steps",
        "max_duration": "100%",
    }
    with pytest.warns(NshtrainerWarning, match="fast_dev_run"):
        trainer(fast_dev_run=True).fit(Tiny({"lr_scheduler": schedule}), data())


def test_the_metric_of_the_trainer_goes_before_that_of_the_hyperparameters() -> None:
    loss, score = MetricConfig(monitor="loss", mode="min"), MetricConfig(monitor="f1", mode="max")
    module = Tiny({"primary_metric": loss})
    assert run_length_of(module).context.primary_metric == loss
    module.trainer = trainer(max_epochs=1)
    assert run_length_of(module).context.primary_metric == loss
    module.trainer = Trainer({"primary_metric": score}, **QUIET)
    assert run_length_of(module).context.primary_metric == score


@pytest.mark.parametrize(
    "saved", [{"primary_metric": MetricConfig(monitor="loss", mode="min")}, {}, {"other": 1}]
)
def test_hyperparameters_of_a_foreign_module_may_name_the_metric(saved: dict[str, Any]) -> None:
    module = Plain()
    module.save_hyperparameters(saved)
    assert run_length_of(module).context.primary_metric == saved.get("primary_metric")


def test_a_module_without_a_trainer_knows_nothing() -> None:
    run = run_length_of(Tiny())
    assert (run.total_steps, run.steps_per_epoch, run.shortened) == (None, None, None)
    assert (run.context.primary_metric, run.context.plateau_problem) == (None, None)
    assert "Tiny is not attached to a trainer" in str(run.unknown_because)


def test_an_attached_module_has_no_such_excuse() -> None:
    assert run_length_of(trainer(max_epochs=1)).unknown_because is None


def test_a_module_under_fabric_knows_nothing() -> None:
    from lightning.fabric import Fabric

    module = Tiny()
    module.fabric = Fabric(accelerator="cpu", devices=1)
    assert run_length_of(module).total_steps is None


def test_other_objects_of_lightning_have_no_run_length() -> None:
    with pytest.raises(ScheduleError, match="LightningDataModule is unknown"):
        run_length_of(pl.LightningDataModule())


def test_looking_at_a_run_length_does_not_touch_the_loader() -> None:
    run = run_length_of(trainer(max_epochs=1))
    assert repr(run) == "TrainerRunLength()"
    assert run.total_steps is None or run.shortened is None
    assert run == run  # noqa: PLR0124
    assert run != RunLength()
    assert len({run, run}) == 1


@pytest.mark.slow
def test_steps_are_counted_per_device() -> None:
    trainer(max_epochs=2, devices=2, strategy="ddp_spawn").fit(CountsOnTwo(), data())


class CountsOnTwo(Asking):
    def on_train_end(self) -> None:
        assert self.planned == (10, 5)
        assert self.trainer.global_step == 10
