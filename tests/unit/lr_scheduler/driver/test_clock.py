"""Runs whose length is a time: the position is the share of it that has passed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.support import sgd
from torch import distributed
from torch.optim import Optimizer

from nshtrainer import RunLength
from nshtrainer.configs import (
    CosineScheduleConfig,
    LinearScheduleConfig,
    ResumeConfig,
    SequenceScheduleConfig,
    SGDConfig,
    SkippingConfig,
)
from nshtrainer.exceptions import ConfigChangedWarning, RunLengthError, ScheduleError
from nshtrainer.lr_scheduler.driver import clock
from nshtrainer.run_length import TICKS

LINE = LinearScheduleConfig()
MINUTE = RunLength(total_time=60)


class Watch:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    found = Watch()
    monkeypatch.setattr(clock.time, "monotonic", found)
    return found


def advance(optimizer: Optimizer, scheduler: Any, watch: Watch, seconds: float) -> float:
    optimizer.step()
    watch.now += seconds
    scheduler.step()
    return optimizer.param_groups[0]["lr"]


def test_the_rate_follows_the_time_and_not_the_number_of_updates(watch: Watch):
    optimizer = sgd()
    scheduler = LINE.create_scheduler(optimizer, MINUTE)["scheduler"]
    used = [advance(optimizer, scheduler, watch, seconds) for seconds in (6, 12, 0, 30, 60)]
    assert used == pytest.approx([0.9, 0.7, 0.7, 0.2, 0.0])


def test_time_before_the_first_update_does_not_count(watch: Watch):
    optimizer = sgd()
    scheduler = LINE.create_scheduler(optimizer, MINUTE)["scheduler"]
    watch.now += 500
    assert advance(optimizer, scheduler, watch, 6) == pytest.approx(0.9)


def test_a_resumed_run_goes_on_from_the_time_that_it_had_used(watch: Watch):
    first = sgd()
    scheduler = LINE.create_scheduler(first, MINUTE)["scheduler"]
    advance(first, scheduler, watch, 15)
    state = scheduler.state_dict()
    assert state["elapsed"] == 15
    assert state["last_epoch"] == TICKS // 4

    watch.now += 10_000
    second = sgd()
    resumed = LINE.create_scheduler(second, MINUTE)["scheduler"]
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(state)
    assert second.param_groups[0]["lr"] == pytest.approx(0.75)
    watch.now += 10_000
    assert advance(second, resumed, watch, 15) == pytest.approx(0.5)


def test_phases_may_be_times_and_shares():
    phases = (
        {"schedule": "constant", "duration": "15 seconds"},
        {"schedule": {"name": "linear", "warmup_duration": "15 seconds"}},
    )
    config = SequenceScheduleConfig.model_validate({"phases": phases})
    curve = config.curve(MINUTE)
    at = {second: curve(second * TICKS // 60) for second in (0, 14, 30, 45, 60)}
    assert at == pytest.approx({0: 1.0, 14: 1.0, 30: 1.0, 45: 0.5, 60: 0.0})


def test_steps_and_times_do_not_mix():
    config = CosineScheduleConfig(warmup_duration="500 steps")
    with pytest.raises(RunLengthError, match=r"warmup_duration: 500 steps cannot become a time"):
        config.create_scheduler(sgd(), MINUTE)


def test_all_processes_follow_the_clock_of_the_first(watch: Watch, monkeypatch: pytest.MonkeyPatch):
    def broadcast(tensor: torch.Tensor, src: int) -> None:
        assert (src, tensor.item()) == (0, 6.0)
        tensor.fill_(30.0)

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "broadcast", broadcast)
    optimizer = sgd()
    scheduler = LINE.create_scheduler(optimizer, MINUTE)["scheduler"]
    assert advance(optimizer, scheduler, watch, 6) == pytest.approx(0.5)


def resumed(watch: Watch, run: RunLength) -> tuple[Optimizer, Any]:
    """A run of a minute that goes on as another one, after 15 seconds."""
    first = sgd()
    scheduler = LINE.create_scheduler(first, MINUTE)["scheduler"]
    advance(first, scheduler, watch, 15)
    second = sgd()
    again: Any = LINE.create_scheduler(second, run)["scheduler"]
    second.load_state_dict(first.state_dict())
    again.load_state_dict(scheduler.state_dict())
    return second, again


@pytest.mark.parametrize(
    ("policy", "first", "later"), [("keep", 0.75, 0.5), ("extend", 0.875, 0.75)]
)
def test_a_run_of_more_time_keeps_its_schedule_or_extends_it(
    watch: Watch, policy: Any, first: float, later: float
) -> None:
    run = RunLength(total_time=120, resume=ResumeConfig(policy=policy))
    with pytest.warns(ConfigChangedWarning, match="run 60 -> 120 seconds: the schedule"):
        optimizer, scheduler = resumed(watch, run)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(first)
    assert advance(optimizer, scheduler, watch, 15) == pytest.approx(later)


def test_a_time_does_not_become_a_number_of_steps(watch: Watch):
    steps = RunLength(total_steps=100)
    with pytest.warns(
        ConfigChangedWarning, match="run 60 seconds -> 100 steps: the schedule continues"
    ):
        optimizer, _ = resumed(watch, steps)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.75)
    with pytest.raises(ScheduleError, match="do not both count steps, or both a time"):
        resumed(watch, steps.replace(resume=ResumeConfig(policy="extend")))


def test_after_a_skipped_update_the_next_one_follows_the_time(watch: Watch):
    param = torch.nn.Parameter(torch.ones(2))
    optimizer = SkippingConfig(optimizer=SGDConfig(lr=1.0)).create_optimizer([param])
    scheduler = LINE.create_scheduler(optimizer, MINUTE)["scheduler"]
    used = []
    for size in (1.0, torch.nan, 1.0):
        param.grad = torch.full((2,), size)
        used.append(advance(optimizer, scheduler, watch, 6))
    assert used == pytest.approx([0.9, 0.9, 0.7])
