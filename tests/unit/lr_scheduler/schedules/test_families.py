"""What schedules share: warm-ups, ends, and what follows them; and what each refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.support import values

from nshtrainer import RunLength
from nshtrainer.configs import (
    ConstantScheduleConfig,
    CosineRestartsScheduleConfig,
    CosineScheduleConfig,
    DecayScheduleConfigBase,
    ExponentialScheduleConfig,
    InverseSqrtScheduleConfig,
    LinearScheduleConfig,
    MultiStepScheduleConfig,
    PiecewiseScheduleConfig,
    PointConfig,
    StepScheduleConfig,
    WarmupStableDecayScheduleConfig,
    lr_scheduler_registry,
)
from nshtrainer.exceptions import NshtrainerWarning, RunLengthError, ScheduleError
from nshtrainer.lr_scheduler.curves import RISES

DECAYS = [cls for cls in lr_scheduler_registry.values() if issubclass(cls, DecayScheduleConfigBase)]
every_decay = pytest.mark.parametrize("cls", DECAYS, ids=lambda cls: cls.__name__)
TEN = RunLength(total_steps=10)


# -- warm-ups -----------------------------------------------------------------------------------


def test_a_warm_up_starts_above_nothing_unless_told_so():
    auto = ConstantScheduleConfig(warmup_duration="4 steps")
    zero = auto.replace(warmup_start_factor=0.0)
    assert values(auto, range(6), TEN) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert values(zero, range(6), TEN) == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0, 1.0])


@pytest.mark.parametrize("shape", RISES)
def test_every_warm_up_shape_rises_from_the_start_factor_to_the_first_value(shape: Any):
    config = ConstantScheduleConfig(
        factor=0.5, warmup_duration="8 steps", warmup_start_factor=0.1, warmup_shape=shape
    )
    rising = values(config, range(9), TEN)
    assert rising[0] == 0.1
    assert rising[8] == 0.5
    assert rising == sorted(rising)
    assert len(set(rising)) == 9


@every_decay
def test_a_warm_up_longer_than_the_whole_is_an_error(cls: Any):
    config = cls(warmup_duration="11 steps")
    with pytest.raises(ScheduleError, match=r"11 steps .* longer than max_duration.* 10 steps"):
        config.curve(TEN)


@every_decay
def test_in_a_run_cut_short_it_is_clipped(cls: Any):
    with pytest.warns(NshtrainerWarning, match="clipped to 1 steps"):
        cls(warmup_duration="5 steps").curve(RunLength(total_steps=1, shortened="fast_dev_run"))


# -- decays -------------------------------------------------------------------------------------


@every_decay
def test_a_decay_goes_from_exactly_one_to_exactly_the_minimum_and_stays(cls: Any):
    factors = values(cls(warmup_duration="2 steps", min_factor=0.25), range(2, 30), TEN)
    assert factors[0] == 1.0
    assert factors[8:] == [0.25] * 20
    assert factors[:9] == sorted(factors[:9], reverse=True)


@every_decay
def test_hit_end_gives_the_end_value_to_the_last_update(cls: Any):
    late = values(cls(min_factor=0.25), range(12), TEN)
    soon = values(cls(min_factor=0.25, hit_end=True), range(12), TEN)
    assert late[9] > 0.25
    assert soon[0] == 1.0
    assert soon[9:] == [0.25] * 3


@every_decay
def test_a_decay_may_repeat(cls: Any):
    factors = values(cls(after_end="repeat"), range(30), TEN)
    assert factors[10:20] == factors[20:] == factors[:10]


@every_decay
def test_a_decay_may_be_mirrored(cls: Any):
    factors = values(cls(after_end="mirror"), range(41), TEN)
    assert factors[10:21] == factors[10::-1]
    assert factors[20:41] == factors[:21]


@every_decay
def test_a_decay_of_no_steps_is_its_end(cls: Any):
    config = cls(warmup_duration="10 steps", min_factor=0.5, after_end="repeat")
    assert values(config, range(10, 13), TEN) == [0.5] * 3


@every_decay
def test_a_decay_needs_the_length_of_the_run_or_a_duration_of_its_own(cls: Any):
    with pytest.raises(RunLengthError, match="max_duration: 100%"):
        cls().curve(RunLength())
    assert cls(max_duration="4 steps").curve(RunLength())(4) == 0.0


def test_a_cosine_of_more_waves_rises_in_between():
    factors = values(CosineScheduleConfig(num_cycles=1.5), range(11), RunLength(total_steps=9))
    assert factors[3] == pytest.approx(0.0)
    assert factors[6] == pytest.approx(1.0)
    assert factors[9] == pytest.approx(0.0)


# -- the others ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["linear", "cosine", "1-sqrt", "1-square"])
def test_the_stable_part_is_what_remains(shape: Any):
    config = WarmupStableDecayScheduleConfig(
        warmup_duration="2 steps", decay_duration="40%", decay_shape=shape, min_factor=0.1
    )
    factors = values(config, range(14), TEN)
    assert factors[2:7] == [1.0] * 5
    assert 0.1 < factors[9] < factors[8] < factors[7] < 1.0
    assert factors[10:] == [0.1] * 4


def test_warm_up_and_decay_must_fit_into_the_whole():
    config = WarmupStableDecayScheduleConfig(warmup_duration="6 steps", decay_duration="5 steps")
    with pytest.raises(ScheduleError, match=r"\(6 steps\) and decay_duration \(5 steps\)"):
        config.curve(TEN)


def test_the_inverse_root_takes_its_timescale_from_the_warm_up():
    factors = values(InverseSqrtScheduleConfig(warmup_duration="4 steps"), range(4, 17), TEN)
    assert (factors[0], factors[12]) == (1.0, 0.5)


def test_without_a_warm_up_the_inverse_root_needs_a_timescale():
    with pytest.raises(ScheduleError, match="timescale is 0 steps; give it"):
        InverseSqrtScheduleConfig().curve(TEN)


@pytest.mark.parametrize(
    "milestones", [("3 steps", "3 steps"), ("4 steps", "3 steps"), ("1 step", "3 steps")]
)
def test_milestones_come_in_their_order_and_after_the_warm_up(milestones: Any):
    config = MultiStepScheduleConfig(milestones=milestones, warmup_duration="2 steps")
    with pytest.raises(ScheduleError, match="each must come after the one before, and after the"):
        config.curve(TEN)


def test_milestones_count_from_the_beginning_of_the_run():
    config = MultiStepScheduleConfig(
        milestones=("4 steps",),
        gamma=0.5,
        warmup_duration="2 steps",  # type: ignore[arg-type]
    )
    assert values(config, range(2, 6), TEN) == [1.0, 1.0, 0.5, 0.5]


def test_an_exponential_does_not_fall_below_its_minimum():
    config = ExponentialScheduleConfig(step_duration="1 step", gamma=0.5, min_factor=0.3)
    assert values(config, range(4), TEN) == [1.0, 0.5, 0.3, 0.3]


def test_a_restart_does_not_peak_below_the_minimum():
    config = CosineRestartsScheduleConfig(cycle_duration="1 step", peak_factor=0.5, min_factor=0.4)
    assert values(config, range(4), TEN) == pytest.approx([1.0, 0.5, 0.4, 0.4])


POINTS = (
    PointConfig(at="2 steps", factor=0.5),
    PointConfig(at="6 steps", factor=1.0),
    PointConfig(at="10 steps", factor=0.0),
)


@pytest.mark.parametrize(
    ("interpolation", "expected"),
    [
        ("linear", [0.5, 0.5, 0.5, 0.625, 0.75, 0.875, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
        ("constant", [0.5] * 6 + [1.0] * 4 + [0.0] * 2),
    ],
)
def test_points_are_joined(interpolation: Any, expected: list[float]):
    assert (
        values(PiecewiseScheduleConfig(points=POINTS, interpolation=interpolation), range(12), TEN)
        == expected
    )


def test_points_may_be_joined_by_waves():
    factors = values(PiecewiseScheduleConfig(points=POINTS, interpolation="cosine"), range(12), TEN)
    assert (factors[2], factors[6], factors[10]) == (0.5, 1.0, 0.0)
    assert factors[4] == pytest.approx(0.75)
    assert factors[7] > 0.75


def test_points_come_in_their_order():
    with pytest.raises(ScheduleError, match="points at 6, 2 steps: each must come after"):
        PiecewiseScheduleConfig(points=(POINTS[1], POINTS[0])).curve(TEN)


@pytest.mark.parametrize(
    "config",
    [
        StepScheduleConfig(step_duration="0 steps"),
        ExponentialScheduleConfig(step_duration="0 steps", gamma=0.5),
        CosineRestartsScheduleConfig(cycle_duration="0 steps"),
    ],
    ids=lambda config: config.name,
)
def test_a_period_of_nothing_is_refused(config: Any):
    with pytest.raises(ScheduleError, match="_duration is 0 steps; make it 1 or more"):
        config.curve(TEN)


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (LinearScheduleConfig, {"min_factor": -0.1}),
        (LinearScheduleConfig, {"after_end": "bounce"}),
        (LinearScheduleConfig, {"warmup_start_factor": "automatic"}),
        (LinearScheduleConfig, {"warmup_shape": "wavy"}),
        (CosineScheduleConfig, {"k_decay": 0}),
        (StepScheduleConfig, {"step_duration": "1 step", "gamma": float("nan")}),
        (StepScheduleConfig, {"step_duration": "1 step", "gamma": -0.5}),
        (StepScheduleConfig, {"step_duration": "1 step", "gamma": 1.5}),
        (MultiStepScheduleConfig, {"milestones": []}),
        (MultiStepScheduleConfig, {"milestones": [3]}),
        (CosineRestartsScheduleConfig, {"cycle_duration": "1 step", "growth_factor": 1.5}),
    ],
)
def test_what_breaks_a_run_is_refused(cls: Any, options: dict[str, Any]):
    with pytest.raises(ValidationError):
        cls(**options)
