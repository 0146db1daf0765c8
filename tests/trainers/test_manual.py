"""Manual optimization: several optimizers and schedules that a module steps by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from tests.trainers.support import BOTH_TRAINERS, NO_SAVER, Tiny, data, trainer
from torch import Tensor, nn

from nshtrainer import Config, LightningModuleBase
from nshtrainer.configs import AdamConfig, AdamWConfig, LRSchedulerConfig, OptimizerConfig
from nshtrainer.exceptions import OptimizerError

pytestmark = pytest.mark.filterwarnings(
    NO_SAVER, "ignore:Checkpoint directory .* exists:UserWarning"
)

COSINE = {"name": "cosine", "max_duration": "12 steps"}
LINEAR = {"name": "linear", "max_duration": "100%"}


class PairConfig(Config):
    first: OptimizerConfig = AdamConfig(lr=0.1)
    first_schedule: LRSchedulerConfig = COSINE
    second: OptimizerConfig = AdamConfig(lr=0.2)
    second_schedule: LRSchedulerConfig = LINEAR


class Pair(LightningModuleBase[PairConfig]):
    """Two networks, the second of which looks at the first."""

    def __init__(self, hparams: Any = None) -> None:
        super().__init__(hparams or {})
        self.automatic_optimization = False
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 1)

    def configure_optimizers(self) -> Any:
        return [self.entry("first"), self.entry("second")]

    def entry(self, name: str) -> Any:
        optimizer = getattr(self.hparams, name).create_optimizer(getattr(self, name))
        schedule = getattr(self.hparams, f"{name}_schedule")
        scheduler = schedule.create_scheduler(optimizer, self)
        return {"optimizer": optimizer, "lr_scheduler": {**scheduler, "name": name}}

    def training_step(self, batch: Tensor) -> None:
        for optimizer in self.optimizers():
            self.toggle_optimizer(optimizer)
            optimizer.zero_grad()
            self.manual_backward(self.second(self.first(batch)).square().mean())
            optimizer.step()
            self.untoggle_optimizer(optimizer)
        for scheduler in self.lr_schedulers():
            scheduler.step()


def fit(folder: Path, make: Any, module: Any = None, **options: Any) -> Any:
    torch.manual_seed(0)
    module = module or Pair()
    monitor = LearningRateMonitor("step")
    saver = ModelCheckpoint(folder, "{epoch}", every_n_epochs=1, save_top_k=-1)
    log: dict[str, Any] = {"logger": CSVLogger(folder), "log_every_n_steps": 1}
    ckpt_path = options.pop("ckpt_path", None)
    run = trainer(make, callbacks=[monitor, saver], max_epochs=3, **log, **options)
    run.fit(module, data(4), ckpt_path=ckpt_path)
    return module, monitor.lrs, run


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_two_optimizers_follow_two_schedules_and_resume_exactly(tmp_path: Path, make: Any) -> None:
    module, rates, run = fit(tmp_path, make)
    assert set(rates) == {"first", "second"}
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    assert rates["second"] == pytest.approx([0.2 * (1 - step / 12) for step in range(12)])
    again, _, resumed = fit(tmp_path, make, ckpt_path=tmp_path / "epoch=0.ckpt")
    for name, value in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    for ours, theirs in zip(resumed.optimizers, run.optimizers, strict=True):
        assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]


def test_the_states_of_both_optimizers_have_names(tmp_path: Path) -> None:
    fit(tmp_path, pl.Trainer)
    saved = torch.load(tmp_path / "epoch=2.ckpt", weights_only=True)
    for state in saved["optimizer_states"]:
        assert state["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_which_optimizer_to_use_by_default_is_not_guessed() -> None:
    class Guessing(Pair):
        configure_optimizers = LightningModuleBase.configure_optimizers

    with pytest.raises(OptimizerError, match=r"2 fields .*\(first, second\).* write configure_opt"):
        trainer(max_epochs=1).fit(Guessing(), data(4))


@pytest.mark.parametrize("option", [{"gradient_clip_val": 1.0}, {"accumulate_grad_batches": 2}])
def test_what_only_automatic_optimization_does_is_refused(option: Any) -> None:
    with pytest.raises(MisconfigurationException, match="manual optimization"):
        trainer(max_epochs=1, **option).fit(Pair(), data(4))


def test_max_steps_counts_the_steps_of_all_optimizers(tmp_path: Path) -> None:
    _, rates, run = fit(tmp_path, pl.Trainer, max_steps=8)
    assert run.global_step == 8
    assert len(rates["first"]) == 4


class ByHand(Tiny):
    """Shows its metric to its scheduler itself."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.automatic_optimization = False

    def training_step(self, batch: Tensor) -> None:
        self.manual_backward(self.layer(batch).square().mean())
        self.optimizers().step()

    def on_train_epoch_end(self) -> None:
        self.lr_schedulers().step(1.0)  # a loss that never falls


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_a_plateau_scheduler_is_shown_its_metric_by_hand(make: Any) -> None:
    plateau = {"name": "reduce_lr_on_plateau", "patience": 0, "factor": 0.5}
    metric = {"monitor": "loss", "mode": "min"}
    hparams = {"optimizer": AdamWConfig(lr=0.8), "lr_scheduler": {**plateau, "metric": metric}}
    run = trainer(make, max_epochs=3)
    with pytest.warns(RuntimeWarning, match="call `lr_scheduler.step\\(\\)` manually"):
        run.fit(ByHand(hparams), data(2))
    assert run.optimizers[0].param_groups[0]["lr"] == 0.2
