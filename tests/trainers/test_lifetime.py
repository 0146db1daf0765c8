"""After a run nothing is alive that Lightning by itself would let go."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.trainers.support import BOTH_TRAINERS, MID_EPOCH, NO_SAVER, Plain, Tiny, trainer
from torch import nn
from torch.utils.data import DataLoader

from nshtrainer.exceptions import BadUpdateError

ADAMW = {"name": "clipped", "max_norm": 1.0, "optimizer": "adamw"}
COSINE = {"name": "cosine", "warmup_duration": "1 epochs"}
PLATEAU = {
    "name": "reduce_lr_on_plateau",
    "metric": {"monitor": "loss", "mode": "min"},
    "warmup_duration": "2 steps",
}
CONFIGS: list[dict[str, Any]] = [
    {"optimizer": ADAMW, "lr_scheduler": COSINE},
    {"optimizer": {"name": "skipping", "optimizer": ADAMW}, "lr_scheduler": PLATEAU},
    {"optimizer": {"name": "sam", "optimizer": {"name": "lookahead", "optimizer": "sgd"}}},
    {"optimizer": "muon_with_adamw", "lr_scheduler": {"name": "step_lr", "step_size": 2}},
    {"optimizer": "adamwschedulefree"},
]


class Logging(Tiny):
    """A module with a metric, and a matrix within."""

    def __init__(self, hparams: Any = None) -> None:
        super().__init__(hparams)
        self.layer = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        loss = self.layer(batch).square().mean()
        self.log("loss", loss)
        return loss


class Owner(Plain):
    """A module whose optimizer the user built, and keeps."""

    def configure_optimizers(self) -> Any:
        self.optimizer = torch.optim.AdamW(self.parameters())
        return self.optimizer


class Large(Tiny):
    def __init__(self) -> None:
        super().__init__({"optimizer": ADAMW, "lr_scheduler": COSINE})
        self.layer = nn.Linear(2, 300_000)


def data() -> Any:
    return DataLoader(torch.ones(8, 2), batch_size=2)


def refs_of(module: Any, run: Any) -> list[weakref.ref[Any]]:
    run.fit(module, data())
    schedulers = [each.scheduler for each in run.lr_scheduler_configs]
    alive = [module, run, *run.optimizers, *schedulers, *module.parameters()]
    return [weakref.ref(each) for each in alive]


def assert_gone(refs: list[weakref.ref[Any]]) -> None:
    gc.collect()  # a trainer of Lightning's and its module refer to each other
    assert [ref() for ref in refs] == [None] * len(refs)


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(config["optimizer"])[:20])
def test_nothing_is_alive_after_a_run(make: Any, config: Any) -> None:
    assert_gone(refs_of(Logging(config), trainer(make, max_epochs=2)))


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_nor_is_a_module_with_an_optimizer_of_the_users(make: Any) -> None:
    assert_gone(refs_of(Owner(), trainer(make, max_epochs=2)))


@pytest.mark.filterwarnings(MID_EPOCH, NO_SAVER)
def test_nor_is_anything_after_a_resumed_run_with_averaged_weights(tmp_path: Path) -> None:
    config = {"optimizer": ADAMW}
    options = {"config": {"weight_averaging": "ema"}}
    first = trainer(max_epochs=1, default_root_dir=tmp_path, **options)
    first.fit(Logging(config), data())
    first.save_checkpoint(tmp_path / "here.ckpt")
    module, run = Logging(config), trainer(max_epochs=2, default_root_dir=tmp_path, **options)
    run.fit(module, data(), ckpt_path=tmp_path / "here.ckpt", weights_only=False)
    refs = [weakref.ref(each) for each in (first, module, run, *run.optimizers)]
    del first, module, run
    assert_gone(refs)


def test_nor_is_anything_after_a_run_that_failed() -> None:
    def failed() -> list[weakref.ref[Any]]:
        module, run = Logging({"optimizer": ADAMW}), trainer(max_epochs=1)
        with pytest.raises(BadUpdateError):
            run.fit(module, DataLoader(torch.full((8, 2), torch.nan), batch_size=2))
        return [weakref.ref(each) for each in (module, run, *run.optimizers)]

    assert_gone(failed())


def memory_after(runs: int) -> int:
    """The bytes of all tensors that are alive after some runs."""
    for _ in range(runs):
        trainer(max_epochs=1).fit(Large(), data())
    gc.collect()
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    return sum(each.numel() * each.element_size() for each in tensors)


@pytest.mark.parametrize("runs", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_runs_after_each_other_take_no_memory(runs: int) -> None:
    assert memory_after(runs) <= memory_after(1)
