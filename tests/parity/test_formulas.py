"""The families of schedules against their formulas, written down as the papers and peers have them.

Each formula is on its own: it shares no code with what it checks, and is no closer to it than its
source is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from nshtrainer import RunLength
from nshtrainer.configs import (
    ChebyshevScheduleConfig,
    CosineLinearTailScheduleConfig,
    CosineRestartsScheduleConfig,
    CosineScheduleConfig,
    CurveScheduleConfigBase,
    FlatCosineScheduleConfig,
    HalfCosineScheduleConfig,
    InverseSqrtScheduleConfig,
    MultiPeriodStableDecayScheduleConfig,
    NoamScheduleConfig,
    PowerScheduleConfig,
    TanhScheduleConfig,
    TriStageScheduleConfig,
    WarmupStableDecayScheduleConfig,
)

Formula = Callable[[int], float]

WARMUP: Any = {"warmup_duration": "4 steps", "warmup_start_factor": 0.0}


def line(a: float, b: float, x: float) -> float:
    return (1 - x) * a + x * b


def wsd(step: int) -> float:
    if step < 4:
        return step / 4
    if step < 14:
        return 1.0
    return 0.1 + 0.9 * (1 + math.cos(math.pi * (step - 14) / 6)) / 2 if step < 20 else 0.1


def megatrons_exponential(step: int) -> float:
    """`wsd_decay_style` exponential of Megatron-LM, with the minimum a tenth."""
    ratio = min(max(step - 14, 0) / 6, 1)
    return 0.1 + (2 * math.pow(0.5, ratio) - 1) * 0.9


def wsd_s(step: int) -> float:
    """Equation 2 of arXiv 2410.05192: one over the rate goes to one over the least in a line."""
    for begin, end in ((0, 10), (10, 30)):
        if begin <= step < end:
            decay = (end - begin) // 5
            x = max(0.0, (step - (end - decay)) / decay)
            return 1 / (x / 0.1 + (1 - x))
    return 0.1


def tri_stage(step: int) -> float:
    """fairseq's: the rate times exp(-decay_factor * steps), decay_factor = -log(scale) / steps."""
    if step < 4:
        return 0.01 + 0.99 * step / 4
    decay_factor = -math.log(0.05) / 10
    return math.exp(-decay_factor * min(max(0, step - 10), 10))


def olmos_cosine(step: int, total: int) -> float:
    return 0.1 + 0.9 * (1 + math.cos(math.pi * step / total)) / 2


def olmos_tail(step: int) -> float:
    """`CosWithWarmupAndLinearDecay` after its warm-up."""
    if step < 15:
        return olmos_cosine(step, 20)
    return olmos_cosine(15, 20) * max(0, 20 - step) / 5


def olmos_half(step: int) -> float:
    """`HalfCosWithWarmup` after its warm-up: it runs from 20 to 40 of a cosine of 40 steps."""
    return olmos_cosine(20 + min(step, 20), 40)


def vaswani(step: int) -> float:
    """Equation 3 of arXiv 1706.03762, whose step_num counts from 1."""
    return 512**-0.5 * min((step + 1) ** -0.5, (step + 1) * 8**-1.5)


def power(step: int) -> float:
    """a n^b of arXiv 2408.13359, with its exponent, not above 1."""
    return min(1.0, 4.6 * step**-0.51) if step else 1.0


def with_cooldown(formula: Formula) -> Formula:
    return lambda step: (
        formula(step) if step < 16 else line(formula(16), 0.0, min(1, (step - 16) / 4))
    )


def rewarmed(step: int) -> float:
    """Levanter's re-warm-up, in cycles of 10 and 20 steps, with a peak of a half for the second."""
    if step < 10:
        return (1 + math.cos(math.pi * step / 10)) / 2
    if step < 14:
        return 0.5 * (step - 9) / 5
    return 0.25 * (1 + math.cos(math.pi * (step - 14) / 16)) if step < 30 else 0.0


def fractal(count: int) -> list[int]:
    """The order of arXiv 2103.01338, from 1: interlace(order(T), 2 T + 1 - order(T))."""
    if count == 1:
        return [1]
    half = fractal(count // 2)
    return [
        node
        for pair in zip(half, (count + 1 - node for node in half), strict=True)
        for node in pair
    ]


def chebyshev(step: int) -> float:
    """One over (M + m) / 2 - (M - m) / 2 cos((t - 1/2) pi / T), for M = 1 and m = 0.05."""
    node = fractal(8)[step % 8]
    return 1 / (1.05 / 2 - 0.95 / 2 * math.cos((node - 0.5) * math.pi / 8))


WSD: Any = {**WARMUP, "decay_duration": "6 steps", "max_duration": "20 steps", "min_factor": 0.1}

FORMULAS: dict[str, tuple[CurveScheduleConfigBase, Formula]] = {
    "warm-up, stable, decay": (
        WarmupStableDecayScheduleConfig(**WSD, decay_shape="cosine"),
        wsd,
    ),
    "exponential decay": (
        WarmupStableDecayScheduleConfig(
            **{**WSD, "warmup_duration": "0 steps"}, decay_shape="exponential"
        ),
        megatrons_exponential,
    ),
    "several periods": (
        MultiPeriodStableDecayScheduleConfig(periods=("10 steps", "20 steps"), decay_fraction=0.2),
        wsd_s,
    ),
    "three stages": (
        TriStageScheduleConfig(
            warmup_duration="4 steps",
            warmup_start_factor=0.01,
            hold_duration="6 steps",
            max_duration="20 steps",
            min_factor=0.05,
        ),
        tri_stage,
    ),
    "flat, then a cosine": (
        FlatCosineScheduleConfig(flat_duration="15 steps", max_duration="20 steps", min_factor=0.1),
        lambda step: olmos_cosine(min(max(0, step - 15), 5), 5),
    ),
    "cosine with a linear tail": (
        CosineLinearTailScheduleConfig(max_duration="20 steps", tail_duration="5 steps"),
        olmos_tail,
    ),
    "inverse square root": (
        InverseSqrtScheduleConfig(**WARMUP),
        lambda step: step / 4 if step < 4 else 1 / math.sqrt(step / 4),
    ),
    "inverse square root with a cool-down": (
        InverseSqrtScheduleConfig(
            timescale="5 steps", cooldown_duration="4 steps", max_duration="20 steps"
        ),
        with_cooldown(lambda step: 1 / math.sqrt(1 + step / 5)),
    ),
    "transformer": (NoamScheduleConfig(warmup_duration="8 steps", model_dim=512), vaswani),
    "k-decay": (
        CosineScheduleConfig(max_duration="20 steps", k_decay=2.0),
        lambda step: (1 + math.cos(math.pi * min(step / 20, 1) ** 2)) / 2,
    ),
    "restarts with a re-warm-up": (
        CosineRestartsScheduleConfig(
            cycle_duration="10 steps",
            growth_factor=2,
            num_cycles=2,
            peak_factor=0.5,
            rewarmup_duration="4 steps",
        ),
        rewarmed,
    ),
    "Chebyshev": (ChebyshevScheduleConfig(depth=3), chebyshev),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_family_follows_its_formula(name: str):
    config, formula = FORMULAS[name]
    curve = config.curve(RunLength(total_steps=40))
    expected = [formula(step) for step in range(40)]
    assert [curve(step) for step in range(40)] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_the_power_of_time_is_that_of_the_paper():
    timescale = 4.6 ** (1 / 0.51)
    config = PowerScheduleConfig(
        timescale="20 steps", cooldown_duration="4 steps", max_duration="420 steps"
    )
    curve = config.curve(RunLength())
    for step in range(20, 417):
        assert curve(step) == pytest.approx(power(step * timescale / 20), rel=1e-12)  # type: ignore[arg-type]
    assert curve(418) == pytest.approx(curve(416) / 2)
    assert curve(420) == 0.0


def test_a_half_cosine_is_that_of_olmo_but_for_its_peak():
    curve = HalfCosineScheduleConfig(min_factor=0.1 / 0.55).curve(RunLength(total_steps=20))
    ours = [0.55 * curve(step) for step in range(30)]
    assert ours == pytest.approx([olmos_half(step) for step in range(30)], rel=1e-12)


def test_a_hyperbolic_tangent_is_that_of_timm_within_what_timm_misses_at_the_ends():
    curve = TanhScheduleConfig(lower_bound=-7.0).curve(RunLength(total_steps=20))
    timms = [0.5 * (1 - math.tanh(-7 * (1 - x / 20) + 3 * x / 20)) for x in range(21)]
    assert [curve(step) for step in range(21)] == pytest.approx(timms, abs=0.0025)
    assert timms[0] < 1.0
    assert timms[20] > 0.002
    assert (curve(0), curve(20)) == (1.0, 0.0)
