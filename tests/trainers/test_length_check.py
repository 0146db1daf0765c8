"""The run length that a schedule was resolved for, against the length that the run has."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import BatchSizeFinder
from tests.trainers.support import (
    BOTH_TRAINERS,
    Plain,
    Rates,
    Rows,
    Tiny,
    TinyConfig,
    data,
    trainer,
)
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer.configs import (
    LinearScheduleConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
    SGDConfig,
    StepScheduleConfig,
    lr_scheduler_registry,
)
from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.lr_scheduler import CurveScheduleConfigBase, RunLength

LINEAR = LinearScheduleConfig()
both = pytest.mark.parametrize("make", BOTH_TRAINERS)


def config(schedule: Any = LINEAR) -> TinyConfig:
    return TinyConfig(optimizer=SGDConfig(lr=1.0), lr_scheduler=schedule)


def fitted(module: Any, loader: Any = None, make: Any = pl.Trainer, **options: Any) -> Any:
    """The trainer after a run, and the rates of its steps."""
    rates = Rates()
    callbacks = [rates, *options.pop("callbacks", [])]
    made = trainer(make, callbacks=callbacks, **options)
    made.fit(module, *([] if loader is None else [loader]))
    return made, rates.seen


class Batches(Tiny):
    """Has a loader whose batch size can be set."""

    batch_size = 2

    def train_dataloader(self) -> Any:
        return DataLoader(Rows(32), batch_size=self.batch_size)


class PlainBatches(Plain):
    """The same in a module that is not ours."""

    batch_size = 2
    train_dataloader = Batches.train_dataloader

    def configure_optimizers(self) -> Any:
        optimizer = SGDConfig(lr=1.0).create_optimizer(self)
        schedule = LinearScheduleConfig(warmup_duration="1 epochs")
        return {
            "optimizer": optimizer,
            "lr_scheduler": schedule.create_scheduler(optimizer, self),
        }


def finder(**options: Any) -> BatchSizeFinder:
    return BatchSizeFinder(mode="power", steps_per_trial=1, max_trials=2, init_val=4, **options)


# -- before the first step -------------------------------------------------------------------------


@both
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_batch_size_finder_does_not_stretch_the_warmup(make: Any, tmp_path: Any):
    module = PlainBatches()
    made, rates = fitted(
        module, make=make, callbacks=[finder()], max_epochs=2, default_root_dir=tmp_path
    )
    assert (module.batch_size, made.global_step) == (8, 8)
    assert rates == pytest.approx(
        {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 4: 1.0, 5: 0.75, 6: 0.5, 7: 0.25}
    )


class ChangesTheBatch(pl.Callback):
    """Changes the loader in a hook."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self._change)

    @staticmethod
    def _change(trainer: Any, module: Any) -> None:
        if module.batch_size == 2:
            module.batch_size = 8
            trainer.fit_loop._combined_loader = None
            trainer.fit_loop.setup_data()


CURVES = sorted(
    name
    for name, cls in lr_scheduler_registry.items()
    if issubclass(cls, CurveScheduleConfigBase) and cls.example
)


@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_start", "on_train_epoch_start"])
def test_each_start_hook_may_change_the_length(hook: str):
    module = Batches(config(LinearScheduleConfig(warmup_duration="1 epochs")))
    _, rates = fitted(module, callbacks=[ChangesTheBatch(hook)], max_epochs=2)
    assert [rates[4], rates[7]] == [1.0, 0.25]


@pytest.mark.parametrize("name", CURVES)
def test_every_schedule_is_resolved_for_the_length_after_the_start_hooks(name: str):
    schedule = lr_scheduler_registry[name].from_yaml(
        f"name: {name}\n{lr_scheduler_registry[name].example}"
    )
    slow = TinyConfig(optimizer=SGDConfig(lr=1e-3), lr_scheduler=schedule)
    changed, asked = Batches(slow), Batches(slow)
    asked.batch_size = 8
    late = fitted(changed, callbacks=[ChangesTheBatch("on_fit_start")], max_epochs=5)
    assert late[1] == fitted(asked, max_epochs=5)[1]
    assert len(late[1]) == 20


def test_a_base_rate_written_before_is_kept_when_the_length_changes():
    class Writes(ChangesTheBatch):
        @staticmethod
        def _change(trainer: Any, module: Any) -> None:
            ChangesTheBatch._change(trainer, module)
            trainer.optimizers[0].param_groups[0]["lr"] = 0.5

    _, rates = fitted(Batches(config()), callbacks=[Writes("on_fit_start")], max_epochs=1)
    assert rates == {0: 0.5, 1: 0.375, 2: 0.25, 3: 0.125}


def test_a_length_that_was_passed_is_not_overruled():
    class Passed(Batches):
        def configure_optimizers(self) -> Any:
            optimizer = SGDConfig(lr=1.0).create_optimizer(self)
            run = RunLength(total_steps=2)
            return {
                "optimizer": optimizer,
                "lr_scheduler": LINEAR.create_scheduler(optimizer, run),
            }

    _, rates = fitted(Passed({}), callbacks=[ChangesTheBatch("on_fit_start")], max_epochs=1)
    assert rates == {0: 1.0, 1: 0.5, 2: 0.0, 3: 0.0}


def test_a_plateau_with_a_warmup_is_resolved_again():
    plateau = ReduceLROnPlateauConfig(
        warmup_duration="1 epochs", metric=MetricConfig(monitor="loss", mode="min")
    )

    class Logs(Batches):
        def training_step(self, batch: Any) -> Any:
            loss = super().training_step(batch)
            self.log("loss", loss, on_step=False, on_epoch=True)
            return loss

    options = {"callbacks": [ChangesTheBatch("on_fit_start")], "max_epochs": 2}
    _, rates = fitted(Logs(config(plateau)), **options)
    assert [rates[0], rates[3], rates[4]] == pytest.approx([0.2, 0.8, 1.0])


def test_a_rate_that_was_scaled_for_another_batch_is_a_warning():
    scaled = SGDConfig.model_validate({"lr": 0.1, "lr_scaling": {"base_batch_size": 4}})
    module = Batches(TinyConfig(optimizer=scaled))
    callbacks = [ChangesTheBatch("on_fit_start")]
    with pytest.warns(NshtrainerWarning, match="scaled for steps of 2 samples, but they have 8. "):
        fitted(module, callbacks=callbacks, max_epochs=1, make=nshtrainer.Trainer)
    fitted(Batches(TinyConfig(optimizer=scaled)), max_epochs=1, make=nshtrainer.Trainer)


# -- later -----------------------------------------------------------------------------------------


class Growing(Tiny):
    """Has 2, 4, 6, 8 batches in its epochs."""

    def train_dataloader(self) -> Any:
        return data(2 * (self.trainer.current_epoch + 1))


def test_loaders_that_grow_are_a_warning_with_both_numbers():
    with pytest.warns(NshtrainerWarning, match="resolved for") as said:
        made, _ = fitted(Growing(config()), max_epochs=4, reload_dataloaders_every_n_epochs=1)
    assert made.global_step == 20
    first, last = [str(each.message) for each in said if each.category is NshtrainerWarning]
    remedy = (
        "Give its durations in steps, or pass RunLength(total_steps=..., steps_per_epoch=[...]) to "
        "create_scheduler."
    )
    assert first == (
        "schedule 'linear': resolved for 2 steps in epoch 1, but it has 4; 8 steps were planned, "
        f"and 2 are done with 3 epochs to come. {remedy}"
    )
    assert last == f"schedule 'linear': resolved for 8 steps, but there were 20. {remedy}"


def test_a_run_that_is_stopped_after_its_planned_end_is_a_warning():
    class Late(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            trainer.should_stop = trainer.global_step >= 10

    with pytest.warns(NshtrainerWarning, match="resolved for") as said:
        fitted(
            Growing(config()),
            max_epochs=4,
            reload_dataloaders_every_n_epochs=1,
            callbacks=[Late()],
        )
    assert "resolved for 8 steps, but there were 10. Give" in str(said[-1].message)


class Limits(pl.Callback):
    """Changes a limit of the run in its second epoch."""

    def __init__(self, name: str, value: int) -> None:
        self.name, self.value = name, value

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == 1:
            loop = trainer.fit_loop
            setattr(loop if self.name == "max_epochs" else loop.epoch_loop, self.name, self.value)


@pytest.mark.parametrize(
    ("limits", "name", "value", "total"),
    [
        ({"max_epochs": 4}, "max_epochs", 8, 16),
        ({"max_epochs": 4}, "max_epochs", 3, 6),
        ({"max_steps": 8}, "max_steps", 12, 12),
    ],
)
def test_a_limit_that_changes_in_mid_run_is_told_when_the_next_epoch_begins(
    limits: Any, name: str, value: int, total: int
):
    class Told(pl.Callback):
        epoch = -1

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            if self.epoch < 0 and any(each.category is NshtrainerWarning for each in said):
                self.epoch = trainer.current_epoch

    told = Told()
    with pytest.warns(NshtrainerWarning, match="resolved for") as said:
        fitted(Tiny(config()), data(2), callbacks=[Limits(name, value), told], **limits)
    first, last = [str(each.message) for each in said if each.category is NshtrainerWarning]
    assert f"resolved for 8 steps, but the run has {total} now. Give" in first
    assert f"resolved for 8 steps, but there were {total}. Give" in last
    assert told.epoch == 2


def test_a_schedule_that_asks_for_no_length_is_not_looked_at():
    schedule = LinearScheduleConfig(max_duration="20 steps")
    _, rates = fitted(Growing(config(schedule)), max_epochs=4, reload_dataloaders_every_n_epochs=1)
    assert rates[19] == pytest.approx(0.05)


def test_epochs_that_end_early_are_a_warning():
    class Short(Tiny):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 3 else None

    schedule = StepScheduleConfig(step_duration="1 epochs")
    with pytest.warns(NshtrainerWarning, match=r"5 steps before epoch 1, but there were 3\. Give"):
        fitted(Short(config(schedule)), data(5), max_epochs=3)
    with pytest.warns(NshtrainerWarning, match=r"resolved for 5 steps, but there were 3\. Give"):
        fitted(Short(config()), data(5), max_epochs=1)


class Stops(pl.Callback):
    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= 7


def test_a_run_that_was_stopped_is_as_it_was_planned():
    made, _ = fitted(Tiny(config()), data(5), max_epochs=3, callbacks=[Stops()])
    assert made.global_step == 7
