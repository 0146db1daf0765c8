"""The state of an optimizer goes from each kind of loop to each other, both ways."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from accelerate import Accelerator
from tests.peers.characters import gpt2, rows, trainer
from tests.support import CONFIG_CHANGED
from tests.trainers.support import QUIET
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import TrainerCallback

import nshtrainer
from nshtrainer import RunLength
from nshtrainer.configs import AdamWConfig, CosineScheduleConfig, MuonWithAdamWConfig
from nshtrainer.integrations.accelerate import prepare

# The transformers' Trainer makes a run of another length of its arguments.
pytestmark = pytest.mark.filterwarnings(CONFIG_CHANGED)

STEPS = 3
RUN = RunLength(total_steps=10)
COSINE = CosineScheduleConfig()

State = dict[str, Any]
Change = Callable[[State], State]
"""What is done to a saved state before it is loaded: here another takes its place."""


def same(state: State) -> State:
    return state


def plain(folder: Path, config: Any, change: Change = same) -> State:
    """A loop of one's own: trains, saves, and loads into a new optimizer, as all the others."""
    model = gpt2()
    optimizer, scheduler = nshtrainer.create(config, COSINE, model, RUN)
    for row in rows(STEPS):
        model(**{name: ids[None] for name, ids in row.items()}).loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    torch.save(optimizer.state_dict(), folder / "plain.pt")
    again, _ = nshtrainer.create(config, COSINE, gpt2(), RUN)
    again.load_state_dict(change(torch.load(folder / "plain.pt", weights_only=True)))
    return again.state_dict()


class Catch(TrainerCallback):
    def on_train_begin(self, *_: Any, optimizer: Any, **__: Any) -> None:
        self.state = deepcopy(optimizer.state_dict())  # before training goes on in it


def transformers(folder: Path, config: Any, change: Change = same) -> State:
    options = {"max_steps": 10, "save_strategy": "steps", "save_steps": STEPS}

    def made(*callbacks: Any) -> Any:
        one = trainer(folder, gpt2(), rows(40), callbacks=list(callbacks), **options)
        one.optimizer, one.lr_scheduler = nshtrainer.create(config, COSINE, one.model, one)
        return one

    made().train()
    checkpoint, catch = folder / f"checkpoint-{STEPS}", Catch()
    exchange(checkpoint / "optimizer.pt", change)
    made(catch).train(resume_from_checkpoint=str(checkpoint))
    return catch.state


def exchange(path: Path, change: Change) -> None:
    torch.save(change(torch.load(path, weights_only=True)), path)


def accelerate(folder: Path, config: Any, change: Change = same) -> State:
    own = Accelerator(cpu=True)
    pair = nshtrainer.create(config, COSINE, model := gpt2(), RUN)
    model, optimizer, scheduler, loader = prepare(own, model, *pair, DataLoader(rows(STEPS)))  # type: ignore[arg-type]
    for batch in loader:
        own.backward(model(**batch).loss)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    own.save_state(str(folder))
    exchange(folder / "optimizer.bin", change)
    own = Accelerator(cpu=True)
    pair = nshtrainer.create(config, COSINE, again := gpt2(), RUN)
    _, optimizer, _ = prepare(own, again, *pair)
    own.load_state(str(folder))
    return optimizer.state_dict()


class Module(pl.LightningModule):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.net = gpt2()
        self.config = config

    def training_step(self, batch: Any) -> Tensor:
        return self.net(**batch).loss

    def configure_optimizers(self) -> Any:
        optimizer = self.config.create_optimizer(self)
        return {"optimizer": optimizer, "lr_scheduler": COSINE.create_scheduler(optimizer, self)}

    def on_train_start(self) -> None:
        self.state = deepcopy(self.optimizers().optimizer.state_dict())  # type: ignore[union-attr]


def lightning(folder: Path, config: Any, change: Change = same) -> State:
    loader: Any = DataLoader(rows(10))  # type: ignore[arg-type]
    one = nshtrainer.Trainer(**QUIET, max_steps=STEPS)
    one.fit(Module(config), loader)
    one.save_checkpoint(folder / "state.ckpt")
    checkpoint = torch.load(folder / "state.ckpt", weights_only=True)
    checkpoint["optimizer_states"] = [change(checkpoint["optimizer_states"][0])]
    torch.save(checkpoint, folder / "state.ckpt")
    module = Module(config)
    again = nshtrainer.Trainer(**QUIET, max_steps=STEPS + 1)
    again.fit(module, loader, ckpt_path=str(folder / "state.ckpt"))
    return module.state


LOOPS = {loop.__name__: loop for loop in (plain, transformers, accelerate, lightning)}

CONFIGS: dict[str, Any] = {
    "groups": AdamWConfig(lr=0.01, no_decay="bias_and_norm"),
    "muon_with_adamw": MuonWithAdamWConfig.from_mapping({"adamw": {"lr": 0.01}}),
}


def moments(state: State) -> dict[str, dict[str, Any]]:
    """What is kept of each parameter, by its name in the model."""
    return {
        name.removeprefix("net."): state["state"][key]
        for group in state["param_groups"]
        for key, name in zip(group["params"], group["param_names"], strict=True)
    }


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
@pytest.mark.filterwarnings("ignore:the schedule has changed")
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(("source", "target"), list(product(LOOPS, LOOPS)))
def test_a_state_of_one_loop_is_loaded_by_another(
    tmp_path: Path, source: str, target: str, config: Any
):
    for folder in ("source", "target"):
        (tmp_path / folder).mkdir()
    saved = LOOPS[source](tmp_path / "source", config)
    loaded = LOOPS[target](tmp_path / "target", config, change=lambda _: saved)
    own, theirs = moments(saved), moments(loaded)
    assert own.keys() == theirs.keys() == dict(gpt2().named_parameters()).keys()
    for name, kept in own.items():
        torch.testing.assert_close(theirs[name], kept, rtol=0, atol=0)
    assert any(value.any() for kept in own.values() for value in kept.values())
    assert [group["name"] for group in loaded["param_groups"]] == [
        group["name"] for group in saved["param_groups"]
    ]
