"""Which loaders go on exactly: the batches, the random numbers and the weights of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tests.faults.task import BATCHES, EPOCHS, LOADERS, Batches, Task
from tests.trainers.support import BOTH_TRAINERS, MID_EPOCH, NO_SAVER, trainer
from torch import Tensor, nn

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
