"""What the one driver promises holds for every schedule that it drives, made as its class shows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.support import advance, saved_and_loaded
from torch.optim import SGD, Optimizer

from nshtrainer import Config, RunLength
from nshtrainer.configs import (
    LRSchedulerConfig,
    ResumeConfig,
    lr_scheduler_registry,
)
from nshtrainer.exceptions import (
    ConfigChangedWarning,
    RunLengthError,
)

DRIVEN = [cls for cls in lr_scheduler_registry.values() if cls.is_curve]
every_schedule = pytest.mark.parametrize("cls", DRIVEN, ids=lambda cls: cls.__name__)

RUN = RunLength(
    total_steps=100, steps_per_epoch=10, samples_per_step=8, tokens_per_step=64, base_lr=0.3
)


SILENT = (
    ResumeConfig(),
    ResumeConfig(policy="extend"),
    ResumeConfig(policy="error"),
    ResumeConfig(policy="override", fields=("lr_scheduler",)),
)


class Holder(Config):
    schedule: LRSchedulerConfig


def config_of(cls: Any) -> Any:
    """The example that its class shows in the docs."""
    lines = [f"name: {cls.model_fields['name'].default}", *cls.example.strip().splitlines()]
    return Holder.from_yaml("schedule:\n" + "".join(f"  {line}\n" for line in lines)).schedule


def sgd(*rates: float, tensors: bool = False) -> Optimizer:
    groups = [
        {
            "params": [torch.nn.Parameter(torch.ones(1))],
            "lr": torch.tensor(rate) if tensors else rate,
            "name": name,
        }
        for name, rate in zip(("backbone", "head"), rates, strict=False)
    ]
    return SGD(groups, lr=0.3, momentum=0.9, weight_decay=0.1)


def build(config: Any, optimizer: Optimizer, run: RunLength = RUN) -> Any:
    return config.create_scheduler(optimizer, run)["scheduler"]


def used_in(optimizer: Optimizer, scheduler: Any, updates: int) -> list[list[float]]:
    """The rates that the updates see, which a group may get as late as in the update itself."""
    used: list[list[float]] = []
    hook = optimizer.register_step_pre_hook(
        lambda *_: used.append([float(group["lr"]) for group in optimizer.param_groups])
    )
    advance(optimizer, scheduler, updates)
    hook.remove()
    return used


def step_at_0(optimizer: Optimizer) -> None:
    """Create the state of an optimizer as `torch.distributed.checkpoint.state_dict` does."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(0.0) if isinstance(group["lr"], torch.Tensor) else 0.0
    optimizer.step()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


@every_schedule
def test_it_says_what_it_needs_of_a_run_that_nobody_knows(cls: Any):
    told = ""
    try:
        tracks = config_of(cls).tracks(RunLength())
    except RunLengthError as error:
        told = str(error)
    assert "RunLength(" in told or all(track.curve(10**6) >= 0 for track in tracks)


def late_group(**options: Any) -> dict[str, Any]:
    return {"params": [torch.nn.Parameter(torch.ones(1))], "name": "head", **options}


@every_schedule
@pytest.mark.parametrize("options", [{"lr": 0.3}, {}], ids=["the default rate", "no rate"])
def test_a_group_that_joins_later_has_the_values_of_one_that_was_there(
    cls: Any, options: dict[str, Any]
):
    config = config_of(cls)
    whole = sgd(0.3, 0.3)
    expected = advance(whole, build(config, whole), 20)
    optimizer = sgd(0.3)
    scheduler = build(config, optimizer)
    advance(optimizer, scheduler, 7)
    optimizer.add_param_group(late_group(**options))
    assert used_in(optimizer, scheduler, 13) == expected[7:]


@every_schedule
def test_a_group_that_joins_later_with_a_rate_of_its_own_continues_from_it(cls: Any):
    config = config_of(cls)
    optimizer = sgd(0.3)
    scheduler = build(config, optimizer)
    advance(optimizer, scheduler, 7)
    optimizer.add_param_group(late_group(lr=0.2))
    first = used_in(optimizer, scheduler, 1)[0][1]
    rates = [track for track in config.tracks(RUN) if track.hyperparameter == "lr"]
    if rates[0].kind == "factor":  # else the curve is the rate, whatever was given
        assert first in (pytest.approx(0.2), 0.0)
    whole = sgd(0.3, scheduler.base_lrs[1])
    expected = [row[1] for row in advance(whole, build(config, whole), 20)[8:]]
    assert [row[1] for row in advance(optimizer, scheduler, 12)] == expected


@every_schedule
def test_a_group_that_joined_later_keeps_its_base_value_when_it_joins_a_resumed_run(cls: Any):
    config = config_of(cls)
    optimizer = sgd(0.3)
    scheduler = build(config, optimizer)
    advance(optimizer, scheduler, 7)
    optimizer.add_param_group(late_group(lr=0.2))
    advance(optimizer, scheduler, 3)
    state = scheduler.state_dict()
    expected = advance(optimizer, scheduler, 5)
    again = sgd(0.3)
    resumed = build(config, again)
    resumed.load_state_dict(state)
    again.add_param_group(late_group(lr=0.2))
    assert used_in(again, resumed, 5) == expected


@every_schedule
def test_a_group_that_is_exchanged_in_place_is_scheduled(cls: Any):
    config = config_of(cls)
    whole = sgd(0.3)
    expected = advance(whole, build(config, whole), 20)
    optimizer = sgd(0.3)
    scheduler = build(config, optimizer)
    advance(optimizer, scheduler, 7)
    optimizer.param_groups.clear()
    optimizer.add_param_group(late_group(name="backbone"))
    assert used_in(optimizer, scheduler, 5) == expected[7:12]
    optimizer.param_groups[0] = dict(optimizer.param_groups[0])
    assert used_in(optimizer, scheduler, 8) == expected[12:]


@every_schedule
@pytest.mark.parametrize("tensors", [False, True])
def test_an_update_that_other_code_makes_with_a_rate_of_0_changes_nothing(cls: Any, tensors: bool):
    config = config_of(cls)
    whole = sgd(0.3, 0.3, tensors=tensors)
    expected = advance(whole, build(config, whole), 10)
    optimizer = sgd(0.3, 0.3, tensors=tensors)
    scheduler = build(config, optimizer)
    step_at_0(optimizer)
    assert used_in(optimizer, scheduler, 10) == expected


@every_schedule
def test_a_rate_that_a_finder_wrote_before_the_first_update_holds(cls: Any):
    config = config_of(cls)
    found, given = sgd(0.9, 0.9), sgd(0.6, 0.6)
    scheduler = build(config, found)
    for group in found.param_groups:
        group["lr"] = 0.6
    found.step()
    scheduler.step()
    other = build(config, given)
    given.step()
    other.step()
    assert advance(found, scheduler, 10) == advance(given, other, 10)


@every_schedule
@pytest.mark.parametrize("policy", ["keep", "extend"])
def test_a_resumed_run_that_is_made_longer_keeps_its_schedule_or_extends_it(cls: Any, policy: Any):
    config = config_of(cls)
    longer = RUN.replace(total_steps=200, resume=ResumeConfig(policy=policy))
    optimizer = sgd(0.3, 0.3)
    scheduler = build(config, optimizer)
    advance(optimizer, scheduler, 30)
    state = optimizer.state_dict(), scheduler.state_dict()

    whole = sgd(0.3, 0.3)
    expected = advance(whole, build(config, whole, longer if policy == "extend" else RUN), 60)
    second = sgd(0.3, 0.3)
    resumed = build(config, second, longer)
    second.load_state_dict(state[0])
    if resumed.state_dict()["curve"] == state[1]["curve"]:
        resumed.load_state_dict(state[1])
    else:
        with pytest.warns(ConfigChangedWarning, match="run 100 -> 200 steps: the schedule"):
            resumed.load_state_dict(state[1])
    assert advance(second, resumed, 30) == expected[30:]


@every_schedule
def test_an_unchanged_schedule_goes_on_without_a_word_under_every_policy(cls: Any):
    config = config_of(cls)
    optimizer = sgd(0.3, 0.3)
    scheduler = build(config, optimizer)
    advance(optimizer, scheduler, 10)
    states = optimizer.state_dict(), saved_and_loaded(scheduler.state_dict())
    expected = advance(optimizer, scheduler, 10)
    for policy in SILENT:
        again = sgd(0.3, 0.3)
        resumed = build(config, again, RUN.replace(resume=policy))
        again.load_state_dict(states[0])
        resumed.load_state_dict(states[1])  # a warning would be an error
        assert advance(again, resumed, 10) == expected


@every_schedule
def test_rates_in_tensors_are_filled_with_the_same_values(cls: Any):
    config = config_of(cls)
    plain, tensors = sgd(0.3, 0.3), sgd(0.3, 0.3, tensors=True)
    rates = [group["lr"] for group in tensors.param_groups]
    expected = advance(plain, build(config, plain), 30)
    used = advance(tensors, build(config, tensors), 30)
    for row, other in zip(used, expected, strict=True):
        assert row == pytest.approx(other, rel=2e-7, abs=1e-12)
    assert all(group["lr"] is rate for group, rate in zip(tensors.param_groups, rates, strict=True))


@every_schedule
def test_it_can_go_to_any_position_at_once(cls: Any):
    config = config_of(cls)
    one, other = sgd(0.3, 0.3), sgd(0.3, 0.3)
    step_by_step = advance(one, build(config, one), 60)
    scheduler = build(config, other)
    for position in (59, 0, 17):
        scheduler.step(position)
        assert [group["lr"] for group in other.param_groups] == step_by_step[position]
