"""Runs that go on with a changed model or a changed config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import BaseFinetuning
from tests.support import CONFIG_CHANGED
from tests.trainers.support import BOTH_TRAINERS, MID_EPOCH, Rates, trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer import Config, LightningModuleBase, RunLength
from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    LRSchedulerConfig,
    OptimizerConfig,
    ResumeConfig,
)
from nshtrainer.exceptions import OptimizerError

pytestmark = [pytest.mark.filterwarnings(MID_EPOCH), pytest.mark.filterwarnings(CONFIG_CHANGED)]

COSINE = CosineScheduleConfig(max_duration="10 steps")


class LayersConfig(Config):
    layers: str = "abc"
    frozen: str = ""
    optimizer: OptimizerConfig = AdamWConfig(lr=0.1)
    lr_scheduler: LRSchedulerConfig | None = COSINE
    resume: ResumeConfig | None = None


class Layers(LightningModuleBase[LayersConfig]):
    """Layers that are made in the order of their names in the config, and used in that of these."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        for name in self.hparams.layers:
            torch.manual_seed(ord(name))
            setattr(self, name, nn.Linear(2, 2))
            if name in self.hparams.frozen:
                getattr(self, name).requires_grad_(False)

    def training_step(self, batch: Tensor) -> Tensor:
        for _, layer in sorted(self.named_children()):
            batch = layer(batch)
        return batch.square().mean()


class Stalled(Layers):
    def validation_step(self, batch: Tensor) -> None:
        self.log("val", 1.0)


def same(batches: int = 10) -> Any:
    """Batches that are all the same: a run that goes on within an epoch sees the first again."""
    return DataLoader(torch.ones(2 * batches, 2), batch_size=2)


def fitted(path: Any = None, make: Any = pl.Trainer, options: Any = None, **hparams: Any) -> Any:
    """A run of 8 updates, resumed or not, and the rate of each."""
    rates = Rates()
    runner = trainer(make, **{"max_steps": 8, "callbacks": [rates], **(options or {})})
    runner.fit(Layers(hparams), same(), ckpt_path=path)
    return runner, rates.seen


def stop(path: Path, **hparams: Any) -> Path:
    """The checkpoint of a run that was stopped after 4 updates."""
    runner, _ = fitted(options={"max_steps": 4}, **hparams)
    runner.save_checkpoint(path / "stopped.ckpt")
    return path / "stopped.ckpt"


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    return stop(tmp_path)


def assert_same(one: Any, other: Any) -> None:
    ours, theirs = (each[0].lightning_module.state_dict() for each in (one, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def curve(base: float) -> dict[int, float]:
    factor = COSINE.curve(RunLength(total_steps=8))
    return {step: base * factor(step) for step in range(4, 8)}


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_with_its_layers_in_another_order_a_run_goes_on_as_if_nothing_had_changed(
    stopped: Path, make: Any
) -> None:
    assert_same(fitted(stopped, make, layers="cab"), fitted())


def test_in_other_groups_parameters_keep_their_own_state(stopped: Path) -> None:
    rules = [{"name": "last", "select": "c"}]
    optimizer = AdamWConfig.model_validate({"lr": 0.1, "groups": rules})
    resumed = fitted(stopped, layers="cab", optimizer=optimizer)
    assert [group["name"] for group in resumed[0].optimizers[0].param_groups] == ["last", "default"]
    assert_same(resumed, fitted())


def test_the_base_rates_of_groups_in_another_order_are_their_own(tmp_path: Path) -> None:
    rules = [{"name": "one", "select": "a", "lr_mult": 2}, {"name": "two", "select": "b"}]
    optimizer = AdamWConfig.model_validate({"lr": 0.1, "groups": rules})
    path = stop(tmp_path, optimizer=optimizer)
    # The config has no say in the rate of a group that was there.
    turned = AdamWConfig.model_validate({"lr": 0.1, "groups": rules[::-1]})
    resumed, rates = fitted(path, layers="bac", optimizer=turned)
    assert [group["name"] for group in resumed.optimizers[0].param_groups][1] == "one"
    assert resumed.lr_scheduler_configs[0].scheduler.base_lrs == [0.1, 0.2, 0.1]
    assert rates == curve(0.1)


def test_with_a_layer_frozen_the_others_keep_their_own_state(stopped: Path) -> None:
    resumed, _ = fitted(stopped, layers="abc", frozen="a")
    saved = torch.load(stopped, weights_only=True)["optimizer_states"][0]["state"]
    module = resumed.lightning_module
    (state,) = [optimizer.state for optimizer in resumed.optimizers]
    assert module.a.weight not in state
    assert state[module.b.weight]["step"] == 8
    parked = resumed.optimizers[0].state_dict()["parked"]
    assert torch.equal(parked["a.weight"]["exp_avg"], saved[0]["exp_avg"])


def test_another_name_is_refused_unless_it_is_allowed(stopped: Path) -> None:
    saved = torch.load(stopped, weights_only=True)
    saved["optimizer_states"][0]["param_groups"][0]["param_names"][0] = "gone"
    torch.save(saved, stopped)
    with pytest.raises(OptimizerError, match=r"missing .*'a.weight'.*unexpected .*'gone'"):
        fitted(stopped)
    resumed, _ = fitted(stopped, resume={"allow_missing": True, "allow_unexpected": True})
    module, state = resumed.lightning_module, resumed.optimizers[0].state
    assert (state[module.a.weight]["step"], state[module.a.bias]["step"]) == (4, 8)


def test_a_checkpoint_without_names_goes_on_by_position(stopped: Path) -> None:
    saved = torch.load(stopped, weights_only=True)
    del saved["optimizer_states"][0]["param_groups"][0]["param_names"]
    torch.save(saved, stopped)
    assert_same(fitted(stopped), fitted())


OVERRIDE = {"policy": "override", "fields": ["lr"]}


@pytest.mark.parametrize("schedule", [COSINE, None])
def test_the_rate_of_the_config_is_taken_where_the_policy_says_so(
    tmp_path: Path, schedule: Any
) -> None:
    path = stop(tmp_path, lr_scheduler=schedule)
    again = {"lr_scheduler": schedule, "optimizer": AdamWConfig(lr=0.3)}
    flat = dict.fromkeys(range(4, 8), 1.0)
    expected = curve(1.0) if schedule else flat
    ours = {"config": {"resume": OVERRIDE}}
    for rate, seen in (
        (0.1, fitted(path, **again)),
        (0.3, fitted(path, **again, resume=OVERRIDE)),
        (0.3, fitted(path, nshtrainer.Trainer, ours, **again)),
        (
            0.1,
            fitted(path, nshtrainer.Trainer, {"config": {"resume": {}}}, **again, resume=OVERRIDE),
        ),
    ):
        assert seen[1] == pytest.approx({step: rate * factor for step, factor in expected.items()})


def test_what_a_plateau_made_of_the_rate_is_kept_with_a_new_one(tmp_path: Path) -> None:
    plateau = {
        "name": "reduce_lr_on_plateau",
        "metric": {"monitor": "val", "mode": "min"},
        "patience": 0,
        "schedule": COSINE,
    }
    options = {"val_check_interval": 2}
    runner = trainer(max_steps=4, **options)
    runner.fit(Stalled({"lr_scheduler": plateau}), same(), same(1))
    runner.save_checkpoint(path := tmp_path / "stopped.ckpt")
    for rate, policy in ((0.1, None), (0.3, OVERRIDE)):
        rates = Rates()
        runner = trainer(max_steps=6, callbacks=[rates], **options)
        hparams = {"lr_scheduler": plateau, "optimizer": AdamWConfig(lr=0.3), "resume": policy}
        runner.fit(Stalled(hparams), same(), same(1), ckpt_path=path)
        factors = {step: 0.1 * rate * factor for step, factor in curve(1.0).items() if step < 6}
        assert rates.seen == pytest.approx(factors)


class Thaw(BaseFinetuning):
    """Trains the first layer from the second epoch on, in a group of its own."""

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.a)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch > 1:  # Lightning itself leaves it frozen in a run that is resumed
            self.make_trainable(pl_module.a)
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.a, optimizer, lr=0.01)


def test_a_group_that_lightnings_finetuning_adds_is_resumed(tmp_path: Path) -> None:
    def run(epochs: int, path: Any = None, layers: str = "abc") -> Any:
        runner = trainer(max_epochs=epochs, callbacks=[Thaw()])
        runner.fit(Layers({"lr_scheduler": None, "layers": layers}), same(3), ckpt_path=path)
        return runner, None

    runner, _ = run(2)
    runner.save_checkpoint(path := tmp_path / "stopped.ckpt")
    assert len(runner.optimizers[0].param_groups) == 2
    assert_same(run(4, path), run(4))
    assert_same(run(4, path, layers="cba"), run(4))


# -- optimizers that are built of bare parameters --------------------------------------------------


class Bare(Layers):
    def configure_optimizers(self) -> Any:
        optimizer = self.hparams.optimizer.create_optimizer(self.parameters())
        assert self.hparams.lr_scheduler is not None
        scheduler = self.hparams.lr_scheduler.create_scheduler(optimizer, self)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


class Torchs(Layers):
    def configure_optimizers(self) -> Any:
        lr = self.hparams.optimizer.lr
        return torch.optim.AdamW(self.parameters(), lr=lr)


class Flat(Layers):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=2)


def moments(runner: Any) -> dict[str, Tensor]:
    (optimizer,) = runner.optimizers
    named = runner.lightning_module.named_parameters()
    return {name: optimizer.state[param]["exp_avg"] for name, param in named}


@pytest.mark.parametrize("make", [Bare, Torchs])
def test_bare_parameters_are_known_by_the_names_of_the_module(make: Any, tmp_path: Path) -> None:
    first = trainer(max_steps=4)
    first.fit(make({"layers": "abc"}), same())
    first.save_checkpoint(tmp_path / "stopped.ckpt")
    before = moments(first)
    second = trainer(max_steps=4)
    second.fit(make({"layers": "cab"}), same(), ckpt_path=tmp_path / "stopped.ckpt")
    assert before.keys() == moments(second).keys()
    assert all(torch.equal(before[name], value) for name, value in moments(second).items())


@pytest.mark.parametrize("make", [Bare, Torchs])
def test_the_policy_of_the_run_holds_for_optimizers_of_bare_parameters(
    make: Any, tmp_path: Path
) -> None:
    first = trainer(max_steps=4)
    first.fit(make({"optimizer": AdamWConfig(lr=0.4)}), same())
    first.save_checkpoint(tmp_path / "stopped.ckpt")
    policy = {"policy": "override", "fields": ["lr"]}
    second = trainer(max_steps=5)
    second.fit(make({"resume": policy}), same(), ckpt_path=tmp_path / "stopped.ckpt")
    (optimizer,) = second.optimizers
    assert optimizer.param_groups[0].get("initial_lr", optimizer.param_groups[0]["lr"]) == 0.1


def test_an_optimizer_of_a_user_that_keeps_one_state_for_all_goes_on(tmp_path: Path) -> None:
    first = trainer(max_steps=4)
    first.fit(Flat({}), same())
    first.save_checkpoint(tmp_path / "stopped.ckpt")
    second = trainer(max_steps=4)
    second.fit(Flat({}), same(), ckpt_path=tmp_path / "stopped.ckpt")
    one, other = (runner.optimizers[0].state_dict()["state"] for runner in (first, second))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
