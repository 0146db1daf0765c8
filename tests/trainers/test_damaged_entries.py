"""Checkpoints with one damaged entry: each is refused with the name of the entry."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tests.trainers.support import MID_EPOCH, NO_SAVER, Tiny, data, trainer

import nshtrainer
from nshtrainer.exceptions import CheckpointError, NshtrainerError, OptimizerError

pytestmark = [
    pytest.mark.filterwarnings(MID_EPOCH),
    pytest.mark.filterwarnings(NO_SAVER),
    pytest.mark.filterwarnings("ignore:"),  # what a run says that goes on from such an entry
]

BAD: dict[str, Any] = {
    "text": "text",
    "none": None,
    "tensor": torch.ones(2, 2),
    "negative": -1,
    "empty": {},
    "nothing": torch.zeros(0),
    "nan": float("nan"),
    "huge": 2**70,
}


class Watched(Tiny):
    def validation_step(self, batch: Any) -> None:
        self.log("loss", 1.0)


class Bare(Watched):
    """Under Lightning's own trainer, without our callbacks, and without the base of a hook."""

    def configure_callbacks(self) -> list[pl.Callback]:
        return []

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["callbacks"].clear()


def fitted(path: Any = None, epochs: int = 2, make: Any = nshtrainer.Trainer) -> Any:
    torch.manual_seed(0)
    hparams = {"optimizer": {"name": "adamw", "lr": 0.1}, "lr_scheduler": {"name": "cosine"}}
    best = pl.callbacks.ModelCheckpoint(dirpath=".", filename="best", monitor="loss")
    callbacks = [best, pl.callbacks.EarlyStopping("loss", patience=9), pl.callbacks.Timer()]
    runner = trainer(make, callbacks=callbacks, max_epochs=epochs)
    module = Bare if make is pl.Trainer else Watched
    runner.fit(module(hparams), data(2), data(1), ckpt_path=path)
    return runner


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    fitted().save_checkpoint("whole.ckpt")
    return torch.load("whole.ckpt", weights_only=True)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every entry within a checkpoint; of long lists, the list alone."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    elif isinstance(value, list) and len(value) < 4:
        for place, part in enumerate(value):
            yield from places(part, (*path, place))


def with_entry(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = copy.copy(value)
    changed[path[0]] = new if len(path) == 1 else with_entry(value[path[0]], path[1:], new)
    return changed


FEW = [
    ("global_step", "none"),
    ("pytorch-lightning_version", "text"),
    ("state_dict.layer.weight", "text"),
    ("loops", "text"),
    ("loops", "nothing"),
    ("loops.fit_loop", "empty"),
    ("loops.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer", "empty"),
    ("loops.fit_loop.epoch_loop.batch_progress.total.ready", "none"),
    ("loops.fit_loop.epoch_progress.current.processed", "negative"),
    ("loops.fit_loop.epoch_loop.batch_progress.total.completed", "nan"),
    ("loops.fit_loop.epoch_loop.batch_progress.total.started", "huge"),
    ("callbacks", "text"),
    ("callbacks.EarlyStopping.*.wait_count", "text"),
    ("callbacks.EarlyStopping.*.best_score", "negative"),
    ("callbacks.EarlyStopping.*.stopping_reason", "negative"),
    ("callbacks.ModelCheckpoint.*.kth_best_model_path", "text"),
    ("optimizer_states", "text"),
    ("optimizer_states.0", "text"),
    ("optimizer_states.0.state.0", "text"),
    ("optimizer_states.0.param_groups.0.initial_lr", "text"),
    ("optimizer_states.0.param_groups.0.betas", "none"),
    ("optimizer_states.0.param_groups.0.amsgrad", "none"),
    ("lr_schedulers.0", "text"),
    ("lr_schedulers.0.last_epoch", "negative"),
    ("lr_schedulers.0.config", "text"),
    ("random_states", "text"),
    ("random_states.torch", "tensor"),
    ("random_states.python", "none"),
]


def find(saved: Any, pattern: str) -> tuple[Any, ...]:
    first, _, last = pattern.partition(".*.")
    for path in places(saved):
        name = ".".join(map(str, path))
        if name == pattern or (last and name.startswith(first) and name.endswith(last)):
            return path
    raise AssertionError(pattern)


def test_a_damaged_entry_is_named_in_one_line(saved: dict[str, Any]) -> None:
    for pattern, kind in FEW:
        path = find(saved, pattern)
        torch.save(with_entry(saved, path, BAD[kind]), "edited.ckpt")
        with pytest.raises((CheckpointError, OptimizerError)) as caught:
            fitted("edited.ckpt", 3)
        text = str(caught.value)
        # Lightning reads all callbacks, and all loops, at once.
        last = "callbacks" if path[-1] == "stopping_reason" else str(path[-1])
        assert (path[0] if kind == "empty" else last) in text
        assert "\n" not in text


def test_a_score_of_a_checkpoint_has_64_bits(saved: dict[str, Any]) -> None:
    path = find(saved, "callbacks.ModelCheckpoint.*.best.ckpt")
    torch.save(with_entry(saved, path, BAD["huge"]), "edited.ckpt")
    with pytest.raises(CheckpointError, match="is a number of more than 64 bits"):
        fitted("edited.ckpt", 3)


@pytest.mark.parametrize("entry", ["state_dict", "optimizer_states", "lr_schedulers"])
def test_a_checkpoint_without_an_entry_is_refused_in_words(
    saved: dict[str, Any], entry: str
) -> None:
    del saved[entry]
    torch.save(saved, "edited.ckpt")
    more = "" if entry == "state_dict" else ", as in a weights-only"
    with pytest.raises(CheckpointError, match=f"{entry} is missing{more}"):
        fitted("edited.ckpt", 3)


CHECKED_BEFORE_LOADING = [
    (pattern, kind)
    for pattern, kind in FEW
    if pattern[:5] in {"loops", "callb"} and kind != "empty" and "stopping_reason" not in pattern
]


@pytest.mark.parametrize("entry", CHECKED_BEFORE_LOADING)
def test_under_lightnings_own_trainer_a_damaged_entry_is_named_too(
    saved: dict[str, Any], entry: tuple[str, str]
) -> None:
    pattern, kind = entry
    path = find(saved, pattern)
    torch.save(with_entry(saved, path, BAD[kind]), "edited.ckpt")
    with pytest.raises(CheckpointError, match=f"the checkpoint is damaged: {path[0]}") as caught:
        fitted("edited.ckpt", 3, pl.Trainer)
    assert str(path[-1]) in str(caught.value)
    fitted("whole.ckpt", 3, pl.Trainer)


def test_steps_are_counted_in_one_way(saved: dict[str, Any]) -> None:
    loop = saved["loops"]["fit_loop"]
    loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"] = {
        "ready": 7,
        "completed": 7,
    }
    torch.save(saved, "edited.ckpt")
    text = "loops.fit_loop counts 7 steps, but global_step is 4"
    with pytest.raises(CheckpointError, match=text):
        fitted("edited.ckpt", 3)


EDITED: list[tuple[str, Any, str]] = [
    ("hyper_parameters", "x", " is text, not a mapping"),
    ("hyper_parameters.hparams.lr_scheduler.end", torch.zeros(3), " is float tensor (3,), not"),
    ("optimizer_states.0.config", torch.zeros(3), " is float tensor (3,), not plain data"),
    ("optimizer_states.0.config.lr", torch.zeros(3), " is float tensor (3,), not plain data"),
    ("optimizer_states.0.config.lr", 2**70, " is a number of more than 64 bits"),
    ("optimizer_states.0.config.capturable", torch.zeros(3), " is float tensor (3,), not plain"),
    ("optimizer_states.0.config.betas", [torch.zeros(3), 1], ".0 is float tensor (3,), not plain"),
    ("optimizer_states.0.config.betas", {1: 2}, " has a number as a key, not text"),
    ("lr_schedulers.0.config.name", [1], " is a list, not text"),
    ("lr_schedulers.0.config.end", torch.zeros(3), " is float tensor (3,), not plain data"),
    ("lr_schedulers.0.run.total_steps", "x", " is text, not a number"),
    ("lr_schedulers.0.base_values", {"it": {"lr": [0.1]}}, ".it is a mapping, not a list"),
    ("lr_schedulers.0.base_values.lr", [[0.1]], ".0 is a list, not a number"),
    ("lr_schedulers.0.run", {"total_steps": -1}, " is that of no run (total_steps"),
]


def test_saved_configs_and_lengths_are_plain_data(saved: dict[str, Any]) -> None:
    for name, value, problem in EDITED:
        path = tuple(int(key) if key.isdigit() else key for key in name.split("."))
        torch.save(with_entry(saved, path, value), "edited.ckpt")
        with pytest.raises(CheckpointError) as caught:
            fitted("edited.ckpt", 3)
        text = str(caught.value).replace("0: the saved state does not fit: ", "0.")
        assert f"{name}{problem}" in text
        assert "\n" not in text


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("state_dict", "layer.weight"), torch.ones(2, 2).long(), "has whole numbers, not float"),
        (("state_dict", "layer.weight"), torch.ones(2, 2) * 1j, "has complex numbers, not float"),
        (("optimizer_states", 0, "param_groups", 0, "initial_lr"), -1.0, "is -1.0: input should"),
        (("lr_schedulers", 0, "base_values", "lr"), [-1.0], ".0 is -1, which is not from 0 to"),
    ],
)
def test_a_value_of_another_kind_or_out_of_range_is_named(
    saved: dict[str, Any], path: tuple[Any, ...], value: Any, problem: str
) -> None:
    torch.save(with_entry(saved, path, value), "edited.ckpt")
    with pytest.raises((CheckpointError, OptimizerError)) as caught:
        fitted("edited.ckpt", 3)
    assert str(path[-1]) in str(caught.value)
    assert problem in str(caught.value)


def without_entry(value: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.copy(value)
    if len(path) == 1:
        del changed[path[0]]
    else:
        changed[path[0]] = without_entry(value[path[0]], path[1:])
    return changed


@pytest.mark.slow
def test_every_entry_may_be_missing(saved: dict[str, Any]) -> None:
    for path in places(saved):
        if path[0] == "state_dict" and len(path) > 1:
            continue  # PyTorch names what is missing
        torch.save(without_entry(saved, path), "edited.ckpt")
        with suppress(NshtrainerError):
            fitted("edited.ckpt", 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_every_entry_may_be_damaged(saved: dict[str, Any], kind: str) -> None:
    for path in places(saved):
        if path[0] == "state_dict":
            continue  # PyTorch compares the shapes
        torch.save(with_entry(saved, path, BAD[kind]), "edited.ckpt")
        with suppress(NshtrainerError):
            fitted("edited.ckpt", 3)
