"""Which loaders go on exactly: the batches, the random numbers and the weights of one run."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tests.faults.task import BATCHES, EPOCHS, LOADERS, Batches, Task
from tests.trainers.support import BOTH_TRAINERS, MID_EPOCH, NO_SAVER, trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import nshtrainer

pytestmark = [
    pytest.mark.filterwarnings(MID_EPOCH),
    pytest.mark.filterwarnings(NO_SAVER),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata 0.11 calls it
]

WITHIN, BETWEEN = 2 * BATCHES - 3, 2 * BATCHES


class Dropping(Task):
    """Random numbers of its own beside those of the loader."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.net.append(nn.Dropout(0.5))
        self.seen: list[Tensor] = []

    def training_step(self, batch: list[Tensor]) -> Tensor:
        self.seen.append(batch[0].clone())
        return super().training_step(batch)


class Saves(pl.callbacks.Checkpoint):
    """Saves after so many updates, within an epoch or at its end."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.at and not trainer.is_last_batch:
            trainer.save_checkpoint("saved.ckpt")

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.at:
            trainer.save_checkpoint("saved.ckpt")


def fitted(make: Any, loader: str, at: int = -1, path: str | None = None, **length: Any) -> Any:
    pl.seed_everything(0, verbose=False)
    module = Dropping({})
    runner = trainer(make, callbacks=[Saves(at)], **(length or {"max_epochs": EPOCHS}))
    runner.fit(module, datamodule=Batches(loader), ckpt_path=path)
    return module


def goes_on_exactly(make: Any, loader: str, at: int, **length: Any) -> bool:
    whole = fitted(make, loader, at, **length)
    resumed = fitted(make, loader, path="saved.ckpt", **length)
    assert len(resumed.seen) == EPOCHS * BATCHES - at
    batches = zip(whole.seen[at:], resumed.seen, strict=True)
    if not all(torch.equal(*pair) for pair in batches):
        return False
    ours, theirs = resumed.state_dict(), whole.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    return True


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


CASES = [
    pytest.param(
        loader, at, marks=() if (loader, at) == ("stateful, shuffled", WITHIN) else pytest.mark.slow
    )
    for loader in LOADERS
    for at in (WITHIN, BETWEEN)
]


@pytest.mark.parametrize(("loader", "at"), CASES)
def test_a_run_goes_on_exactly_between_epochs_and_within_one_if_its_loader_has_a_state(
    loader: str, at: int
) -> None:
    exact = at == BETWEEN or loader.startswith("stateful")
    assert goes_on_exactly(nshtrainer.Trainer, loader, at) == exact


@pytest.mark.slow
@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("at", [WITHIN, BETWEEN])
@pytest.mark.parametrize("loader", ["plain, shuffled", "stateful, shuffled"])
def test_so_it_does_where_its_length_is_that_of_steps_and_with_lightnings_own_trainer(
    make: Any, loader: str, at: int
) -> None:
    exact = at == BETWEEN or loader.startswith("stateful")
    assert goes_on_exactly(make, loader, at, max_steps=EPOCHS * BATCHES) == exact


# -- a validation that was cut off -----------------------------------------------------------------


class Failing(Dropping):
    """Fails once in a validation after so many updates: at its start, or in one of its batches."""

    fails: Any = None

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.validated: list[tuple[int, int]] = []

    def on_validation_start(self) -> None:
        self._note("start")

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        if not self.trainer.sanity_checking:
            self.validated.append((self.global_step, batch_idx))
        self._note(batch_idx)

    def _note(self, where: Any) -> None:
        if not self.trainer.sanity_checking and Failing.fails == (self.global_step, where):
            Failing.fails = None
            raise ZeroDivisionError


class SavesAtException(pl.callbacks.Checkpoint):
    def on_exception(self, trainer: Any, *_: Any) -> None:
        trainer.save_checkpoint("failed.ckpt")


class ThreeToValidate(Batches):
    def val_dataloader(self) -> Any:
        return DataLoader(torch.ones(3, 3))


def failing(loader: str, fails: Any = None, path: str | None = None, **options: Any) -> Failing:
    pl.seed_everything(0, verbose=False)
    Failing.fails = fails
    module = Failing({})
    callbacks = [SavesAtException()]
    runner = trainer(nshtrainer.Trainer, callbacks=callbacks, max_epochs=EPOCHS, **options)
    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        runner.fit(module, datamodule=ThreeToValidate(loader), ckpt_path=path)
    return module


OPTIONS: list[dict[str, Any]] = [
    {},
    {"reload_dataloaders_every_n_epochs": 1},
    {"num_sanity_val_steps": 0, "reload_dataloaders_every_n_epochs": 2},
    {"val_check_interval": 0.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("loader", ["plain, shuffled", "stateful, shuffled"])
def test_an_exception_in_a_validation_changes_no_weight_and_the_validation_is_whole(
    loader: str, options: dict[str, Any]
) -> None:
    whole = failing(loader, **options)
    for at, where in ((BATCHES, "start"), (BATCHES, 0), (2 * BATCHES, 2)):
        failing(loader, (at, where), **options)
        resumed = failing(loader, path="failed.ckpt", **options)
        ours, theirs = resumed.state_dict(), whole.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), (at, where)
        assert resumed.validated == [pair for pair in whole.validated if pair[0] >= at]


def test_a_validation_within_an_epoch_goes_on_where_the_loader_does() -> None:
    options = {"val_check_interval": 0.5}
    whole = failing("stateful, shuffled", **options)
    failing("stateful, shuffled", (BATCHES // 2, 1), **options)
    resumed = failing("stateful, shuffled", path="failed.ckpt", **options)
    ours, theirs = resumed.state_dict(), whole.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("at", [WITHIN, BETWEEN])
def test_loaders_that_are_made_again_each_epoch_go_on_exactly(at: int) -> None:
    options = {"max_epochs": EPOCHS, "reload_dataloaders_every_n_epochs": 1}
    loader = "plain, shuffled" if at == BETWEEN else "stateful, shuffled"
    assert goes_on_exactly(nshtrainer.Trainer, loader, at, **options)
