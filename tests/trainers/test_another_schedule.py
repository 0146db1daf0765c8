"""A run of Lightning that goes on under a schedule of another kind, under one more, or none."""

from __future__ import annotations

import warnings
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.trainers.support import BOTH_TRAINERS, MID_EPOCH, NO_SAVER, Rates, Tiny, data, trainer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

import nshtrainer
from nshtrainer import RunLength
from nshtrainer.configs import CosineScheduleConfig, LinearScheduleConfig, SGDConfig
from nshtrainer.exceptions import CheckpointError, ConfigChangedWarning

pytestmark = [
    pytest.mark.filterwarnings(MID_EPOCH),
    pytest.mark.filterwarnings(NO_SAVER),
    pytest.mark.filterwarnings("ignore:the run ended before its plateau scheduler saw a value"),
]

EPOCH, EPOCHS = 4, 4
DONE = 2 * EPOCH
RUN = RunLength(EPOCH * EPOCHS, EPOCH)

SCHEDULES: dict[str, Any] = {
    "none": None,
    "cosine": {"name": "cosine"},
    "linear": {"name": "linear"},
    "reduce_lr_on_plateau": {
        "name": "reduce_lr_on_plateau",
        "metric": {"monitor": "loss", "mode": "min"},
        "patience": 0,
        "threshold": 1e9,
        "threshold_mode": "abs",
        "factor": 0.5,
    },
    "multiplicative_lr": {
        "name": "multiplicative_lr",
        "unit": "epoch",
        "lr_lambda": {"name": "constant", "factor": 0.5},
    },
}
CURVES: dict[str, Any] = {
    "cosine": CosineScheduleConfig().curve(RUN),
    "linear": LinearScheduleConfig().curve(RUN),
}


class Watched(Tiny):
    def validation_step(self, batch: Any) -> None:
        self.log("loss", 1.0)


class ByEpoch(Watched):
    """A module that writes its own scheduler of torch's, which counts epochs."""

    def configure_optimizers(self) -> Any:
        optimizer = self.hparams.optimizer.create_optimizer(self)
        return [optimizer], [CosineAnnealingLR(optimizer, EPOCHS)]


def fitted(
    schedule: Any,
    path: Any = None,
    *,
    module: Any = Watched,
    make: Any = nshtrainer.Trainer,
    epochs: int = EPOCHS,
    lr: float = 1.0,
    **how: Any,
) -> tuple[Any, dict[int, float]]:
    torch.manual_seed(0)
    seen = Rates()
    hparams = {
        "optimizer": SGDConfig(lr=lr),
        "lr_scheduler": schedule,
    }
    if make is nshtrainer.Trainer:
        runner = trainer(make, callbacks=[seen], max_epochs=epochs, config={"resume": how or None})
    else:
        runner = trainer(make, callbacks=[seen], max_epochs=epochs)
    runner.fit(module(hparams), data(EPOCH), data(1), ckpt_path=path)
    return runner, seen.seen


def told(act: Any) -> tuple[Any, str]:
    """What an act gives, and what of the config it said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConfigChangedWarning)
        made = act()
    said = [each for each in caught if each.category is ConfigChangedWarning]
    assert all(each.filename == __file__ for each in said)
    return made, "\n".join(str(each.message) for each in said)


def saved(schedule: Any, folder: Path, **how: Any) -> Path:
    runner, _ = fitted(schedule, epochs=DONE // EPOCH, **how)
    runner.save_checkpoint(folder / "saved.ckpt")
    return folder / "saved.ckpt"


class ByCycle(Watched):
    """A module that writes a scheduler of PyTorch's which begins at a rate of its own."""

    def configure_optimizers(self) -> Any:
        optimizer = self.hparams.optimizer.create_optimizer(self)
        cycle = OneCycleLR(optimizer, 3.0, total_steps=EPOCH * EPOCHS, cycle_momentum=False)
        return [optimizer], [{"scheduler": cycle, "interval": "step"}]


PAIRS = list(permutations(SCHEDULES, 2))
UNMOVED = "taken from the config, without a scheduler; the learning rate stays as in the checkpoint"
OVERRIDE = "resume: {policy: override, fields: [lr_scheduler]}"


@pytest.mark.parametrize(("was", "now"), PAIRS, ids=str)
def test_every_change_of_the_kind_is_said_and_the_rate_is_where_it_should_be(
    was: str, now: str, tmp_path: Path
) -> None:
    path = saved(SCHEDULES[was], tmp_path)
    before = float(
        torch.load(path, weights_only=True)["optimizer_states"][0]["param_groups"][0]["lr"]
    )
    (_, seen), said = told(lambda: fitted(SCHEDULES[now], path))
    assert f"lr_scheduler {was} -> {now}: " in said
    assert list(seen) == list(range(DONE, EPOCH * EPOCHS))
    if {was, now} <= CURVES.keys():
        assert seen[DONE] == pytest.approx(before)
    elif now in CURVES:
        assert seen == pytest.approx({step: CURVES[now](step) for step in seen}, rel=1e-12)
        assert f"taken from the config, from step {DONE} on" in said
    else:
        assert seen[DONE] == pytest.approx(before)


@pytest.mark.parametrize(("was", "now"), PAIRS, ids=str)
def test_every_change_of_the_kind_is_an_error_under_that_policy(
    was: str, now: str, tmp_path: Path
) -> None:
    path = saved(SCHEDULES[was], tmp_path)
    with pytest.raises(
        CheckpointError, match=f"changed since .*: lr_scheduler {was} -> {now}.*; resume with"
    ):
        fitted(SCHEDULES[now], path, policy="error")


@pytest.mark.parametrize("now", ["none", "reduce_lr_on_plateau"])
@pytest.mark.parametrize(
    "how", [{"policy": "extend"}, {"policy": "override", "fields": ["lr_scheduler"]}]
)
def test_a_policy_that_follows_the_schedule_begins_with_the_rate_of_the_optimizer(
    now: str, how: Any, tmp_path: Path
) -> None:
    path = saved(SCHEDULES["linear"], tmp_path)
    (_, seen), said = told(lambda: fitted(SCHEDULES[now], path, **how))
    assert seen[DONE] == 1.0
    assert "the learning rate is reset to the optimizer's" in said


def test_what_was_kept_names_the_policy_that_follows_the_config(tmp_path: Path) -> None:
    path = saved(SCHEDULES["linear"], tmp_path)
    _, said = told(lambda: fitted(None, path))
    assert said.splitlines()[1:] == [
        f"  lr_scheduler linear -> none: {UNMOVED}",
        f"  to follow the config: resume: {{policy: extend}} for a longer run, else {OVERRIDE}",
    ]


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_a_scheduler_of_torchs_that_counted_epochs_is_no_count_of_steps(
    make: Any, tmp_path: Path
) -> None:
    path = saved(None, tmp_path, module=ByEpoch)
    (_, seen), said = told(lambda: fitted(SCHEDULES["cosine"], path, make=make))
    assert seen == pytest.approx({step: CURVES["cosine"](step) for step in seen}, rel=1e-12)
    assert "lr_scheduler another scheduler -> cosine: taken from the config, from step 8" in said


def test_the_rate_of_the_checkpoint_is_kept_where_that_of_the_config_has_changed_too(
    tmp_path: Path,
) -> None:
    path = saved(SCHEDULES["reduce_lr_on_plateau"], tmp_path)
    reduced = float(torch.load(path)["optimizer_states"][0]["param_groups"][0]["lr"])
    assert reduced < 1.0
    (_, seen), said = told(lambda: fitted(SCHEDULES["cosine"], path, lr=7.0))
    assert "optimizer.lr 1.0 -> 7.0: taken from the checkpoint" in said
    assert seen[DONE] == pytest.approx(reduced * CURVES["cosine"](DONE))


@pytest.mark.parametrize("was", ["none", "linear"])
def test_a_scheduler_of_torchs_in_the_place_of_another_is_named(was: str, tmp_path: Path) -> None:
    path = saved(SCHEDULES[was], tmp_path)
    _, said = told(lambda: fitted(None, path, module=ByEpoch))
    assert f"lr_scheduler {was} -> CosineAnnealingLR: taken from the config, with its own" in said
    with pytest.raises(CheckpointError, match=f"lr_scheduler {was} -> CosineAnnealingLR"):
        fitted(None, path, module=ByEpoch, policy="error")


def test_a_users_own_scheduler_goes_on_with_its_own_state_as_before(tmp_path: Path) -> None:
    path = saved(None, tmp_path, module=ByEpoch)
    (_, seen), said = told(lambda: fitted(None, path, module=ByEpoch))
    (_, whole), _ = told(lambda: fitted(None, module=ByEpoch))
    assert said == ""
    assert seen == pytest.approx({step: whole[step] for step in seen}, rel=1e-12)


@pytest.mark.parametrize("was", ["none", "cosine"])
@pytest.mark.parametrize("module", [ByEpoch, ByCycle])
def test_a_scheduler_of_torchs_is_another_also_beside_equal_hyperparameters(
    was: str, module: Any, tmp_path: Path
) -> None:
    path = saved(SCHEDULES[was], tmp_path, module=module)
    (_, seen), said = told(lambda: fitted(SCHEDULES["cosine"], path))
    assert seen == pytest.approx({step: CURVES["cosine"](step) for step in seen}, rel=1e-12)
    assert "lr_scheduler another scheduler -> cosine: taken from the config, from step 8" in said
    with pytest.raises(CheckpointError, match="lr_scheduler another scheduler -> cosine"):
        fitted(SCHEDULES["cosine"], path, policy="error")


def test_ours_is_another_for_a_scheduler_of_torchs_beside_equal_hyperparameters(
    tmp_path: Path,
) -> None:
    path = saved(SCHEDULES["cosine"], tmp_path)
    _, said = told(lambda: fitted(SCHEDULES["cosine"], path, module=ByEpoch))
    assert "lr_scheduler cosine -> CosineAnnealingLR: taken from the config" in said
