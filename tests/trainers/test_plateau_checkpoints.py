"""A plateau schedule in checkpoints, and beside a curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.trainers.support import (
    BOTH_TRAINERS,
    MID_EPOCH,
    NO_SAVER,
    Plain,
    Rates,
    data,
    trainer,
)
from tests.trainers.test_plateau import SETTINGS, Watched, plateau

import nshtrainer
from nshtrainer.configs import SGDConfig
from nshtrainer.exceptions import MetricError, NshtrainerWarning

# -- checkpoints -----------------------------------------------------------------------------------


def test_a_checkpoint_of_a_validation_holds_the_step_that_it_caused(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path, monitor="val/loss", save_top_k=-1)
    trainer(max_epochs=2, val_check_interval=0.5, callbacks=[saving]).fit(
        Watched(), data(), data(2)
    )
    states = [torch.load(path, weights_only=True) for path in saving.best_k_models]
    steps = {state["global_step"]: state["lr_schedulers"][0]["last_epoch"] for state in states}
    assert steps == {5: 1, 10: 2, 15: 3, 20: 4}


class Stalled(Watched):
    def __init__(self) -> None:
        super().__init__(plateau(patience=1, factor=0.5))

    def validation_step(self, batch: Any) -> None:
        self.log("val/loss", 1.0)


def run(resume: str | None = None, *savers: Any, **options: Any) -> tuple[dict[int, float], Any]:
    rates = Rates()
    runner = trainer(nshtrainer.Trainer, callbacks=[rates, *savers], **options)
    runner.fit(Stalled(), data(), data(2), ckpt_path=resume)
    return rates.seen, runner


def steps_in(path: Path) -> int:
    return torch.load(path, weights_only=True)["global_step"]


def savers(path: Path) -> list[ModelCheckpoint]:
    """In the middle of epochs, after validations, and at the end of epochs."""
    return [
        ModelCheckpoint(path / "steps", every_n_train_steps=3, save_top_k=-1),
        ModelCheckpoint(path / "validations", monitor="val/loss", save_top_k=-1),
        ModelCheckpoint(path / "epochs", save_on_train_epoch_end=True, save_top_k=-1),
    ]


@pytest.mark.filterwarnings(MID_EPOCH)
@pytest.mark.filterwarnings(NO_SAVER)
@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 4},
        {"max_epochs": 3, "val_check_interval": 0.5},
        {"max_steps": 35, "val_check_interval": 0.5},
        {"max_epochs": 5, "check_val_every_n_epoch": 2},
        {"max_epochs": 4, "val_check_interval": 7, "check_val_every_n_epoch": None},
    ],
)
def test_a_resumed_run_reduces_as_the_uninterrupted_one(tmp_path: Path, options: Any) -> None:
    whole, runner = run(None, *savers(tmp_path), **options)
    last = runner.lr_scheduler_configs[0].scheduler.state_dict()
    starts = {path: steps_in(path) for path in sorted(tmp_path.rglob("*.ckpt"))}
    validated = {start for path, start in starts.items() if path.parent.name == "validations"}
    for path, start in starts.items():
        if path.parent.name == "steps" and start in validated:
            with pytest.warns(NshtrainerWarning, match="misses one value"):
                run(str(path), **options)
            continue
        rest, runner = run(str(path), **options)
        assert rest == {step: rate for step, rate in whole.items() if step >= start}, path
        if rest:
            assert runner.lr_scheduler_configs[0].scheduler.state_dict() == last, path


# -- a plateau beside a curve --------------------------------------------------------------------


class Observed(Watched):
    """Remembers what `observe` was shown, and the rate of each update."""

    def __init__(self, **options: Any) -> None:
        super().__init__(plateau(patience=0, factor=0.5, **options))

    def configure_optimizers(self) -> Any:
        made = super().configure_optimizers()
        scheduler, shown = made["lr_scheduler"]["scheduler"], self.shown
        observe = scheduler.observe

        def observing(value: Any) -> None:
            shown.append(float(value))
            observe(value)

        scheduler.observe = observing
        return made

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        assert metric is None
        scheduler.step()


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("row", SETTINGS.values(), ids=SETTINGS)
def test_beside_a_curve_each_validation_is_shown_once(
    row: tuple[dict[str, Any], int], make: Any
) -> None:
    options, count = row
    module = Observed(schedule="constant")
    trainer(make, **options).fit(module, data(), data(2))
    assert module.shown == [float(value) for value in range(1, count + 1)]


def test_the_curve_moves_by_the_update_and_the_plateau_by_the_validation() -> None:
    rates = Rates()
    module = Observed(schedule="linear", warmup_duration="2 steps")
    trainer(max_epochs=4, callbacks=[rates]).fit(module, data(), data(2))
    # Values rise by one with each validation: the first is the best, each later one is worse.
    expected = {t: 0.1 * (1 - t / 40) * 0.5 ** max(0, t // 10 - 1) for t in range(2, 40)}
    assert {t: rates.seen[t] for t in expected} == pytest.approx(expected)
    assert [rates.seen[0], rates.seen[1]] == pytest.approx([0.1 / 3, 0.1 * 2 / 3 * 39 / 40])


@pytest.mark.filterwarnings(NO_SAVER)
def test_beside_a_curve_a_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    def run(**options: Any) -> dict[int, float]:
        rates = Rates()
        saver = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
        runner = trainer(max_epochs=5, callbacks=[rates] if options else [rates, saver])
        runner.fit(Resumed(schedule="linear"), data(), data(2), **options)
        return rates.seen

    class Resumed(Observed):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["validations"] = self.validations

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            self.validations = checkpoint["validations"]

    whole = run()
    later = run(ckpt_path=tmp_path / "epoch=2.ckpt")
    assert later == {t: whole[t] for t in range(30, 50)}


def test_without_the_callback_nobody_would_show_the_metric_and_that_is_an_error() -> None:
    class Foreign(Plain):
        def configure_optimizers(self) -> Any:
            optimizer = SGDConfig(lr=0.1).create_optimizer(self.parameters())
            config = plateau(schedule="constant")["lr_scheduler"]
            return [optimizer], [config.create_scheduler(optimizer, self)]

    with pytest.raises(MetricError, match=r"passes no metric .* use nshtrainer\.Trainer"):
        trainer(pl.Trainer, max_epochs=1).fit(Foreign(), data())
