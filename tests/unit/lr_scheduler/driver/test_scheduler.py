"""The one torch scheduler, in plain loops."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tests.support import advance, rates, sgd
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import (
    LambdaLR,
    LRScheduler,
)

from nshtrainer import RunLength
from nshtrainer.configs import (
    CosineScheduleConfig,
)
from nshtrainer.exceptions import ConfigChangedWarning, NshtrainerWarning, ScheduleError
from nshtrainer.lr_scheduler.curves import LinearWarmupCosine
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler

CURVE = LinearWarmupCosine(warmup=5, total=20, start=0.1, end=0.01)


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(2))


def test_every_update_uses_base_times_curve_bit_for_bit():
    optimizer = sgd(0.3, 0.7, 0.3)
    used = advance(optimizer, CurveScheduler(optimizer, CURVE), 25)
    assert used == [[0.3 * CURVE(t), 0.7 * CURVE(t), 0.3 * CURVE(t)] for t in range(25)]


def test_it_writes_the_same_rates_as_lambda_lr():
    ours, theirs = sgd(0.3, 0.7), sgd(0.3, 0.7)
    used = advance(ours, CurveScheduler(ours, CURVE), 30)
    assert used == advance(theirs, LambdaLR(theirs, CURVE), 30)


def test_it_is_a_torch_scheduler_with_its_usual_questions_answered():
    optimizer = sgd(0.5, 0.25)
    scheduler = CurveScheduler(optimizer, CURVE)
    advance(optimizer, scheduler, 10)
    assert isinstance(scheduler, LRScheduler)
    assert scheduler.base_lrs == [0.5, 0.25]
    assert scheduler.last_epoch == 10
    assert scheduler.get_last_lr() == scheduler.get_lr() == rates(optimizer)
    assert repr(scheduler) == f"CurveScheduler({CURVE!r}, position=10)"


def test_it_goes_to_any_position():
    optimizer = sgd(1.0)
    CurveScheduler(optimizer, CURVE).step(12)
    assert rates(optimizer) == [CURVE(12)]


@pytest.mark.parametrize("at", [0, 1, 5, 19, 20, 25])
def test_resuming_anywhere_equals_the_uninterrupted_run(at: int):
    whole = sgd(0.3, 0.7)
    expected = advance(whole, CurveScheduler(whole, CURVE), 30)

    first = sgd(0.3, 0.7)
    scheduler = CurveScheduler(first, CURVE)
    advance(first, scheduler, at)
    saved = pickle.loads(pickle.dumps((first.state_dict(), scheduler.state_dict())))

    second = sgd(0.3, 0.7)
    resumed = CurveScheduler(second, CURVE)
    second.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert advance(second, resumed, 30 - at) == expected[at:]


def test_the_order_of_loading_does_not_matter():
    optimizer = sgd(0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    advance(optimizer, scheduler, 8)
    states = optimizer.state_dict(), scheduler.state_dict()

    other = sgd(0.5)
    resumed = CurveScheduler(other, CURVE)
    resumed.load_state_dict(states[1])
    other.load_state_dict(states[0])
    assert rates(other) == [0.5 * CURVE(8)]
    assert advance(other, resumed, 3) == [[0.5 * CURVE(t)] for t in (8, 9, 10)]


def test_a_scheduler_built_after_the_optimizer_was_loaded_keeps_the_base():
    optimizer = sgd(0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    advance(optimizer, scheduler, 8)

    other = sgd(0.1)
    other.load_state_dict(optimizer.state_dict())
    resumed = CurveScheduler(other, CURVE)
    resumed.load_state_dict(scheduler.state_dict())
    assert rates(other) == [0.5 * CURVE(8)]


def test_loading_applies_the_values_at_once():
    optimizer = sgd(1.0)
    CurveScheduler(optimizer, CURVE).load_state_dict({"last_epoch": 12})
    assert rates(optimizer) == [CURVE(12)]


def test_the_saved_bases_win_over_those_of_a_new_optimizer():
    optimizer = sgd(9.0, 9.0)
    scheduler = CurveScheduler(optimizer, CURVE)
    scheduler.load_state_dict({"last_epoch": 5, "base_values": {"lr": [0.5, 0.25]}})
    assert rates(optimizer) == [0.5, 0.25]


def test_groups_that_the_checkpoint_did_not_have_keep_their_own_base():
    optimizer = sgd(9.0, 3.0)
    scheduler = CurveScheduler(optimizer, CURVE)
    scheduler.load_state_dict({"last_epoch": 5, "base_values": {"lr": [0.5]}})
    assert rates(optimizer) == [0.5, 3.0]


def test_bases_of_groups_that_are_gone_are_dropped():
    optimizer = sgd(9.0)
    scheduler = CurveScheduler(optimizer, CURVE)
    scheduler.load_state_dict({"last_epoch": 5, "base_values": {"lr": [0.5, 0.1]}})
    assert scheduler.base_lrs == [0.5]


def test_a_longer_schedule_is_followed_with_a_warning_that_names_both():
    longer = LinearWarmupCosine(warmup=5, total=40, start=0.1, end=0.01)
    optimizer = sgd(1.0)
    state = CurveScheduler(optimizer, CURVE)
    state.step(10)
    resumed = CurveScheduler(sgd(1.0), longer)
    with pytest.warns(NshtrainerWarning) as caught:
        resumed.load_state_dict(state.state_dict())
    assert repr(CURVE) in str(caught[0].message)
    assert repr(longer) in str(caught[0].message)
    assert resumed.get_last_lr() == [longer(10)]


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_the_state_of_a_torch_scheduler_is_taken_for_its_position_and_bases():
    optimizer = sgd(0.4)
    theirs = LambdaLR(optimizer, CURVE)
    advance(optimizer, theirs, 7)
    other = sgd(9.0)
    ours = CurveScheduler(other, CURVE)
    with pytest.warns(ConfigChangedWarning, match="another scheduler -> .*: taken .* from step 7"):
        ours.load_state_dict(theirs.state_dict())
    assert rates(other) == [0.4 * CURVE(7)]


def in_nine_steps() -> Any:
    run = RunLength(total_steps=9)
    return CosineScheduleConfig().create_scheduler(sgd(0.5), run)["scheduler"]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("config", {"name": [1]}, "config.name is a list, not text"),
        ("config", {"end": torch.zeros(3)}, r"config.end is float tensor \(3,\), not plain data"),
        ("run", {"total_steps": "x"}, "run.total_steps is text, not a number"),
        ("run", {"total_steps": 0}, r"run is that of no run \(total_steps"),
    ],
)
def test_a_schedule_in_a_state_that_is_none_is_an_error(key: str, value: Any, problem: str):
    scheduler = in_nine_steps()
    with pytest.raises(ScheduleError, match=problem):
        scheduler.load_state_dict({**scheduler.state_dict(), key: value})


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (None, "it is none, not a mapping"),
        ({"last_epoch": None}, "last_epoch is none, not a number"),
        ({"last_epoch": 1.5}, r"last_epoch is 1\.5, which is no count"),
        ({"last_epoch": -2}, "last_epoch is -2, which is not from -1 to"),
        ({"base_values": None}, "base_values is none, not a mapping"),
        ({"base_values": {"lr": b"z"}}, r"base_values\.lr is bytes, not a list"),
        ({"base_values": {"lr": [-1.0]}}, r"base_values\.lr\.0 is -1, which is not from 0 to"),
        ({"base_values": {"lr": [math.nan]}}, r"base_values\.lr\.0 is nan"),
        ({"base_values": {"eps": [1e308]}}, r"base_values\.eps\.0 is 1e\+308"),
        ({"base_lrs": [-1.0]}, r"base_lrs\.0 is -1"),
        ({"elapsed": math.inf}, "elapsed is inf"),
        ({"_schedulers": [{"last_epoch": "x"}]}, r"_schedulers\.0\.last_epoch is text"),
        ({"metric": []}, "metric is a list, not a mapping"),
    ],
)
def test_an_entry_of_another_form_or_out_of_range_is_refused_and_changes_nothing(
    state: Any, problem: str
):
    scheduler = in_nine_steps()
    before = scheduler.state_dict()
    bad = None if state is None else {**before, **state}
    for load in (scheduler.load_state_dict, scheduler.changes):
        with pytest.raises(ScheduleError, match=f"the saved state does not fit: {problem}"):
            load(bad)
    assert scheduler.state_dict() == before


def test_lengths_of_a_later_release_are_passed_over():
    scheduler = in_nine_steps()
    state = scheduler.state_dict()
    scheduler.load_state_dict({**state, "run": {**state["run"], "parsecs": 12}})
    assert scheduler.state_dict() == state


def test_the_state_is_plain_data():
    optimizer = sgd(0.5)
    state = CurveScheduler(optimizer, CURVE).state_dict()
    assert state == {"last_epoch": 0, "base_values": {"lr": [0.5]}, "curve": repr(CURVE)}


def test_a_rate_written_before_the_first_update_is_the_new_base():
    optimizer = sgd(0.5, 0.25)
    scheduler = CurveScheduler(optimizer, CURVE)
    for group in optimizer.param_groups:
        group["lr"] = 0.125
    optimizer.step()
    assert rates(optimizer) == [0.125 * CURVE(0)] * 2
    scheduler.step()
    assert rates(optimizer) == [0.125 * CURVE(1)] * 2
    assert scheduler.base_lrs == [0.125] * 2


def test_a_rate_written_between_the_first_update_and_the_first_step_is_the_new_base():
    optimizer = sgd(0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.125
    scheduler.step()
    assert rates(optimizer) == [0.125 * CURVE(1)]


def test_while_another_scheduler_drives_the_optimizer_nothing_is_touched():
    optimizer = sgd(0.5)
    CurveScheduler(optimizer, CURVE)
    optimizer.param_groups[0].update(lr=1e-8, initial_lr=1e-8)
    optimizer.step()
    assert rates(optimizer) == [1e-8]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_rate_written_later_is_overwritten_with_a_warning(index: int):
    optimizer = sgd(0.5, 0.5, 0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    advance(optimizer, scheduler, 3)
    optimizer.param_groups[index]["lr"] = 0.9
    optimizer.step()
    with pytest.warns(NshtrainerWarning, match=r"0\.9 that was written .* overwritten"):
        scheduler.step()
    assert rates(optimizer) == [0.5 * CURVE(4)] * 3


def test_an_equal_rate_from_elsewhere_is_no_reason_to_warn():
    optimizer = sgd(0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    advance(optimizer, scheduler, 3)
    optimizer.param_groups[0]["lr"] = float(repr(optimizer.param_groups[0]["lr"]))
    scheduler.step()
    assert rates(optimizer) == [0.5 * CURVE(4)]


def test_a_group_added_before_the_first_update_is_scheduled_too():
    optimizer = sgd(0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.25})
    optimizer.step()
    assert rates(optimizer) == [0.5 * CURVE(0), 0.25 * CURVE(0)]
    scheduler.step()
    assert rates(optimizer) == [0.5 * CURVE(1), 0.25 * CURVE(1)]


def test_many_groups_of_one_base_are_all_driven():
    optimizer = sgd(*[0.5] * 100, *[0.1] * 3)
    used = advance(optimizer, CurveScheduler(optimizer, CURVE), 8)
    assert used == [[0.5 * CURVE(t)] * 100 + [0.1 * CURVE(t)] * 3 for t in range(8)]


def test_a_tensor_rate_is_filled_in_place():
    rate = torch.tensor(0.5)
    optimizer = AdamW([{"params": [parameter()]}, {"params": [parameter()], "lr": rate}], lr=0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    advance(optimizer, scheduler, 6)
    assert optimizer.param_groups[1]["lr"] is rate
    assert rate.item() == pytest.approx(0.5 * CURVE(6), rel=1e-6)
    assert scheduler.get_last_lr()[0] == 0.5 * CURVE(6)


def test_another_tensor_in_its_place_is_filled_too():
    optimizer = SGD([{"params": [parameter()], "lr": torch.tensor(0.5)}], lr=0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    advance(optimizer, scheduler, 6)
    rate = optimizer.param_groups[0]["lr"] = torch.tensor(0.0)
    scheduler.step()
    assert rate.item() == pytest.approx(0.5 * CURVE(7), rel=1e-6)


def test_a_curve_that_does_not_hash_is_as_good_as_any():
    @dataclass
    class Falling:
        def __call__(self, step: int) -> float:
            return 0.5**step

    optimizer = sgd(0.5, 0.25)
    used = advance(optimizer, CurveScheduler(optimizer, Falling()), 3)
    assert used == [[0.5, 0.25], [0.25, 0.125], [0.125, 0.0625]]


def test_a_tensor_rate_does_not_drift():
    rate = torch.tensor(0.5)
    optimizer = SGD([{"params": [parameter()], "lr": rate}], lr=0.5)
    scheduler = CurveScheduler(optimizer, LinearWarmupCosine(10, 10_000, end=0.1))
    for _ in range(10_000):
        scheduler.step()
    assert rate.item() == pytest.approx(0.05, rel=2e-7)


def test_it_leaves_optimizer_step_alone():
    optimizer = sgd(0.5)
    step = optimizer.step.__func__  # type: ignore[attr-defined]
    CurveScheduler(optimizer, CURVE)
    assert optimizer.step.__func__ is step  # type: ignore[attr-defined]


def test_a_scheduler_that_is_dropped_no_longer_touches_the_optimizer():
    optimizer = sgd(0.5)
    dropped = weakref.ref(CurveScheduler(optimizer, CURVE))
    gc.collect()
    assert dropped() is None
    optimizer.param_groups[0]["lr"] = 0.9
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert rates(optimizer) == [0.9]


def test_it_deep_copies_with_its_optimizer():
    optimizer = sgd(0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    advance(optimizer, scheduler, 3)
    twin = copy.deepcopy(scheduler)
    twin.step()
    assert rates(twin.optimizer) == [0.5 * CURVE(4)]
    assert rates(optimizer) == [0.5 * CURVE(3)]


def test_a_copy_from_before_the_first_update_hears_of_it():
    optimizer = sgd(0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    twin = copy.deepcopy(scheduler)
    twin.optimizer.param_groups[0]["lr"] = 0.25
    twin.optimizer.step()
    twin.step()
    assert twin.base_lrs == [0.25]
    assert scheduler.base_lrs == [0.5]


def test_a_copy_fills_its_own_tensors_and_leaves_the_others_alone():
    rate = torch.tensor(0.5)
    optimizer = SGD([{"params": [parameter()], "lr": rate}], lr=0.5)
    scheduler = CurveScheduler(optimizer, CURVE)
    advance(optimizer, scheduler, 3)
    before = rate.item()
    twin = copy.deepcopy(scheduler)
    twin.step()
    assert rate.item() == before
    own = twin.optimizer.param_groups[0]["lr"]
    assert own.item() == pytest.approx(0.5 * CURVE(4), rel=1e-6)
