"""Laws of every registered schedule that is a curve; a new one is tested without an edit here."""

from __future__ import annotations

import json
import math
import pickle
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import configs_of, durations, rate_curve

from nshtrainer import RunLength
from nshtrainer.configs import (
    CurveScheduleConfigBase,
    DecayScheduleConfigBase,
    FiniteScheduleConfigBase,
    WarmupScheduleConfigBase,
    lr_scheduler_registry,
)
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.curves import phases_of

CURVES = [cls for cls in lr_scheduler_registry.values() if issubclass(cls, CurveScheduleConfigBase)]
every_curve = pytest.mark.parametrize("cls", CURVES, ids=lambda cls: cls.__name__)


FEW = settings.default.max_examples // 3
"""Examples of laws whose code is the same for every curve."""

FINITE = FiniteScheduleConfigBase | DecayScheduleConfigBase


def every(kind: Any) -> Any:
    """Marks a law of all curves that derive from a base, or have a field."""
    by_field = isinstance(kind, str)
    classes = [c for c in CURVES if (kind in c.model_fields if by_field else issubclass(c, kind))]
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


RUNS = st.builds(
    RunLength,
    total_steps=st.integers(1, 10**9),
    steps_per_epoch=st.one_of(
        st.integers(1, 10**6), st.lists(st.integers(1, 10**6), min_size=1, max_size=3).map(tuple)
    ),
    samples_per_step=st.integers(1, 10**6),
    tokens_per_step=st.integers(1, 10**9),
    base_lr=st.floats(1e-6, 10),
    beta2=st.floats(0, 1, exclude_max=True),
)


def resolved(config: CurveScheduleConfigBase, run: RunLength) -> Any:
    """The curve, or None where the drawn warm-up is longer than the drawn whole."""
    try:
        return config.curve(run)
    except ScheduleError:
        return None


def assert_is_finite_and_not_negative(curve: Any, step: int):
    value = curve(step)
    assert math.isfinite(value)
    assert value >= 0


def assert_phases_tile_the_steps_in_order(curve: Any, step: int):
    phases = phases_of(curve)
    assert phases[0].start == 0
    assert all(phase.label for phase in phases)
    for before, after in pairwise(phases):
        assert before.end == after.start
        assert before.start < before.end
    end = phases[-1].end
    if end is not None:
        assert end > phases[-1].start
        assert curve(end) == curve(end + 1 + step)


def assert_is_a_value(cls: Any, config: Any, run: RunLength):
    again = cls.model_validate_json(json.dumps(config.model_dump(mode="json")))
    assert again == config
    assert hash(again) == hash(config)
    assert pickle.loads(pickle.dumps(config)) == config
    curve = resolved(config, run)
    assert resolved(again, run) == curve
    assert pickle.loads(pickle.dumps(curve)) == curve


def assert_untuned_warm_up_takes_its_length_from_the_optimizer(config: Any, run: RunLength):
    untuned, given_ = (config.replace(warmup_duration=each) for each in ("untuned", "20 steps"))
    assert resolved(untuned, run.replace(beta2=0.9)) == resolved(given_, run.replace(beta2=0.9))


@every_curve
@given(data=st.data(), run=RUNS, step=st.integers(0, 10**12))
def test_what_is_drawn_from_its_fields_keeps_the_laws(
    cls: Any, data: st.DataObject, run: RunLength, step: int
):
    config = data.draw(configs_of(cls))
    curve = resolved(config, run)
    assert_is_a_value(cls, config, run)
    assert config.metadata()["interval"] == "step"
    if issubclass(cls, WarmupScheduleConfigBase):
        assert_untuned_warm_up_takes_its_length_from_the_optimizer(config, run)
    if curve is not None:
        assert_is_finite_and_not_negative(curve, step)
        assert_phases_tile_the_steps_in_order(curve, step)


@every(FINITE)
@given(total=st.integers(1, 10**9), part=st.integers(5, 100), end=st.floats(0.001, 1))
def test_it_begins_at_exactly_one_and_ends_at_exactly_its_minimum(
    cls: Any, total: int, part: int, end: float
):
    warmup = total // part
    config = cls(warmup_duration=f"{warmup} steps", min_factor=end)
    curve = config.curve(RunLength(total_steps=total))
    assert curve(warmup) == 1.0
    assert curve(total) == curve(total + 1) == curve(10**12) == end
    assert phases_of(curve)[-1].end == total


@every(FINITE)
@given(total=st.integers(20, 10**9), end=st.floats(0.001, 1))
def test_with_hit_end_the_last_update_has_exactly_the_minimum(cls: Any, total: int, end: float):
    config = cls(warmup_duration="10%", min_factor=end, hit_end=True)
    curve = config.curve(RunLength(total_steps=total))
    assert curve(-(-total // 10)) == 1.0
    assert curve(total - 1) == curve(total) == curve(10**12) == end


@every(FINITE)
def test_it_makes_no_jump(cls: Any):
    run = RunLength(total_steps=10**6)
    curve = cls(warmup_duration="10%", min_factor=0.01).curve(run)
    edges = {edge for phase in phases_of(curve) for edge in (phase.start, phase.end)}
    for step in edges | set(range(0, 10**6, 997)):
        assert curve(step) == pytest.approx(curve(step + 1), abs=0.005)
        assert curve(step) == pytest.approx(curve(max(0, step - 1)), abs=0.005)


@every("min_lr")
@settings(max_examples=20)
@given(data=st.data(), share=st.floats(0.01, 1))
def test_a_minimum_may_be_a_rate(cls: Any, data: st.DataObject, share: float):
    run, drawn = data.draw(RUNS), data.draw(configs_of(cls, longest=100)).to_dict()
    rate = run.context.base_lr * share
    drawn = {name: value for name, value in drawn.items() if not name.startswith("min_")}
    cooldown = {"cooldown_duration": "3 steps"} if "cooldown_duration" in cls.model_fields else {}
    config = cls.model_validate({**drawn, **cooldown, "min_lr": rate})
    factor = run.factor_of(rate, "min_lr")
    assert resolved(config, run) == resolved(config.replace(min_lr=None, min_factor=factor), run)


def drive(config: Any, run: RunLength, updates: int, state: Any = None) -> tuple[list[float], Any]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    scheduler = config.create_scheduler(optimizer, run)["scheduler"]
    if state is not None:
        optimizer.load_state_dict(state[0])
        scheduler.load_state_dict(state[1])
    used = []
    for _ in range(updates):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used, (optimizer.state_dict(), scheduler.state_dict())


@every_curve
@settings(max_examples=FEW)
@given(data=st.data())
def test_the_driver_is_the_curve_and_resuming_changes_nothing(cls: Any, data: st.DataObject):
    run = RunLength(
        total_steps=data.draw(st.integers(1, 12)),
        steps_per_epoch=3,
        samples_per_step=100,
        tokens_per_step=1000,
        base_lr=0.3,
    )
    config = data.draw(configs_of(cls, longest=12))
    curve = resolved(config, run)
    if curve is None:
        return
    at = data.draw(st.integers(0, 12))
    whole, _ = drive(config, run, 15)
    before, state = drive(config, run, at)
    after, _ = drive(config, run, 15 - at, state)
    rate = rate_curve(config, run)
    assert whole == [rate(step) for step in range(15)]
    assert before + after == whole


@given(durations(), RUNS)
def test_every_duration_resolves_to_a_whole_number_of_steps(duration: Any, run: RunLength):
    steps = duration.resolve(run)
    assert type(steps) is int
    assert steps >= 0
