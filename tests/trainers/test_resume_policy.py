"""What runs of Lightning take from their config, and what from the checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from tests.changes import DONE, ROWS, HyperbolaConfig, Row, Setup, cases, rates
from tests.trainers.support import BOTH_TRAINERS, MID_EPOCH, NO_SAVER, Rates, Tiny, trainer
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer import Config, LightningModuleBase
from nshtrainer.configs import (
    AdamWConfig,
    LRSchedulerConfig,
    OptimizerConfig,
    ReduceLROnPlateauConfig,
    ResumeConfig,
)
from nshtrainer.exceptions import CheckpointError, ConfigChangedWarning, NshtrainerError
from nshtrainer.lr_scheduler import LRSchedulerConfigBase, lr_scheduler_registry
from nshtrainer.optimizer import OptimizerConfigBase, optimizer_registry

pytestmark = [pytest.mark.filterwarnings(MID_EPOCH), pytest.mark.filterwarnings(NO_SAVER)]

EPOCH = 12
LONGER = ROWS[0]


class LayersConfig(Config):
    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig | None = None
    resume: ResumeConfig | None = None


class Layers(LightningModuleBase[LayersConfig]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        torch.manual_seed(0)
        self.a, self.b, self.c = (nn.Linear(2, 2) for _ in range(3))

    def training_step(self, batch: Tensor) -> Tensor:
        self.log("val", 1.0)
        return self.c(self.b(self.a(batch))).square().mean()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with lr_scheduler_registry.scoped(), optimizer_registry.scoped():
        lr_scheduler_registry.register(HyperbolaConfig)
        yield


def same() -> Any:
    """Batches that are all the same: a run that goes on within an epoch sees the first again."""
    return DataLoader(torch.ones(2 * EPOCH, 2), batch_size=2)


def fitted(
    setup: Setup,
    path: Any = None,
    *,
    make: Any = nshtrainer.Trainer,
    stop: bool = False,
    **how: Any,
) -> Any:
    """A run, and the rate of each of its updates; with the policy where the trainer takes it."""
    hparams: dict[str, Any] = {"optimizer": setup.optimizer, "lr_scheduler": setup.schedule}
    options: dict[str, Any] = {"max_steps": setup.steps}
    if make is nshtrainer.Trainer:
        options["config"] = {"resume": how or None}
    else:
        hparams["resume"] = how or None
    seen = Rates()
    callbacks = [seen, Stop()] if stop else [seen]
    runner = trainer(make, callbacks=callbacks, **options)
    runner.fit(Layers(hparams), same(), ckpt_path=path)
    return runner, seen.seen


class Stop(pl.Callback):
    """Ends a run early: for its schedules it is as long as it was meant to be."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= DONE


def stopped(setup: Setup, folder: Path) -> Path:
    runner, _ = fitted(setup, stop=True)
    runner.save_checkpoint(folder / "stopped.ckpt")
    return folder / "stopped.ckpt"


def told(act: Any) -> tuple[Any, str]:
    """What an act gives, and what of the config it said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = act()
    said = [each for each in caught if each.category is ConfigChangedWarning]
    assert all(each.filename == __file__ for each in said)
    return made, "\n".join(str(each.message) for each in said)


@pytest.mark.slow
@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize(("row", "policy", "is_refused"), cases())
def test_the_policy_decides_on_every_rate_and_names_every_difference(
    row: Row, policy: str, is_refused: bool, make: Any, tmp_path: Path
) -> None:
    path = stopped(row.before, tmp_path)
    torch.load(path, weights_only=True)
    how = {"policy": policy, "fields": row.fields if policy == "override" else ()}
    if is_refused:
        with pytest.raises(NshtrainerError) as caught:
            fitted(row.after, path, make=make, **how)
        assert policy != "error" or all(text in str(caught.value) for text in row.said)
        return
    (_, seen), said = told(lambda: fitted(row.after, path, make=make, **how))
    assert seen == pytest.approx(rates(row, policy, EPOCH), rel=1e-12)
    assert all(said.count(text) == 1 for text in row.said)


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_a_longer_run_keeps_the_schedule_unless_it_is_to_be_extended(
    make: Any, tmp_path: Path
) -> None:
    path = stopped(LONGER.before, tmp_path)
    for policy, text in (("keep", "continues unchanged, for 12"), ("extend", "is stretched")):
        (_, seen), said = told(lambda p=policy: fitted(LONGER.after, path, make=make, policy=p))
        assert seen == pytest.approx(rates(LONGER, policy, EPOCH))
        assert f"run 12 -> 24 steps: the schedule {text}" in said


def test_an_error_names_the_differences_of_all_before_anything_is_loaded(tmp_path: Path) -> None:
    before = Setup(AdamWConfig(lr=0.01))
    after = Setup(AdamWConfig(lr=0.5), steps=24)
    path = stopped(before, tmp_path)
    with pytest.raises(CheckpointError) as caught:
        fitted(after, path, policy="error")
    assert str(caught.value) == (
        "the config has changed since the checkpoint: optimizer.lr 0.01 -> 0.5; run 12 -> 24 "
        "steps; resume with the config that wrote it, or choose another policy than `error` for "
        "resume: keep, extend or override"
    )


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_an_unchanged_run_goes_on_without_a_word(make: Any, tmp_path: Path) -> None:
    path = stopped(Setup(), tmp_path)
    for how in ({}, {"policy": "error"}, {"policy": "extend"}):
        (_, seen), said = told(lambda how=how: fitted(Setup(), path, make=make, **how))
        assert said == ""
        assert list(seen) == list(range(DONE, 12))


def test_a_field_of_a_schedule_is_refused_where_there_is_none(tmp_path: Path) -> None:
    none = Setup(schedule=None)  # type: ignore[arg-type]
    path = stopped(none, tmp_path)
    with pytest.raises(
        CheckpointError, match=r"lr_scheduler: no schedule of this run.*it has none"
    ):
        fitted(none, path, policy="override", fields=["lr_scheduler"])


# -- components that are not ours ------------------------------------------------------------------


class HalvingConfig(LRSchedulerConfigBase):
    """A user's scheduler, which keeps its state by itself."""

    name: Literal["halving"] = "halving"
    epochs: int = 1

    def metadata(self) -> Any:
        return {"interval": "epoch"}

    def create_scheduler_impl(self, optimizer: Any, lightning_module: Any, /) -> Any:
        return StepLR(optimizer, self.epochs, gamma=0.5)


class OwnConfig(OptimizerConfigBase):
    """A user's optimizer."""

    name: Literal["own"] = "own"
    lr: float = 0.1

    def create_optimizer(self, params: Any, /) -> Any:
        return torch.optim.SGD(params, lr=self.lr)


def test_what_is_a_users_own_is_compared_as_well(tmp_path: Path) -> None:
    lr_scheduler_registry.register(HalvingConfig)
    optimizer_registry.register(OwnConfig)
    before, after = (
        Setup(OwnConfig(lr=lr), HalvingConfig(epochs=epochs))  # type: ignore[arg-type]
        for lr, epochs in ((0.1, 1), (0.2, 3))
    )
    path = stopped(before, tmp_path)
    (_, seen), said = told(lambda: fitted(after, path))
    assert "optimizer.lr 0.1 -> 0.2: taken from the checkpoint" in said
    assert "lr_scheduler.epochs 1 -> 3: most of it is restored from the scheduler" in said
    assert set(seen.values()) == {0.1}
    with pytest.raises(CheckpointError, match=r"lr 0.1 -> 0.2; lr_scheduler.epochs 1 -> 3; resume"):
        fitted(after, path, policy="error")
    (_, seen), _ = told(lambda: fitted(after, path, policy="override", fields=["lr"]))
    assert set(seen.values()) == {0.2}


@pytest.mark.filterwarnings("ignore:the run ended before its plateau scheduler saw a value")
def test_a_change_of_what_looks_at_a_metric_is_said(tmp_path: Path) -> None:
    def watching(patience: int) -> Any:
        metric = {"monitor": "val", "mode": "min"}
        return ReduceLROnPlateauConfig.model_validate({"metric": metric, "patience": patience})

    path = stopped(Setup(schedule=watching(1)), tmp_path)
    _, said = told(lambda: fitted(Setup(schedule=watching(5)), path))
    assert "lr_scheduler.patience 1 -> 5: most of it is restored" in said
    with pytest.raises(CheckpointError, match=r"lr_scheduler.patience 1 -> 5; resume with"):
        fitted(Setup(schedule=watching(5)), path, policy="error")
    with pytest.raises(CheckpointError, match=r"no schedule of this run .*ReduceLROnPlateau"):
        fitted(Setup(schedule=watching(5)), path, policy="override", fields=["lr_scheduler"])


# -- a run that is over ----------------------------------------------------------------------------


def test_fewer_steps_than_are_done_leave_nothing_to_train_and_it_is_said(tmp_path: Path) -> None:
    path = stopped(Setup(), tmp_path)
    (_, seen), said = told(lambda: fitted(Setup(steps=4), path))
    assert seen == {}
    assert (
        "checkpoint is at step 6 but max_steps is 4; increase max_steps to continue training"
    ) in said


def test_fewer_epochs_than_are_done_are_refused(tmp_path: Path) -> None:
    runner = trainer(max_epochs=3)
    runner.fit(Tiny(), same())
    runner.save_checkpoint(tmp_path / "done.ckpt")
    with pytest.raises(MisconfigurationException, match=r"current_epoch=3, .*max_epochs=2"):
        trainer(max_epochs=2).fit(Tiny(), same(), ckpt_path=tmp_path / "done.ckpt")
