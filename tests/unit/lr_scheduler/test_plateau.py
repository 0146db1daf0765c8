"""Schedules that look at a metric: alone, after a warm-up, and times a curve."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.support import advance, rates, sgd
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from nshtrainer import RunLength
from nshtrainer.configs import (
    CosineScheduleConfig,
    GreedyScheduleConfig,
    LinearScheduleConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
)
from nshtrainer.exceptions import ConfigChangedWarning, MetricError, ScheduleError
from nshtrainer.lr_scheduler.driver.metric_scheduler import GreedyLR
from nshtrainer.run_context import RunContext

LOSS = MetricConfig(monitor="loss", mode="min")
RUN = RunLength(total_steps=20)
LINE = LinearScheduleConfig()


def plateau(**options: Any) -> ReduceLROnPlateauConfig:
    return ReduceLROnPlateauConfig(metric=LOSS, patience=0, factor=0.5, **options)


def build(config: Any, optimizer: Optimizer, run: RunLength = RUN) -> Any:
    return config.create_scheduler(optimizer, run)["scheduler"]


# -- a plateau times a curve ---------------------------------------------------------------------


def test_alone_it_is_torchs_own():
    assert type(build(plateau(), sgd(1.0))) is ReduceLROnPlateau


def test_the_rate_is_the_product_of_curve_and_plateau():
    optimizer = sgd(1.0, 0.1)
    scheduler = build(plateau(schedule=LINE), optimizer)
    advance(optimizer, scheduler, 4)
    assert rates(optimizer) == pytest.approx([0.8, 0.08])
    scheduler.observe(1.0)
    scheduler.observe(torch.tensor(2.0))
    assert rates(optimizer) == pytest.approx([0.4, 0.04])
    advance(optimizer, scheduler, 6)
    assert rates(optimizer) == pytest.approx([0.25, 0.025])
    assert scheduler.base_lrs == [1.0, 0.1]
    assert scheduler.observed == 2


def test_before_the_end_of_the_warm_up_no_value_counts():
    optimizer = sgd(1.0)
    scheduler = build(plateau(warmup_duration="4 steps"), optimizer)
    seen = []
    for _ in range(6):
        seen += rates(optimizer)
        advance(optimizer, scheduler, 1)
        scheduler.observe(1.0)
    assert seen == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 0.5])


def test_warm_up_and_schedule_go_together():
    optimizer = sgd(1.0)
    scheduler = build(plateau(warmup_duration="25%", schedule=LINE), optimizer)
    advance(optimizer, scheduler, 5)
    assert rates(optimizer) == pytest.approx([0.75])


def test_the_scale_is_not_less_than_the_least_rate():
    optimizer = sgd(1.0)
    scheduler = build(plateau(schedule=LINE, min_lr=0.4), optimizer)
    for _ in range(9):
        scheduler.observe(1.0)
    assert rates(optimizer) == [0.4]
    advance(optimizer, scheduler, 10)
    assert rates(optimizer) == [0.2]


@pytest.mark.parametrize("config", [plateau(schedule=LINE), plateau(warmup_duration="3 steps")])
def test_resuming_anywhere_equals_the_uninterrupted_run(config: Any):
    losses = [3.0, 2.0, 2.5, 2.5, 1.0, 1.5, 1.5, 0.5, 0.6, 0.7]

    def go(optimizer: Optimizer, scheduler: Any, values: list[float]) -> list[float]:
        used = []
        for value in values:
            used += rates(optimizer)
            advance(optimizer, scheduler, 1)
            scheduler.observe(value)
        return used

    whole = sgd(0.3)
    expected = go(whole, build(config, whole), losses)
    for at in range(len(losses)):
        first = sgd(0.3)
        scheduler = build(config, first)
        go(first, scheduler, losses[:at])
        state = pickle.loads(pickle.dumps((first.state_dict(), scheduler.state_dict())))
        second = sgd(9.0)
        resumed = build(config, second)
        second.load_state_dict(state[0])
        resumed.load_state_dict(state[1])
        assert go(second, resumed, losses[at:]) == expected[at:]


def test_a_group_that_joins_later_is_scaled_from_then_on():
    optimizer = sgd(1.0)
    scheduler = build(plateau(schedule=LINE), optimizer)
    advance(optimizer, scheduler, 1)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.095})
    advance(optimizer, scheduler, 1)
    scheduler.observe(1.0)
    scheduler.observe(1.0)
    assert rates(optimizer) == pytest.approx([0.45, 0.045])


def test_a_rate_written_before_the_first_update_is_the_new_base():
    optimizer = sgd(1.0, 1.0)
    scheduler = build(plateau(schedule=LINE), optimizer)
    optimizer.param_groups[0]["lr"] = 0.2
    advance(optimizer, scheduler, 10)
    scheduler.observe(1.0)
    scheduler.observe(1.0)
    assert rates(optimizer) == pytest.approx([0.05, 0.25])


def test_the_state_of_a_plain_curve_is_taken_for_its_position():
    optimizer = sgd(1.0)
    scheduler = build(plateau(schedule=LINE), optimizer)
    state = build(LINE, sgd(1.0)).state_dict() | {"last_epoch": 10}
    with pytest.warns(ConfigChangedWarning, match="since a linear is another kind of scheduler"):
        scheduler.load_state_dict(state)
    assert rates(optimizer) == [0.5]


def test_the_curve_beside_the_metric_is_kept_on_resume_with_a_warning():
    optimizer = sgd(1.0)
    state = build(plateau(schedule=LINE), sgd(1.0)).state_dict() | {"last_epoch": 5}
    with pytest.warns(ConfigChangedWarning, match="linear -> cosine: taken from the checkpoint"):
        build(plateau(schedule=CosineScheduleConfig()), optimizer).load_state_dict(state)
    assert rates(optimizer) == [0.75]


def test_it_deep_copies_with_its_optimizer():
    optimizer = sgd(1.0)
    scheduler = build(plateau(schedule=LINE), optimizer)
    twin = copy.deepcopy(scheduler)
    twin.observe(1.0)
    twin.observe(1.0)
    assert rates(twin.optimizer) == [0.5]
    assert rates(optimizer) == [1.0]


def test_metadata_says_that_the_curve_moves_by_the_step():
    assert plateau(schedule=LINE).metadata() == {
        "interval": "step",
        "frequency": 1,
        "reduce_on_plateau": False,
        "monitor": "loss",
    }


def test_before_it_runs_the_curve_beside_it_can_be_looked_at():
    config = plateau(warmup_duration="5 steps")
    assert config.preview(RUN)["lr"][:2] == pytest.approx((1 / 6, 2 / 6))
    assert config.describe(RUN) == (
        "reduce_lr_on_plateau: by the step, looks at loss; what it does is known only as it runs, "
        "times warm-up 0 to 5, constant 5 to 20, last update 1 of the base rate"
    )
    with pytest.raises(ScheduleError, match="nothing to draw"):
        plateau().preview(RUN)


def test_where_nobody_shows_the_metric_it_is_refused():
    settings = RunContext(observer_problem="Lightning shows no metric; use ours")
    run = RunLength(total_steps=5, context=settings)
    with pytest.raises(MetricError, match="use ours"):
        build(plateau(schedule=LINE), sgd(1.0), run)
    assert build(plateau(), sgd(1.0), run)


# -- greedy --------------------------------------------------------------------------------------


def greedy(**options: Any) -> GreedyScheduleConfig:
    given = {"metric": LOSS, "factor": 0.5, "patience": 1, "max_lr": 1.0, **options}
    return GreedyScheduleConfig(**given)


def shown(config: Any, losses: list[float], *bases: float) -> list[list[float]]:
    optimizer = sgd(*bases)
    scheduler = build(config, optimizer)
    used = []
    for loss in losses:
        scheduler.step(loss)
        used.append(rates(optimizer))
    return used


def test_it_raises_the_rate_while_the_metric_improves_and_lowers_it_after():
    used = shown(greedy(), [5, 4, 3, 2, 2, 2, 2, 2], 0.1)
    assert [row[0] for row in used] == pytest.approx([0.1, 0.2, 0.2, 0.4, 0.4, 0.2, 0.2, 0.1])


def test_rates_stay_between_their_bounds():
    assert shown(greedy(max_lr=0.3), [5, 4, 3, 2], 0.1, 0.2)[-1] == [0.3, 0.3]
    assert shown(greedy(min_lr=0.08), [5, 5, 5, 5, 5, 5, 5], 0.1, 0.2)[-1] == [0.08, 0.08]


def test_it_waits_after_a_change():
    down = shown(greedy(cooldown=2), [5] * 8, 0.1)
    assert [row[0] for row in down] == pytest.approx(
        [0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025]
    )
    up = shown(greedy(warmup=2), [9, 8, 7, 6, 5, 4], 0.1)
    assert [row[0] for row in up] == pytest.approx([0.1, 0.2, 0.2, 0.2, 0.2, 0.4])


def test_the_metric_may_be_averaged():
    noisy = [4.0, 3.0, 3.4, 2.5, 2.9, 2.0]
    assert shown(greedy(patience=4), noisy, 0.1)[-1] == [0.1]
    assert shown(greedy(patience=4, window_size=3), noisy, 0.1)[-1] == [0.2]


def test_after_long_enough_at_the_least_rate_it_begins_anew():
    config = greedy(patience=0, min_lr=0.05, reset_start=2)
    used = shown(config, [5, 6, 6, 6], 0.1)
    assert [row[0] for row in used] == pytest.approx([0.2, 0.1, 0.05, 0.1])


def test_a_tensor_is_filled_in_place():
    optimizer = sgd(0.1)
    rate = optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    scheduler = build(greedy(patience=0, min_lr=0.05, reset_start=1), optimizer)
    for loss, expected in ((5, 0.2), (5, 0.1), (5, 0.1)):
        scheduler.step(loss)
        assert rate.item() == pytest.approx(expected)
    assert optimizer.param_groups[0]["lr"] is rate


def test_greedy_resumes():
    losses = [5.0, 4.0, 3.0, 3.5, 2.0, 2.0, 2.0, 1.0]
    expected = shown(greedy(window_size=2, cooldown=1), losses, 0.1)
    optimizer = sgd(0.1)
    scheduler = build(greedy(window_size=2, cooldown=1), optimizer)
    for loss in losses[:4]:
        scheduler.step(loss)
    second = sgd(7.0)
    second.load_state_dict(optimizer.state_dict())
    resumed = build(greedy(window_size=2, cooldown=1), second)
    resumed.load_state_dict(pickle.loads(pickle.dumps(scheduler.state_dict())))
    for loss, row in zip(losses[4:], expected[4:], strict=True):
        resumed.step(loss)
        assert rates(second) == row


def test_greedy_times_a_curve():
    optimizer = sgd(0.1)
    scheduler = build(greedy(schedule=LINE), optimizer)
    assert not isinstance(scheduler, GreedyLR)
    for loss in (5, 4):
        scheduler.observe(loss)
    advance(optimizer, scheduler, 10)
    assert rates(optimizer) == pytest.approx([0.1])


def test_bounds_that_are_swapped_are_refused():
    with pytest.raises(ValidationError, match=r"min_lr 2 is above max_lr 1; swap them"):
        greedy(min_lr=2.0)


# -- a damaged state -------------------------------------------------------------------------------

GREEDY = GreedyScheduleConfig(max_lr=0.1, metric=LOSS, window_size=2)
CURVED = [plateau(schedule=LINE), GREEDY.replace(schedule=LINE)]


def with_metric_entry(state: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A state with another entry of the scheduler that looks at the metric."""
    if "metric" not in state:
        return {**state, key: value}
    metric = state["metric"]
    return {**state, "metric": {**metric, "scheduler": {**metric["scheduler"], key: value}}}


@pytest.mark.parametrize("config", [GREEDY, *CURVED], ids=["alone", "plateau", "greedy"])
def test_each_entry_of_a_metric_in_a_state_is_checked_before_anything_is_taken(config: Any):
    scheduler = build(config, sgd(0.01))
    getattr(scheduler, "observe", scheduler.step)(1.0)
    before = copy.deepcopy(scheduler.state_dict())
    for key, value in before.get("metric", {"scheduler": before})["scheduler"].items():
        bad: list[Any] = ["text", b"z"] if isinstance(value, str) else ["text", b"z", math.nan]
        bad += [] if key == "default_min_lr" else [None]
        bad += [-1] if key not in {"best", "mode_worse", "window"} else []
        for each in bad:
            with pytest.raises(ScheduleError, match=f"the saved state does not fit: .*{key}"):
                scheduler.load_state_dict(with_metric_entry(before, key, each))
            assert scheduler.state_dict() == before
    with pytest.raises(ScheduleError, match="factor is 2, which is not from 0 to 1"):
        scheduler.load_state_dict(with_metric_entry(before, "factor", 2.0))
    scheduler.load_state_dict(with_metric_entry(before, "default_min_lr", None))


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"rates": [-1.0]}, r"metric\.rates\.0 is -1, which is not from 0 to"),
        ({"rates": []}, r"metric\.rates has 0 items, and base_values\.lr 1"),
        ({"scheduler": None}, r"metric\.scheduler is none, not a mapping"),
        ({"groups": [1]}, r"metric\.groups\.0 is a number, not text"),
    ],
)
def test_what_a_metric_made_of_the_rates_is_checked(entry: Any, problem: str):
    scheduler = build(CURVED[0], sgd(0.01))
    state = scheduler.state_dict()
    with pytest.raises(ScheduleError, match=problem):
        scheduler.load_state_dict({**state, "metric": {**state["metric"], **entry}})
    scheduler.load_state_dict(state)


def test_a_group_that_joined_after_the_last_metric_is_in_the_state():
    optimizer = sgd(0.01)
    scheduler = build(CURVED[0], optimizer)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.02})
    advance(optimizer, scheduler, 1)
    state = scheduler.state_dict()
    assert len(state["metric"]["rates"]) == 2
    again = sgd(0.01, 0.02)
    build(CURVED[0], again).load_state_dict(state)
    assert rates(again) == rates(optimizer)
