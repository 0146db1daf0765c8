"""Laws of every driven schedule in loops that treat it in odd ways."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from tests.contracts.test_every_driven_schedule import (
    RUN,
    build,
    config_of,
    every_schedule,
    sgd,
    used_in,
)
from tests.support import advance
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, ExponentialLR, LinearLR, SequentialLR

from nshtrainer.exceptions import (
    NshtrainerWarning,
    ScheduleError,
)
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer_record import notify_step_skipped


def step_first(optimizer: Optimizer, scheduler: Any) -> None:
    for _ in range(3):
        scheduler.step()
        optimizer.step()


def once_an_epoch(optimizer: Optimizer, scheduler: Any) -> None:
    for _ in range(3):
        for _ in range(4):
            optimizer.step()
        scheduler.step()


def never(optimizer: Optimizer, _scheduler: Any) -> None:
    for _ in range(10):
        optimizer.step()


@every_schedule
def test_within_torchs_sequence_it_is_base_times_curve(cls: Any):
    config = config_of(cls)
    whole = sgd(0.3)
    expected = advance(whole, build(config, whole), 6)
    optimizer = sgd(0.3)
    first, scheduler = LinearLR(optimizer, 0.5, total_iters=3), build(config, optimizer)
    sequence = SequentialLR(optimizer, [first, scheduler], milestones=[3])
    used = used_in(optimizer, sequence, 9)
    assert used[:3] == [[0.15], [pytest.approx(0.2)], [pytest.approx(0.25)]]
    assert used[3:] == expected
    assert scheduler.get_lr() == [group["lr"] for group in optimizer.param_groups]


@every_schedule
@pytest.mark.parametrize(
    ("writes", "first_step"), [((0, 1, 2, 3), 0), ((0, 2, 3), 0), ((0, 1, 2), 3)], ids=str
)
def test_code_that_writes_the_rate_in_the_first_steps_leaves_the_rest_of_the_run_alone(
    cls: Any, writes: tuple[int, ...], first_step: int
):
    config = config_of(cls)
    whole = sgd(0.3, 0.3)
    expected = advance(whole, build(config, whole), 12)
    optimizer = sgd(0.3, 0.3)
    scheduler = build(config, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NshtrainerWarning)
        for step in range(4):
            for group in optimizer.param_groups if step in writes else ():
                group["lr"] = 0.29 * (step + 1) / 4
            optimizer.step()
            if step >= first_step:
                scheduler.step()
    assert advance(optimizer, scheduler, 8) == expected[4 - first_step :][:8]


@every_schedule
def test_two_schedules_of_one_optimizer_are_refused(cls: Any):
    optimizer = sgd(0.3)
    first = build(config_of(cls), optimizer)
    second = CurveScheduler(optimizer, lambda step: 1 / (3 + step))
    for scheduler in (first, second):
        optimizer.step()
        scheduler.step()
    with pytest.raises(ScheduleError, match=r"two schedules drive lr .* product"):
        first.step()


@every_schedule
@pytest.mark.parametrize("is_first", [True, False])
def test_in_a_chain_of_torchs_beside_one_of_torchs_it_is_refused(cls: Any, is_first: bool):
    optimizer = sgd(0.3)
    if is_first:
        parts = [build(config_of(cls), optimizer), ExponentialLR(optimizer, 0.7)]
    else:
        parts = [ExponentialLR(optimizer, 0.7), build(config_of(cls), optimizer)]
    chain = ChainedScheduler(parts, optimizer)
    with pytest.raises(ScheduleError, match=r"two schedules drive lr .*a PyTorch.* product"):
        advance(optimizer, chain, 2)


@every_schedule
def test_in_a_chain_of_torchs_alone_it_is_what_it_is(cls: Any):
    whole, optimizer = sgd(0.3), sgd(0.3)
    expected = advance(whole, build(config_of(cls), whole), 6)
    chain = ChainedScheduler([build(config_of(cls), optimizer)], optimizer)
    assert advance(optimizer, chain, 6) == expected


@every_schedule
def test_a_loop_that_no_longer_steps_it_is_told_once_if_a_value_is_missed(cls: Any):
    config = config_of(cls)
    optimizer = sgd(0.3)
    scheduler = build(config, optimizer)
    advance(optimizer, scheduler, 6)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        never(optimizer, scheduler)
    curves = [track.curve for track in config.tracks(RUN)]
    misses = any(curve(6) not in {curve(7), curve(99)} or curve(7) != curve(99) for curve in curves)
    assert ["5 updates without" in str(each.message) for each in caught] == [True] * misses


@every_schedule
def test_a_loop_that_steps_it_twice_for_each_update_is_told_once(cls: Any):
    optimizer = sgd(0.3)
    scheduler = build(config_of(cls), optimizer)
    advance(optimizer, scheduler, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(30):
            optimizer.step()
            scheduler.step()
            scheduler.step()
    assert ["20 steps with the last 10" in str(each.message) for each in caught] == [True]


@every_schedule
@pytest.mark.parametrize("steps_it", [True, False])
def test_after_a_skipped_update_it_stands_still_stepped_or_not(cls: Any, steps_it: bool):
    whole, optimizer = sgd(0.3), sgd(0.3)
    expected = advance(whole, build(config_of(cls), whole), 12)
    scheduler = build(config_of(cls), optimizer)
    advance(optimizer, scheduler, 3)
    for position in range(3, 12):
        for _ in range(6):  # more than the updates without a step that are told
            notify_step_skipped(optimizer)
            if steps_it:
                scheduler.step()
        assert advance(optimizer, scheduler, 1) == expected[position : position + 1]


@every_schedule
@pytest.mark.parametrize("loop", [step_first, once_an_epoch, never], ids=lambda loop: loop.__name__)
def test_a_loop_that_does_not_step_it_after_each_update_is_told_once(cls: Any, loop: Any):
    optimizer = sgd(0.3)
    scheduler = build(config_of(cls), optimizer)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop(optimizer, scheduler)
    (message,) = [str(warning.message) for warning in caught]
    assert "step()" in message
