"""States of PyTorch's schedulers, and damaged states, loaded into ours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.support import CONFIG_CHANGED, advance, rates, sgd
from tests.unit.lr_scheduler.driver.test_scheduler import CURVE
from torch.optim.lr_scheduler import (
    CyclicLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from nshtrainer import RunLength
from nshtrainer.configs import (
    CosineScheduleConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
    ResumeConfig,
    SGDConfig,
)
from nshtrainer.exceptions import ConfigChangedWarning, ScheduleError
from nshtrainer.lr_scheduler.driver.plan import SchedulePlan
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler

STARTED: dict[str, Any] = {
    "cycle": lambda optimizer: OneCycleLR(optimizer, 3.0, total_steps=20, cycle_momentum=False),
    "cyclic": lambda optimizer: CyclicLR(optimizer, 0.01, 3.0, cycle_momentum=False),
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=0),
}


def saved_by(kind: str, lr: float = 0.4) -> tuple[Any, Any]:
    """The states of an optimizer of a config and of a scheduler of PyTorch, after 7 steps."""
    optimizer = SGDConfig(lr=lr).create_optimizer([torch.nn.Parameter(torch.ones(1))])
    theirs = STARTED[kind](optimizer)
    for _ in range(7):
        optimizer.step()
        theirs.step(*([1.0] if kind == "plateau" else []))
    assert rates(optimizer) != [0.4]
    return optimizer.state_dict(), theirs.state_dict()


@pytest.mark.parametrize("loads_optimizer", [True, False])
@pytest.mark.parametrize("kind", STARTED)
def test_after_a_scheduler_with_rates_of_its_own_the_base_is_that_of_the_config(
    kind: str, loads_optimizer: bool
):
    first, second = saved_by(kind)
    optimizer = SGDConfig(lr=0.4).create_optimizer([torch.nn.Parameter(torch.ones(1))])
    ours = CurveScheduler(optimizer, CURVE)
    if loads_optimizer:
        optimizer.load_state_dict(first)
    with pytest.warns(ConfigChangedWarning, match="another scheduler"):
        ours.load_state_dict(second)
    assert ours.base_lrs == [0.4]
    assert rates(optimizer) == [0.4 * CURVE(7)]


@pytest.mark.parametrize("loads_optimizer", [True, False])
def test_a_schedule_beside_a_metric_begins_at_the_same_base_after_another(loads_optimizer: bool):
    first, second = saved_by("plateau")
    optimizer = SGDConfig(lr=0.4).create_optimizer([torch.nn.Parameter(torch.ones(1))])
    loss = MetricConfig(monitor="loss", mode="min")
    config = ReduceLROnPlateauConfig(metric=loss, schedule=CosineScheduleConfig())
    ours: Any = config.create_scheduler(optimizer, RunLength(total_steps=14))["scheduler"]
    if loads_optimizer:
        optimizer.load_state_dict(first)
    with pytest.warns(ConfigChangedWarning, match="another scheduler"):
        ours.load_state_dict(second)
    assert rates(optimizer) == pytest.approx([0.4 * 0.5])


def test_after_a_plateau_the_rate_of_the_checkpoint_is_kept_where_the_config_has_another():
    first, second = saved_by("plateau")
    optimizer = SGDConfig(lr=9.0).create_optimizer([torch.nn.Parameter(torch.ones(1))])
    ours = CurveScheduler(optimizer, CURVE)
    with pytest.warns(ConfigChangedWarning, match="lr 0.4 -> 9.0: taken from the checkpoint"):
        optimizer.load_state_dict(first)
    with pytest.warns(ConfigChangedWarning, match="another scheduler"):
        ours.load_state_dict(second)
    assert ours.base_lrs == [first["param_groups"][0]["lr"]]


def test_a_trainer_that_drops_warnings_lets_the_scheduler_tell_them_later():
    scope: dict[str, Any] = {"__name__": "transformers.trainer"}
    exec("def load(scheduler, state): scheduler.load_state_dict(state)", scope)
    first, second = saved_by("plateau")
    optimizer = SGDConfig(lr=0.4).create_optimizer([torch.nn.Parameter(torch.ones(1))])
    plan = SchedulePlan(RunLength(total_steps=30), CosineScheduleConfig())
    ours = CurveScheduler(optimizer, plan)
    optimizer.load_state_dict(first)
    scope["load"](ours, second)
    assert ours.last_epoch == 7
    with pytest.warns(ConfigChangedWarning, match="another scheduler -> cosine: .* from step 20"):
        ours.begin_loaded(20)
    assert rates(optimizer) == pytest.approx([0.4 * 0.25])
    ours.begin_loaded(25)  # another run of the same trainer
    assert ours.last_epoch == 20
    scope["load"](ours, second)
    with pytest.warns(ConfigChangedWarning, match="another scheduler -> cosine: .* from step 7"):
        optimizer.step()


def test_the_state_of_another_scheduler_is_a_change_that_a_policy_may_refuse():
    optimizer = sgd(0.4)
    state = ReduceLROnPlateau(optimizer).state_dict()
    run = RunLength(total_steps=10, resume=ResumeConfig(policy="error"))
    ours: Any = CosineScheduleConfig().create_scheduler(optimizer, run)["scheduler"]
    with pytest.raises(
        ScheduleError, match="lr_scheduler another scheduler -> cosine; resume with"
    ):
        ours.load_state_dict(state)


@pytest.mark.filterwarnings(CONFIG_CHANGED)
def test_the_state_of_a_sequence_is_taken_for_its_position():
    optimizer = sgd(0.4)
    parts = [LinearLR(optimizer, total_iters=3), LinearLR(optimizer, 1.0, 0.1)]
    theirs = SequentialLR(optimizer, parts, milestones=[3])
    advance(optimizer, theirs, 5)
    ours = CurveScheduler(sgd(0.4), CURVE)
    ours.load_state_dict(theirs.state_dict())
    assert ours.last_epoch == 5


@pytest.mark.filterwarnings(CONFIG_CHANGED)
def test_the_state_of_a_chain_is_taken_for_its_members_position():
    ours = CurveScheduler(sgd(0.4), CURVE)
    ours.load_state_dict({"_schedulers": [{"last_epoch": 4}]})
    assert ours.last_epoch == 4


def test_a_state_without_a_position_is_an_error():
    with pytest.raises(ScheduleError, match=r"no position .*\['best'\]"):
        CurveScheduler(sgd(1.0), CURVE).load_state_dict({"best": 1})
