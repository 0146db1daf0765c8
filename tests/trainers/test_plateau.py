"""A plateau scheduler sees each value of its metric once, however validation is set up."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
from tests.trainers.support import (
    BOTH_TRAINERS,
    Plain,
    Tiny,
    data,
    trainer,
)

from nshtrainer.configs import MetricConfig, ReduceLROnPlateauConfig, SGDConfig
from nshtrainer.exceptions import MetricError, NshtrainerWarning
from nshtrainer.integrations.lightning import PlateauCallback


def plateau(monitor: str = "val/loss", **options: Any) -> dict[str, Any]:
    metric = MetricConfig(monitor=monitor, mode="min")
    return {"lr_scheduler": ReduceLROnPlateauConfig(metric=metric, **options)}


class Watched(Tiny):
    """Each validation has a value of its own; remembers what the scheduler was shown."""

    def __init__(self, hparams: Any = None) -> None:
        super().__init__(plateau() if hparams is None else hparams)
        self.validations = 0
        self.shown: list[float] = []

    def on_validation_start(self) -> None:
        self.validations += not self.trainer.sanity_checking

    def validation_step(self, batch: Any) -> None:
        self.log("val/loss", float(self.validations))

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        self.shown.append(float(metric))
        super().lr_scheduler_step(scheduler, metric)


SETTINGS = {
    "each epoch": ({"max_epochs": 4}, 4),
    "every second epoch": ({"max_epochs": 5, "check_val_every_n_epoch": 2}, 2),
    "twice an epoch": ({"max_epochs": 4, "val_check_interval": 0.5}, 8),
    "every five batches": ({"max_epochs": 4, "val_check_interval": 5}, 8),
    "every three batches": ({"max_epochs": 2, "val_check_interval": 3}, 6),
    "every second epoch, twice": (
        {"max_epochs": 4, "val_check_interval": 0.5, "check_val_every_n_epoch": 2},
        4,
    ),
    "every 25 batches, over epochs": (
        {"max_epochs": 5, "val_check_interval": 25, "check_val_every_n_epoch": None},
        2,
    ),
    "every 4 batches, over epochs": (
        {"max_epochs": 2, "val_check_interval": 4, "check_val_every_n_epoch": None},
        5,
    ),
    "all the time": ({"max_epochs": 1, "val_check_interval": "00:00:00:00"}, 10),
    "accumulation": (
        {"max_epochs": 4, "val_check_interval": 5, "accumulate_grad_batches": 4},
        8,
    ),
    "few batches of it": ({"max_epochs": 3, "limit_val_batches": 1}, 3),
    "after a sanity check": ({"max_epochs": 3, "num_sanity_val_steps": 2}, 3),
    "without a sanity check": ({"max_epochs": 3, "num_sanity_val_steps": 0}, 3),
    "a stop in the middle": ({"max_steps": 25, "val_check_interval": 0.5}, 5),
    "fast_dev_run": ({"fast_dev_run": True}, 1),
}


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("row", SETTINGS.values(), ids=SETTINGS)
def test_each_validation_is_shown_once(row: tuple[dict[str, Any], int], make: Any) -> None:
    options, count = row
    module = Watched()
    trainer(make, **options).fit(module, data(), data(2))
    assert module.shown == [float(value) for value in range(1, count + 1)]


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_the_callback_is_attached_once(make: Any) -> None:
    runner = trainer(make, max_epochs=1)
    for _ in range(2):
        runner.fit(Watched(), data(), data(2))
    assert sum(isinstance(callback, PlateauCallback) for callback in runner.callbacks) == 1


def test_a_callback_that_the_user_attached_is_kept() -> None:
    mine = PlateauCallback()
    runner = trainer(max_epochs=1, callbacks=[mine])
    runner.fit(Watched(), data(), data(2))
    assert [c for c in runner.callbacks if isinstance(c, PlateauCallback)] == [mine]


def test_a_validation_without_a_fresh_value_is_passed_over() -> None:
    class Sometimes(Watched):
        def validation_step(self, batch: Any) -> None:
            if self.validations % 2:
                self.log("val/loss", float(self.validations))

    module = Sometimes()
    trainer(max_epochs=4).fit(module, data(), data(2))
    assert module.shown == [1.0, 3.0]


def test_a_value_equal_to_the_last_is_still_fresh() -> None:
    class Constant(Watched):
        def validation_step(self, batch: Any) -> None:
            self.log("val/loss", 1.0)

    module = Constant()
    trainer(max_epochs=4).fit(module, data(), data(2))
    assert module.shown == [1.0] * 4


def test_a_module_of_another_kind_is_served_by_our_trainer() -> None:
    class Foreign(Plain):
        shown = 0

        def validation_step(self, batch: Any) -> None:
            self.log("val/loss", 1.0)

        def configure_optimizers(self) -> Any:
            optimizer = SGDConfig(lr=0.1).create_optimizer(self.parameters())
            scheduler = plateau()["lr_scheduler"].create_scheduler(optimizer, self)
            return {"optimizer": optimizer, "lr_scheduler": scheduler}

        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            self.shown += 1

    module = Foreign()
    trainer(max_epochs=2, val_check_interval=0.5).fit(module, data(), data(2))
    assert module.shown == 4

    module = Foreign()
    trainer(pl.Trainer, max_epochs=2).fit(module, data(), data(2))
    assert module.shown == 2, "Lightning's own route, in the setting where it works"


@pytest.mark.parametrize(
    "options",
    [
        {"check_val_every_n_epoch": 2},
        {"val_check_interval": 0.5},
        {"val_check_interval": 10},
        {"val_check_interval": 25, "check_val_every_n_epoch": None},
        {"val_check_interval": "00:00:01:00"},
    ],
)
def test_without_the_callback_settings_that_fail_are_refused(options: dict[str, Any]) -> None:
    class Careless(Watched):
        def configure_callbacks(self) -> Any:
            return []

    with pytest.raises(MetricError, match="would pass stale values"):
        trainer(pl.Trainer, max_epochs=1, **options).fit(Careless(), data(), data(2))


# -- metrics that training logs --------------------------------------------------------------------


class Trained(Watched):
    """The epoch, as training logs it."""

    logs: dict[str, bool] = {"on_epoch": True}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__(plateau("train/loss"))

    def training_step(self, batch: Any) -> Any:
        self.log("train/loss", float(self.current_epoch), **self.logs)
        return super().training_step(batch)


class OnStep(Trained):
    logs = {"on_step": True, "on_epoch": False}  # noqa: RUF012


class OnBoth(Trained):
    logs = {"on_step": True, "on_epoch": True}  # noqa: RUF012


class AtTheEnd(Trained):
    def training_step(self, batch: Any) -> Any:
        return Tiny.training_step(self, batch)

    def on_train_epoch_end(self) -> None:
        self.log("train/loss", float(self.current_epoch))


@pytest.mark.parametrize("module", [Trained, OnStep, OnBoth, AtTheEnd])
@pytest.mark.parametrize(
    "options",
    [{}, {"val_check_interval": 0.5}, {"check_val_every_n_epoch": 2}, {"limit_val_batches": 0}],
)
def test_a_metric_of_the_training_is_shown_once_an_epoch(module: Any, options: Any) -> None:
    trained = module()
    trainer(max_epochs=4, **options).fit(trained, data(), data(2))
    assert trained.shown == [0.0, 1.0, 2.0, 3.0]


def test_an_epoch_that_logs_nothing_is_passed_over() -> None:
    class EverySecond(Trained):
        def training_step(self, batch: Any) -> Any:
            step = Tiny if self.current_epoch % 2 else Trained
            return step.training_step(self, batch)

    trained = EverySecond()
    trainer(max_epochs=4, limit_val_batches=0).fit(trained, data(), data(2))
    assert trained.shown == [0.0, 2.0]


def test_half_an_epoch_is_not_shown() -> None:
    trained = Trained()
    trainer(max_steps=15).fit(trained, data(), data(2))
    assert trained.shown == [0.0]


# -- metrics that are not there --------------------------------------------------------------------


class Mistyped(Watched):
    def __init__(self) -> None:
        super().__init__(plateau("val/los"))


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_metric_that_validation_never_logs_is_an_error_that_names_the_others(epochs: int) -> None:
    runner = trainer(max_epochs=epochs)
    with pytest.raises(MetricError, match=r"'val/los', which .* \(available: val/loss\)"):
        runner.fit(Mistyped(), data(), data(2))
    assert runner.current_epoch == 0


def test_without_validation_the_first_epoch_decides() -> None:
    with pytest.raises(MetricError, match=r"available: none"):
        trainer(max_epochs=2, limit_val_batches=0).fit(Mistyped(), data(), data(2))


def test_an_error_comes_also_where_the_module_logs_at_the_end_of_an_epoch() -> None:
    class Late(Mistyped):
        def on_train_epoch_end(self) -> None:
            self.log("late", 1.0)

    with pytest.raises(MetricError, match=r"available: late, val/loss"):
        trainer(max_epochs=1).fit(Late(), data(), data(2))


def test_before_the_first_validation_nothing_is_missing() -> None:
    module = Watched()
    trainer(max_epochs=3, check_val_every_n_epoch=3).fit(module, data(), data(2))
    assert module.shown == [1.0]


def test_a_scheduler_that_is_not_strict_waits_and_a_run_without_a_value_warns() -> None:
    class Lenient(Mistyped):
        def configure_optimizers(self) -> Any:
            made = super().configure_optimizers()
            made["lr_scheduler"]["strict"] = False
            return made

    with pytest.warns(NshtrainerWarning, match=r"never|before its plateau scheduler saw"):
        trainer(max_epochs=2).fit(Lenient(), data(), data(2))


def test_a_run_that_ends_before_any_validation_warns() -> None:
    with pytest.warns(NshtrainerWarning, match="ended before its plateau scheduler saw a value"):
        trainer(max_steps=3).fit(Watched(), data(), data(2))


def test_a_value_that_is_not_finite_counts_as_no_improvement() -> None:
    class Broken(Watched):
        def validation_step(self, batch: Any) -> None:
            self.log("val/loss", float("nan"))

    module = Broken(plateau(patience=1, factor=0.5))
    runner = trainer(max_epochs=4)
    runner.fit(module, data(), data(2))
    assert runner.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.025)


# -- beside others ---------------------------------------------------------------------------------


def test_other_schedulers_are_left_to_lightning() -> None:
    class Stepping(Watched):
        def configure_optimizers(self) -> Any:
            made = super().configure_optimizers()
            made["lr_scheduler"].update(interval="step", frequency=5, strict=False)
            return made

        def training_step(self, batch: Any) -> Any:
            self.log("val/loss", 7.0)
            return super().training_step(batch)

    module = Stepping()
    trainer(max_epochs=1, limit_val_batches=0).fit(module, data(), data(2))
    assert module.shown == [7.0, 7.0]


def test_evaluation_outside_of_training_is_not_shown() -> None:
    module, runner = Watched(), trainer(max_epochs=1)
    runner.fit(module, data(), data(2))
    runner.validate(module, data(2), verbose=False)
    assert module.shown == [1.0]


def test_lightnings_own_settings_are_handed_back_after_the_run() -> None:
    runner = trainer(max_epochs=1)
    runner.fit(Watched(), data(), data(2))
    assert runner.lr_scheduler_configs[0].frequency == 1
