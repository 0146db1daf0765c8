"""Schedules made of schedules."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.support import values

from nshtrainer import Config, RunLength
from nshtrainer.configs import (
    ConstantScheduleConfig,
    CosineScheduleConfig,
    LinearScheduleConfig,
    LRSchedulerConfig,
    OverrideScheduleConfig,
    PhaseConfig,
    ProductScheduleConfig,
    ReduceLROnPlateauConfig,
    SequenceScheduleConfig,
)
from nshtrainer.exceptions import ScheduleError

ONE = ConstantScheduleConfig()
LINE = LinearScheduleConfig()


def phase(schedule: Any, duration: Any = "remaining") -> PhaseConfig:
    return PhaseConfig(schedule=schedule, duration=duration)


# -- sequence -----------------------------------------------------------------------------------


def test_a_phase_is_a_run_of_its_own():
    config = SequenceScheduleConfig(phases=(phase(LINE, "2 steps"), phase(LINE, "4 steps")))
    assert values(config, range(8), RunLength()) == [1.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_phase_takes_what_remains(place: int):
    half = ConstantScheduleConfig(factor=0.5)
    durations: list[Any] = ["2 steps", "2 steps", "2 steps"]
    durations[place] = "remaining"
    schedules = [ONE, half, ONE]
    phases = [phase(one, length) for one, length in zip(schedules, durations, strict=True)]
    curve = SequenceScheduleConfig(phases=tuple(phases)).curve(RunLength(total_steps=10))
    lengths = [2, 2, 2]
    lengths[place] = 6
    assert curve.starts == (0, lengths[0], lengths[0] + lengths[1])


def test_epochs_and_fractions_of_a_phase_are_those_of_the_run():
    phases = (phase(ONE, "1 epochs"), phase(ONE, "10%"), phase(ONE))
    curve = SequenceScheduleConfig(phases=phases).curve(
        RunLength(total_steps=100, steps_per_epoch=20)
    )
    assert curve.starts == (0, 20, 30)


def test_the_last_phase_may_go_on_in_a_run_without_an_end():
    config = SequenceScheduleConfig(phases=(phase(LINE, "2 steps"), phase(ONE)))
    assert values(config, range(5), RunLength()) == [1.0, 0.5, 1.0, 1.0, 1.0]


def test_what_remains_of_a_run_without_an_end_is_unknown():
    config = SequenceScheduleConfig(phases=(phase(ONE), phase(LINE, "2 steps")))
    with pytest.raises(ScheduleError, match=r"whose length is unknown; give it a duration"):
        config.curve(RunLength())


def test_only_one_phase_can_take_what_remains():
    config = SequenceScheduleConfig(phases=(phase(ONE), phase(LINE)))
    with pytest.raises(ScheduleError, match="two phases take what remains"):
        config.curve(RunLength(total_steps=10))


def test_phases_longer_than_the_run_are_an_error_that_names_both():
    config = SequenceScheduleConfig(
        phases=(phase(ONE, "8 steps"), phase(ONE), phase(LINE, "5 steps"))
    )
    with pytest.raises(ScheduleError, match=r"take 13 steps, more than the run, which has 10"):
        config.curve(RunLength(total_steps=10))


def test_a_phase_of_no_steps_is_absent():
    config = SequenceScheduleConfig(
        phases=(phase(ConstantScheduleConfig(factor=0.5), "0 steps"), phase(LINE, "2 steps"))
    )
    assert values(config, range(3), RunLength()) == [1.0, 0.5, 0.0]


def test_phases_may_be_joined_without_a_jump():
    config = SequenceScheduleConfig(
        phases=(
            phase(LinearScheduleConfig(min_factor=0.5), "2 steps"),
            phase(LinearScheduleConfig(min_factor=0.5), "2 steps"),
            phase(ONE),
        ),
        continuous=True,
    )
    assert values(config, range(6), RunLength()) == [1.0, 0.75, 0.5, 0.375, 0.25, 0.25]


def test_a_phase_that_begins_at_nothing_cannot_be_scaled_and_is_left():
    zero = ConstantScheduleConfig(factor=0.0)
    config = SequenceScheduleConfig(phases=(phase(ONE, "1 step"), phase(zero)), continuous=True)
    assert values(config, range(3), RunLength()) == [1.0, 0.0, 0.0]


# -- product and override -----------------------------------------------------------------------


def test_a_product_multiplies():
    config = ProductScheduleConfig(schedules=(LINE, CosineScheduleConfig()))
    run = RunLength(total_steps=10)
    first, second = LINE.curve(run), CosineScheduleConfig().curve(run)
    assert values(config, range(12), RunLength(total_steps=10)) == [
        first(t) * second(t) for t in range(12)
    ]


def test_an_override_brings_any_schedule_to_its_end():
    config = OverrideScheduleConfig(
        schedule=CosineScheduleConfig(), start="5 steps", decay_duration="2 steps", end_factor=0.1
    )
    factors = values(config, range(9), RunLength(total_steps=10))
    cosine = CosineScheduleConfig().curve(RunLength(total_steps=10))
    assert factors[:5] == [cosine(step) for step in range(5)]
    assert factors[5] == cosine(5)
    assert factors[6] == pytest.approx((cosine(5) + 0.1) / 2)
    assert factors[7:] == [0.1, 0.1]


def test_an_override_of_no_steps_is_a_jump():
    config = OverrideScheduleConfig(schedule=ONE, start="2 steps", decay_duration="0 steps")
    assert values(config, range(4), RunLength()) == [1.0, 1.0, 0.0, 0.0]


# -- all of them --------------------------------------------------------------------------------


def test_they_nest_and_read_from_a_file():
    class Mine(Config):
        lr_scheduler: LRSchedulerConfig

    mine = Mine.from_yaml(
        """
        lr_scheduler:
          name: override
          start: 6 steps
          decay_duration: 2 steps
          schedule:
            name: product
            schedules:
              - {name: constant, factor: 0.5}
              - name: sequence
                phases:
                  - {schedule: {name: constant}, duration: 2 steps}
                  - {schedule: {name: linear}}
        """
    )
    assert Mine.from_yaml(mine.to_yaml()) == mine
    assert values(mine.lr_scheduler, range(9), RunLength(total_steps=10)) == [
        0.5, 0.5, 0.5, 0.4375, 0.375, 0.3125, 0.25, 0.125, 0.0
    ]  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [
        lambda plateau: ProductScheduleConfig(schedules=(ONE, plateau)),
        lambda plateau: SequenceScheduleConfig(phases=(phase(plateau),)),
        lambda plateau: OverrideScheduleConfig(
            schedule=plateau, start="1 step", decay_duration="1 step"
        ),
    ],
)
def test_what_is_no_curve_cannot_be_a_part(make: Any):
    with pytest.raises(ValidationError, match="reduce_lr_on_plateau is no function of the step"):
        make(ReduceLROnPlateauConfig())
