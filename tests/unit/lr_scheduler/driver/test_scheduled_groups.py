"""Parameter groups that join, leave or are exchanged while a schedule runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.support import advance, rates, sgd
from torch.optim import SGD, Optimizer

from nshtrainer import RunLength
from nshtrainer.configs import (
    CosineScheduleConfig,
    HyperparameterScheduleConfig,
    LinearScheduleConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
    SchedulesConfig,
)
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.curves import LinearWarmupCosine
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer.routed_optimizer import RoutedOptimizer

SIXTEEN = RunLength(total_steps=16)


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(2))


def linear(optimizer: Optimizer, run: RunLength = SIXTEEN) -> Any:
    return LinearScheduleConfig().create_scheduler(optimizer, run)["scheduler"]


def test_a_rate_given_at_a_factor_of_a_half_is_continued_from_twice_as_much():
    optimizer = sgd(1.0)
    scheduler = linear(optimizer)
    advance(optimizer, scheduler, 8)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.2})
    optimizer.step()
    assert rates(optimizer) == [0.5, 0.2]
    scheduler.step()
    assert rates(optimizer) == [0.4375, pytest.approx(0.175)]
    assert scheduler.base_lrs == [1.0, 0.4]


def test_at_a_factor_of_0_the_given_rate_is_the_base():
    optimizer = sgd(1.0)
    scheduler = CurveScheduler(optimizer, lambda step: float(step != 3))
    advance(optimizer, scheduler, 3)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.2})
    advance(optimizer, scheduler, 1)
    assert rates(optimizer) == [1.0, 0.2]


def test_the_default_rate_is_a_base_from_the_first_update_on():
    optimizer = sgd(0.3)
    scheduler = linear(optimizer)
    advance(optimizer, scheduler, 8)
    optimizer.add_param_group({"params": [parameter()]})
    optimizer.step()
    assert rates(optimizer) == [0.15, 0.5]


def test_a_rate_is_continued_under_a_schedule_with_an_absolute_minimum():
    config = CosineScheduleConfig(min_lr=0.05)
    optimizer = sgd(1.0)
    scheduler: Any = config.create_scheduler(optimizer, SIXTEEN)["scheduler"]
    advance(optimizer, scheduler, 6)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.2})
    optimizer.step()
    assert rates(optimizer)[1] == pytest.approx(0.2)
    advance(optimizer, scheduler, 10)
    assert rates(optimizer) == pytest.approx([0.05, 0.05])


def test_a_rate_that_no_base_leads_to_is_the_base():
    config = CosineScheduleConfig(min_lr=0.05)
    optimizer = sgd(1.0)
    scheduler: Any = config.create_scheduler(optimizer, SIXTEEN)["scheduler"]
    advance(optimizer, scheduler, 15)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.0501})
    optimizer.step()
    assert 0.05 < rates(optimizer)[1] < 0.06


def test_of_several_optimizers_the_default_is_that_of_the_part():
    parts = {"a": sgd(0.3, lr=0.3), "b": sgd(0.7, lr=0.7)}
    optimizer = RoutedOptimizer(parts)
    scheduler = linear(optimizer)
    advance(optimizer, scheduler, 8)
    optimizer.add_param_group({"params": [parameter()], "route": "b"})
    optimizer.step()
    assert rates(optimizer) == [0.15, 0.35, 0.35]


def test_a_group_that_shares_the_tensor_of_another_gets_one_of_its_own():
    rate = torch.tensor(1.0)
    optimizer = SGD([parameter()], lr=rate)
    scheduler = linear(optimizer)
    advance(optimizer, scheduler, 8)
    optimizer.add_param_group({"params": [parameter()]})
    optimizer.step()
    assert rates(optimizer) == [0.5, 0.5]
    assert optimizer.param_groups[1]["lr"] is not rate
    advance(optimizer, scheduler, 1)
    assert rates(optimizer) == [0.4375, 0.4375]


def test_another_hyperparameter_that_is_given_is_a_base():
    config = SchedulesConfig(
        default={
            "lr": LinearScheduleConfig(),
            "weight_decay": HyperparameterScheduleConfig(follows="lr"),
        }
    )
    optimizer = sgd(1.0)
    scheduler: Any = config.create_scheduler(optimizer, SIXTEEN)["scheduler"]
    advance(optimizer, scheduler, 8)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.2, "weight_decay": 0.2})
    optimizer.step()
    late = optimizer.param_groups[1]
    assert [late["lr"], late["weight_decay"]] == [0.2, 0.1]


def test_a_group_may_be_removed_and_another_one_take_its_place():
    optimizer = sgd(1.0, 0.4)
    scheduler = linear(optimizer)
    advance(optimizer, scheduler, 4)
    del optimizer.param_groups[0]
    optimizer.step()
    assert rates(optimizer) == [pytest.approx(0.3)]
    optimizer.param_groups.clear()
    optimizer.add_param_group({"params": [parameter()]})
    assert scheduler.get_lr() == [1.0]  # it is not scheduled yet
    optimizer.step()
    assert rates(optimizer) == [0.75]
    assert scheduler.base_lrs == [1.0]


def test_what_stands_in_the_other_groups_is_left_alone_when_one_joins():
    optimizer = sgd(1.0)
    scheduler = linear(optimizer)
    advance(optimizer, scheduler, 4)
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.add_param_group({"params": [parameter()]})
    optimizer.step()
    assert rates(optimizer) == [0.1, 0.75]
    with pytest.warns(UserWarning, match="overwritten"):
        scheduler.step()
    assert rates(optimizer) == [0.6875, 0.6875]


def test_a_group_that_cannot_be_compared_with_the_one_before_is_seen():
    optimizer = sgd(1.0)
    scheduler = linear(optimizer)
    advance(optimizer, scheduler, 4)
    optimizer.param_groups[0] = {**optimizer.param_groups[0], "params": [parameter()]}
    scheduler.step()
    assert rates(optimizer) == [0.6875]


def test_a_base_waits_in_a_loaded_state_for_its_group():
    optimizer = sgd(1.0)
    scheduler = linear(optimizer)
    advance(optimizer, scheduler, 8)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.2})
    advance(optimizer, scheduler, 4)
    again = sgd(1.0)
    resumed = linear(again)
    resumed.load_state_dict(scheduler.state_dict())
    again.add_param_group({"params": [parameter()], "lr": 0.2})
    again.step()
    assert rates(again) == rates(optimizer) == [0.25, 0.1]


def test_groups_that_joined_have_their_bases_after_an_optimizer_without_notes_was_loaded():
    optimizer = sgd(1.0)
    scheduler = linear(optimizer)
    advance(optimizer, scheduler, 8)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        del group["initial_lr"]
    optimizer.load_state_dict(state)
    assert rates(optimizer) == [0.5]
    assert scheduler.base_lrs == [1.0]


def test_beside_a_metric_an_exchanged_group_begins_without_what_the_metric_did():
    loss = MetricConfig(monitor="loss", mode="min")
    config = ReduceLROnPlateauConfig(metric=loss, patience=0, schedule=LinearScheduleConfig())
    optimizer = sgd(1.0)
    scheduler: Any = config.create_scheduler(optimizer, SIXTEEN)["scheduler"]
    advance(optimizer, scheduler, 4)
    for _ in range(3):
        scheduler.observe(1.0)
    assert rates(optimizer) == pytest.approx([0.0075])
    optimizer.param_groups.clear()
    optimizer.add_param_group({"params": [parameter()], "lr": 0.3})
    optimizer.step()
    assert rates(optimizer) == pytest.approx([0.3])
    scheduler.observe(1.0)
    assert rates(optimizer) == pytest.approx([0.03])


def test_base_rates_may_be_replaced_as_a_whole():
    optimizer = sgd(1.0, 0.5)
    scheduler = CurveScheduler(optimizer, LinearWarmupCosine(warmup=4, total=16, start=0.5))
    scheduler.rebase([0.2, 0.1])
    assert rates(optimizer) == [0.1, 0.05]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.2, 0.1]


def test_a_group_exchanged_for_one_of_another_large_tensor_is_scheduled() -> None:
    """Tensors of several elements have no truth value, so such groups cannot be compared."""
    config = LinearScheduleConfig()
    optimizer = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=1.0)
    scheduler = config.create_scheduler(optimizer, RunLength(total_steps=4))["scheduler"]
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    own = optimizer.param_groups[0]
    optimizer.param_groups[0] = {**own, "params": [torch.ones(2, requires_grad=True)]}
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_a_group_whose_rate_the_schedule_cannot_have_keeps_it_as_its_base(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    run = RunLength(total_steps=4)
    scheduler = LinearScheduleConfig().create_scheduler(optimizer, run)["scheduler"]
    optimizer.step()
    scheduler.step()

    def refuse(*_: object) -> float:
        raise ScheduleError("the minimum is above the rate")

    monkeypatch.setattr(scheduler, "_continued", refuse)
    optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "lr": 0.3})
    optimizer.step()
    assert scheduler.base_lrs == [1.0, 0.3]
