"""Averages of the weights in real runs: what is validated, saved, resumed and left."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from tests.trainers.support import MID_EPOCH, NO_SAVER, TinyConfig, trainer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer import LightningModuleBase, TrainerConfig
from nshtrainer.exceptions import ConfigError, OptimizerError, RunLengthError

SGD = {"name": "sgd", "lr": 0.1}
RESUMED = (MID_EPOCH, NO_SAVER)


def data(batches: int = 6) -> DataLoader[Tensor]:
    """The same batch again and again, so a run that goes on in mid-epoch has what it would have."""
    points = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    return DataLoader(points.repeat(batches, 1), batch_size=4)  # type: ignore[arg-type]


class Model(LightningModuleBase[TinyConfig]):
    def __init__(self, hparams: Any = None) -> None:
        super().__init__(hparams or {"optimizer": SGD})
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.validated: list[dict[str, Tensor]] = []

    def training_step(self, batch: Tensor) -> Tensor:
        return (self.net(batch)[:, 0] - batch.prod(1)).square().mean()

    def validation_step(self, batch: Tensor) -> None:
        self.validated.append(weights(self))

    test_step = validation_step  # type: ignore[assignment]


class Walk(Callback):
    """The weights after each update."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.seen.append(weights(module))


def weights(module: Any) -> dict[str, Tensor]:
    return copy.deepcopy(module.state_dict())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def run(averaging: Any, **options: Any) -> Any:
    return trainer(nshtrainer.Trainer, config={"weight_averaging": averaging}, **options)


def average_of(path: list[dict[str, Tensor]], decay: float | None) -> dict[str, Tensor]:
    """What torch's own class makes of these weights."""
    holder = Model()
    how = {} if decay is None else {"multi_avg_fn": get_ema_multi_avg_fn(decay)}
    average = AveragedModel(holder, use_buffers=True, **how)  # type: ignore[arg-type]
    for each in path:
        holder.load_state_dict(each)
        average.update_parameters(holder)
    return average.module.state_dict()


# -- which weights join ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("averaging", "joined", "decay"),
    [
        ({"name": "ema", "decay": 0.9}, range(12), 0.9),
        ({"name": "ema", "decay": 0.5, "start": "1 epochs"}, range(6, 12), 0.5),
        ({"name": "ema", "decay": 0.5, "start": "2 steps", "every": "3 steps"}, (4, 7, 10), 0.5),
        ("swa", (), None),
        ({"name": "swa", "start": "0 steps"}, (5, 11), None),
        ({"name": "swa", "start": "50%", "every": "2 steps"}, (7, 9, 11), None),
    ],
)
def test_the_module_ends_with_the_average_of_what_joined(
    averaging: Any, joined: Any, decay: float | None
) -> None:
    path, module = Walk(), Model()
    run(averaging, max_epochs=2, callbacks=[path]).fit(module, data(), data(1))
    expected = average_of([path.seen[place] for place in joined], decay)
    assert same(weights(module), expected if joined else path.seen[-1])


def test_batches_that_accumulate_join_once() -> None:
    path, module = Walk(), Model()
    options: Any = {"max_epochs": 1, "callbacks": [path], "accumulate_grad_batches": 3}
    run({"name": "ema", "decay": 0.5}, **options).fit(module, data(), data(1))
    assert same(weights(module), average_of([path.seen[2], path.seen[5]], 0.5))


def test_buffers_may_be_copied_instead() -> None:
    path, module = Walk(), Model()
    run({"name": "ema", "use_buffers": False}, max_epochs=1, callbacks=[path]).fit(
        module, data(), data(1)
    )
    key = "net.1.running_mean"
    assert torch.equal(weights(module)[key], path.seen[-1][key])


# -- what is validated and saved -------------------------------------------------------------------


def test_validation_sees_the_average_and_training_does_not() -> None:
    plain, path = Walk(), Walk()
    alone, module = Model(), Model()
    trainer(max_epochs=2, callbacks=[plain]).fit(alone, data(), data(1))
    run({"name": "ema", "decay": 0.9}, max_epochs=2, callbacks=[path]).fit(module, data(), data(1))
    assert all(map(same, path.seen, plain.seen))
    assert same(module.validated[-1], weights(module))
    assert same(module.validated[-2], average_of(path.seen[:6], 0.9))


def test_before_there_is_an_average_the_weights_of_training_are_validated_and_saved(
    tmp_path: Path,
) -> None:
    # Lightning's own validates and saves the initial weights then, and leaves the module with them.
    path, module = Walk(), Model()
    saver = ModelCheckpoint(tmp_path, every_n_epochs=1)
    options: Any = {"max_epochs": 1, "callbacks": [path, saver]}
    fitted = run({"name": "ema", "start": "1000 steps"}, **options)
    fitted.fit(module, data(), data(1))
    saved = torch.load(saver.best_model_path, weights_only=True)
    for found in (module.validated[-1], saved["state_dict"], weights(module)):
        assert same(found, path.seen[-1])


@pytest.mark.parametrize("alone", [False, True])
def test_a_checkpoint_has_the_average(alone: bool, tmp_path: Path) -> None:
    path, module = Walk(), Model()
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=4, save_weights_only=alone)
    options: Any = {"max_steps": 5, "callbacks": [path, saver]}
    run({"name": "ema", "decay": 0.9}, **options).fit(module, data(), data(1))
    saved = torch.load(saver.best_model_path, weights_only=True)
    assert same(saved["state_dict"], average_of(path.seen[:4], 0.9))
    assert ("current_model_state" in saved) is not alone
    assert same(weights(Model.load_from_checkpoint(saver.best_model_path)), saved["state_dict"])


@pytest.mark.parametrize("fail", [False, True])
def test_a_checkpoint_of_the_middle_of_a_validation_has_both_in_their_places(
    fail: bool, tmp_path: Path
) -> None:
    class Stop(Model):
        def validation_step(self, batch: Tensor) -> None:
            if self.trainer.global_step == 6:
                if fail:
                    raise ValueError
                self.trainer.save_checkpoint(tmp_path / "middle.ckpt")

    path, module = Walk(), Stop()
    saver = ModelCheckpoint(tmp_path, filename="middle", save_on_exception=True)
    fitted = run({"name": "ema", "decay": 0.9}, max_epochs=1, callbacks=[path, saver])
    with pytest.raises(ValueError) if fail else contextlib.nullcontext():  # noqa: PT011
        fitted.fit(module, data(), data(1))
    saved = torch.load(tmp_path / "middle.ckpt", weights_only=True)
    assert same(saved["state_dict"], average_of(path.seen, 0.9))
    assert same(saved["current_model_state"], path.seen[-1])


@pytest.mark.filterwarnings(NO_SAVER)
def test_what_is_validated_and_tested_after_the_run_is_the_average(tmp_path: Path) -> None:
    module = Model()
    saver = ModelCheckpoint(tmp_path, every_n_epochs=1)
    fitted = run({"name": "ema", "decay": 0.9}, max_epochs=1, callbacks=[saver])
    fitted.fit(module, data(), data(1))
    average = weights(module)
    for path in (None, saver.best_model_path):
        fitted.validate(module, data(1), ckpt_path=path, verbose=False)
        fitted.test(module, data(1), ckpt_path=path, verbose=False)
        assert all(same(found, average) for found in module.validated[-2:])
        assert same(weights(module), average)
    other = Model()
    fresh = run("ema")
    fresh.test(other, data(1), ckpt_path=saver.best_model_path, verbose=False)
    fresh.save_checkpoint(tmp_path / "again.ckpt")
    assert same(torch.load(tmp_path / "again.ckpt")["state_dict"], average)


# -- going on --------------------------------------------------------------------------------------


ROUTED = {
    "name": "routed",
    "routes": [{"name": "out", "select": "net.2", "optimizer": SGD}],
    "default": "adamw",
}
EVERY_OTHER = {"name": "ema", "decay": 0.9, "every": "2 steps"}
EVERY_THIRD = {"name": "swa", "start": "2 steps", "every": "3 steps"}
GROUPED = {**SGD, "groups": [{"name": "out", "select": "net.2.*", "lr_mult": 0.5}]}


@pytest.mark.filterwarnings(*RESUMED)
@pytest.mark.parametrize("optimizer", [SGD, ROUTED, GROUPED], ids=["sgd", "routed", "grouped"])
@pytest.mark.parametrize(
    "averaging",
    [{"name": "ema", "decay": 0.9, "every": "2 steps"}, {"name": "swa", "start": "50%"}],
    ids=["ema", "swa"],
)
@pytest.mark.parametrize("after", [4, 6, 9])
def test_a_resumed_run_ends_with_the_average_of_one_that_went_on(
    averaging: Any, optimizer: Any, after: int, tmp_path: Path
) -> None:
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=after, save_top_k=-1, filename="{step}")
    hparams = {"optimizer": optimizer}
    whole, resumed = Model(hparams), Model(hparams)
    run(averaging, max_epochs=2, callbacks=[saver]).fit(whole, data(), data(1))
    first = tmp_path / f"step={after}.ckpt"
    run(averaging, max_steps=12).fit(resumed, data(), data(1), ckpt_path=first)
    assert same(weights(resumed), weights(whole))


@pytest.mark.filterwarnings(*RESUMED)
def test_a_run_that_is_over_may_go_on_from_the_weights_of_training(tmp_path: Path) -> None:
    averaging = {"name": "ema", "decay": 0.9}
    whole, half, longer = Model(), Model(), Model()
    run(averaging, max_epochs=2).fit(whole, data(), data(1))
    fitted = run(averaging, max_epochs=1)
    fitted.fit(half, data(), data(1))
    fitted.save_checkpoint(tmp_path / "over.ckpt")
    run(averaging, max_epochs=2).fit(longer, data(), data(1), ckpt_path=tmp_path / "over.ckpt")
    assert same(weights(longer), weights(whole))


# -- what does not go together, and files ----------------------------------------------------------


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_two_averages_are_refused_before_the_first_step(own: bool, inside: bool) -> None:
    optimizer: Any = {"name": "adamwschedulefree"}
    if inside:
        optimizer = {"name": "lookahead", "optimizer": optimizer}
    options: Any = {"max_epochs": 1, "callbacks": [] if own else [EMAWeightAveraging()]}
    fitted = run("ema", **options) if own else trainer(pl.Trainer, **options)
    with pytest.raises(OptimizerError, match="AdamWScheduleFree averages the weights"):
        fitted.fit(Model({"optimizer": optimizer}), data(), data(1))
    assert fitted.global_step == 0


def test_two_callbacks_that_average_are_refused_before_the_first_step() -> None:
    fitted = run("ema", max_epochs=1, callbacks=[EMAWeightAveraging()])
    with pytest.raises(OptimizerError, match="EMAWeightAveraging and AveragingCallback would each"):
        fitted.fit(Model(), data(), data(1))


@pytest.mark.parametrize("name", ["sam", "lookahead"])
def test_a_wrapped_optimizer_is_averaged(name: str) -> None:
    path, module = Walk(), Model({"optimizer": {"name": name, "optimizer": SGD}})
    run({"name": "ema", "decay": 0.9}, max_epochs=1, callbacks=[path]).fit(module, data(), data(1))
    assert same(weights(module), average_of(path.seen, 0.9))


def test_a_share_of_a_run_without_a_length_is_an_error_before_the_first_step() -> None:
    fitted = run({"name": "ema", "start": "50%"}, max_epochs=-1)
    with pytest.raises(RunLengthError, match=r"weight_averaging\.start"):
        fitted.fit(Model(), data(), data(1))


def test_it_goes_through_a_file() -> None:
    config = TrainerConfig.from_yaml("weight_averaging: {name: swa, start: 80%, every: 10 steps}")
    assert TrainerConfig.from_yaml(config.to_yaml()) == config
    assert config.lightning_arguments() == {}
    assert TrainerConfig(weight_averaging="ema").weight_averaging.decay == 0.999  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"<yaml>:1:38: weight_averaging.decay: must be <= 1"):
        TrainerConfig.from_yaml("weight_averaging: {name: ema, decay: 2.0}")
    with pytest.raises(ConfigError, match="weight_averaging"):
        TrainerConfig.from_yaml("weight_averaging: emma")
