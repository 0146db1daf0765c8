"""What a curve says of its parts."""

from __future__ import annotations

from typing import Any

import pytest

from nshtrainer import RunLength
from nshtrainer.configs import (
    ConstantScheduleConfig,
    CosineRestartsScheduleConfig,
    CosineScheduleConfig,
    LinearScheduleConfig,
    MultiPeriodStableDecayScheduleConfig,
    MultiStepScheduleConfig,
    NoiseScheduleConfig,
    OneCycleScheduleConfig,
    OverrideScheduleConfig,
    PhaseConfig,
    PiecewiseScheduleConfig,
    PointConfig,
    PowerScheduleConfig,
    ProductScheduleConfig,
    SequenceScheduleConfig,
    WarmupStableDecayScheduleConfig,
)
from nshtrainer.lr_scheduler.curves import Phase, Product, Sequence, phases_of

HUNDRED = RunLength(total_steps=100)
WARM: Any = {"warmup_duration": "10 steps"}


def told(config: Any, run: RunLength = HUNDRED) -> str:
    """The phases as one line."""
    phases = phases_of(config.curve(run))
    return ", ".join(
        f"{label} {start}-{'' if end is None else end}" for label, start, end in phases
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ConstantScheduleConfig(), "constant 0-"),
        (CosineScheduleConfig(**WARM), "warm-up 0-10, cosine 10-100"),
        (CosineScheduleConfig(**WARM, after_end="repeat"), "warm-up 0-10, cosine 10-"),
        (CosineScheduleConfig(warmup_duration="100%"), "warm-up 0-100"),
        (CosineScheduleConfig(max_duration="0 steps"), "hold 0-"),
        (
            WarmupStableDecayScheduleConfig(**WARM),
            "warm-up 0-10, stable 10-90, 1-sqrt 90-100",
        ),
        (
            MultiPeriodStableDecayScheduleConfig(**WARM, periods=("50%", "50%")),
            "warm-up 0-10, stable 10-45, inverse 45-50, stable 50-95, inverse 95-100",
        ),
        (
            CosineRestartsScheduleConfig(**WARM, cycle_duration="20 steps", num_cycles=2),
            "warm-up 0-10, cycle 1 10-30, cycle 2 30-50",
        ),
        (
            CosineRestartsScheduleConfig(cycle_duration="2 steps", num_cycles=20),
            "cosine cycles 0-40",
        ),
        (
            CosineRestartsScheduleConfig(cycle_duration="2 steps", num_cycles=20, growth_factor=2),
            "cosine cycles 0-",
        ),
        (
            MultiStepScheduleConfig(milestones=("30 steps", "60 steps")),
            "1 0-30, 0.1 30-60, 0.01 60-",
        ),
        (
            PowerScheduleConfig(**WARM, timescale="20 steps", cooldown_duration="10%"),
            "warm-up 0-10, stable 10-20, power 20-90, cool-down 90-100",
        ),
        (OneCycleScheduleConfig(three_phase=True), "rise 0-30, fall 30-60, cool-down 60-100"),
        (
            PiecewiseScheduleConfig(
                points=(PointConfig(at="5 steps", factor=1), PointConfig(at="10%", factor=0))
            ),
            "hold 0-5, linear 5-10",
        ),
        (
            SequenceScheduleConfig(
                phases=(
                    PhaseConfig(
                        schedule=LinearScheduleConfig(max_duration="10 steps"),
                        duration="20 steps",
                    ),
                    PhaseConfig(schedule=CosineScheduleConfig(**WARM)),
                )
            ),
            "linear 0-10, hold 10-20, warm-up 20-30, cosine 30-100",
        ),
        (
            OverrideScheduleConfig(
                schedule=CosineScheduleConfig(**WARM), start="50 steps", decay_duration="5 steps"
            ),
            "warm-up 0-10, cosine 10-50, cool-down 50-55",
        ),
        (
            ProductScheduleConfig(
                schedules=(
                    WarmupStableDecayScheduleConfig(**WARM),
                    ConstantScheduleConfig(factor=0.5),
                )
            ),
            "warm-up 0-10, stable 10-90, 1-sqrt 90-100",
        ),
        (
            ProductScheduleConfig(
                schedules=(ConstantScheduleConfig(), ConstantScheduleConfig(factor=0.5))
            ),
            "constant 0-",
        ),
        (
            NoiseScheduleConfig(schedule=CosineScheduleConfig(), start="10 steps", end="20 steps"),
            "cosine 0-10, cosine × noise 10-20, cosine 20-100",
        ),
    ],
)
def test_the_phases_are_named_in_the_words_of_the_field(config: Any, expected: str):
    assert told(config) == expected


def test_a_plain_function_is_one_phase_with_the_name_that_is_given():
    assert phases_of(float, label="mine") == (Phase("mine", 0, None),)
    assert phases_of(Product((float, float))) == (Phase("schedule", 0, None),)
    assert phases_of(Sequence((float, float), (0, 5))) == (
        Phase("schedule", 0, 5),
        Phase("schedule", 5, None),
    )


def test_a_shape_of_ones_own_is_a_decay():
    from nshtrainer.lr_scheduler.curves import Decay

    assert Decay(abs, 5).phases() == (Phase("decay", 0, 5),)
