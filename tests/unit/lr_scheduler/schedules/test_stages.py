"""Minima and starts as rates, untuned warm-ups, cool-downs, stages and cycles; what is refused."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.support import values

from nshtrainer import RunLength
from nshtrainer.configs import (
    ChebyshevScheduleConfig,
    ConstantScheduleConfig,
    CosineLinearTailScheduleConfig,
    CosineRestartsScheduleConfig,
    CosineScheduleConfig,
    CyclicScheduleConfig,
    FlatCosineScheduleConfig,
    InverseSqrtScheduleConfig,
    LinearScheduleConfig,
    MultiPeriodStableDecayScheduleConfig,
    NoamScheduleConfig,
    NoiseScheduleConfig,
    OneCycleScheduleConfig,
    PowerScheduleConfig,
    TanhScheduleConfig,
    TriStageScheduleConfig,
    WarmupStableDecayScheduleConfig,
)
from nshtrainer.exceptions import NshtrainerWarning, RunLengthError, ScheduleError
from nshtrainer.lr_scheduler.curves import FALLS

TEN = RunLength(total_steps=10)


# -- rates instead of factors -------------------------------------------------------------------


def test_a_minimum_and_a_start_may_be_rates():
    config = LinearScheduleConfig(warmup_duration="2 steps", warmup_start_lr=1e-4, min_lr=5e-4)
    curve = config.curve(TEN.replace(base_lr=1e-3))
    assert (curve(0), curve(2)) == (0.1, 1.0)
    assert curve(10) == curve(99) == 0.5


def test_a_rate_needs_the_base_rate():
    with pytest.raises(RunLengthError, match=r"min_lr: 0.001 is a rate.*RunLength\(base_lr=\.\.\."):
        CosineScheduleConfig(min_lr=1e-3).curve(TEN)
    with pytest.raises(RunLengthError, match=r"warmup_start_lr: 0\.001 is a rate"):
        ConstantScheduleConfig(warmup_duration="2 steps", warmup_start_lr=1e-3).curve(TEN)


def test_a_minimum_above_the_base_rate_is_refused():
    with pytest.raises(ScheduleError, match=r"min_lr: 0.1 is above .* 0.01"):
        CosineScheduleConfig(min_lr=0.1).curve(TEN.replace(base_lr=0.01))


@pytest.mark.parametrize("cls", [CosineScheduleConfig, CosineRestartsScheduleConfig])
def test_a_minimum_is_given_once(cls: Any):
    required = {"cycle_duration": "5 steps"} if "cycle_duration" in cls.model_fields else {}
    with pytest.raises(ValidationError, match="min_factor and min_lr are two ways to say the same"):
        cls(**required, min_factor=0.1, min_lr=1e-5)
    with pytest.raises(ValidationError, match="warmup_start_factor and warmup_start_lr are two"):
        cls(**required, warmup_start_factor=0.1, warmup_start_lr=1e-5)


# -- untuned warm-ups ---------------------------------------------------------------------------


@pytest.mark.parametrize(("beta2", "steps"), [(0.999, 2000), (0.9, 20), (0.95, 40), (0.0, 2)])
def test_an_untuned_warm_up_takes_two_over_one_minus_beta2(beta2: float, steps: int):
    curve = ConstantScheduleConfig(warmup_duration="untuned").curve(RunLength(beta2=beta2))
    assert curve(steps - 1) < curve(steps) == 1.0
    assert curve(0) == 1 / (steps + 1)


def test_an_untuned_warm_up_needs_beta2():
    with pytest.raises(RunLengthError, match=r"RunLength\(beta2=\.\.\.\), or create the scheduler"):
        ConstantScheduleConfig(warmup_duration="untuned").curve(TEN)


def test_an_untuned_warm_up_must_fit_as_well():
    with pytest.raises(ScheduleError, match=r"20 steps \(untuned\), longer than max_duration"):
        LinearScheduleConfig(warmup_duration="untuned").curve(TEN.replace(beta2=0.9))


def test_an_untuned_warm_up_is_no_time():
    run = RunLength(total_time=60, beta2=0.9)
    with pytest.raises(RunLengthError, match="warmup_duration: 20 steps cannot become a time"):
        LinearScheduleConfig(warmup_duration="untuned").curve(run)


def test_another_word_is_no_warm_up():
    with pytest.raises(ValidationError, match="untuned"):
        ConstantScheduleConfig(warmup_duration="tuned")


# -- an end for what has none -------------------------------------------------------------------


@pytest.mark.parametrize("shape", FALLS)
def test_a_cool_down_goes_from_where_the_curve_is_to_the_minimum(shape: Any):
    config = InverseSqrtScheduleConfig(
        timescale="1 step", cooldown_duration="50%", cooldown_shape=shape, min_factor=0.01
    )
    factors = values(config, range(14), TEN)
    assert factors[:6] == pytest.approx([(1 + step) ** -0.5 for step in range(6)])
    assert factors[5:11] == sorted(factors[5:11], reverse=True)
    assert factors[10:] == [0.01] * 4


def test_a_minimum_without_a_cool_down_is_refused():
    with pytest.raises(ValidationError, match="min_factor is where a cool-down ends; give cool"):
        PowerScheduleConfig(min_factor=0.1)
    with pytest.raises(ValidationError, match="min_lr is where a cool-down ends; give cooldown_d"):
        PowerScheduleConfig(min_lr=0.1)


def test_warm_up_and_cool_down_must_fit_into_the_whole():
    config = PowerScheduleConfig(warmup_duration="6 steps", cooldown_duration="5 steps")
    with pytest.raises(ScheduleError, match=r"\(6 steps\) and cooldown_duration \(5 steps\) toge"):
        config.curve(TEN)


def test_a_power_of_time_counts_from_the_beginning_of_the_run():
    config = PowerScheduleConfig(warmup_duration="4 steps", timescale="6 steps", exponent=2)
    factors = values(config, range(4, 13), TEN)
    assert factors[:3] == [1.0, 1.0, 1.0]
    assert factors[8] == 0.25


def test_noam_peaks_at_the_base_rate_unless_it_knows_the_model():
    assert max(values(NoamScheduleConfig(warmup_duration="4 steps"), range(99), TEN)) == 1.0
    assert (
        max(values(NoamScheduleConfig(warmup_duration="4 steps", model_dim=4), range(99), TEN))
        == 0.25
    )


# -- stages -------------------------------------------------------------------------------------


def test_a_period_begins_at_the_full_rate_without_a_warm_up():
    config = MultiPeriodStableDecayScheduleConfig(
        warmup_duration="2 steps", periods=("5 steps", "5 steps"), decay_fraction=0.4
    )
    factors = values(config, range(12), TEN)
    assert factors[2] == factors[3] == factors[5] == factors[8] == 1.0
    assert factors[4] == factors[9] < 0.2
    assert factors[10:] == [0.1, 0.1]


def test_the_first_period_has_room_for_its_warm_up():
    config = MultiPeriodStableDecayScheduleConfig(
        warmup_duration="9 steps", periods=("10 steps",), decay_fraction=0.2
    )
    with pytest.raises(ScheduleError, match=r"\(9 steps\) and the decay .* \(2 steps\) together"):
        config.curve(TEN)


def test_the_inverse_shape_needs_a_minimum():
    config = MultiPeriodStableDecayScheduleConfig(periods=("10 steps",), min_factor=0.0)
    with pytest.raises(ScheduleError, match="inverse needs a minimum above 0; raise min_factor"):
        config.curve(TEN)
    assert config.replace(decay_shape="linear").curve(TEN)(10) == 0.0


def test_an_exponential_needs_a_minimum():
    with pytest.raises(ValidationError, match="min_factor"):
        TriStageScheduleConfig(min_factor=0.0)
    with pytest.raises(ScheduleError, match="min_lr is 0, which an exponential never reaches"):
        TriStageScheduleConfig(min_lr=0.0).curve(TEN.replace(base_lr=1.0))


def test_the_flat_part_counts_from_the_beginning_of_the_run():
    config = FlatCosineScheduleConfig(warmup_duration="2 steps", flat_duration="6 steps")
    factors = values(config, range(2, 11), TEN)
    assert factors[:5] == [1.0] * 5
    assert factors[6] == pytest.approx(0.5)
    assert factors[8] == 0.0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            FlatCosineScheduleConfig(warmup_duration="5 steps", flat_duration="4 steps"),
            r"flat_duration \(4 steps\) .* within the warm-up of 5 steps",
        ),
        (
            FlatCosineScheduleConfig(flat_duration="11 steps"),
            r"flat_duration \(11 steps\) is longer than max_duration \(10 steps\)",
        ),
        (
            CosineLinearTailScheduleConfig(warmup_duration="5 steps", tail_duration="6 steps"),
            r"warmup_duration \(5 steps\) and tail_duration \(6 steps\) together",
        ),
        (
            TriStageScheduleConfig(hold_duration="11 steps"),
            r"and hold_duration \(11 steps\) together are longer than max_duration \(10 steps\)",
        ),
        (
            OneCycleScheduleConfig(rise_duration="60%", three_phase=True),
            r"twice rise_duration \(6 steps\) is longer than max_duration \(10 steps\)",
        ),
        (
            OneCycleScheduleConfig(rise_duration="11 steps"),
            r"^rise_duration \(11 steps\) is longer than max_duration \(10 steps\)",
        ),
        (
            CosineRestartsScheduleConfig(cycle_duration="4 steps", rewarmup_duration="4 steps"),
            "rewarmup_duration is 4 steps, and the first cycle has 4; make it shorter",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_clipped_in_a_run_cut_short(config: Any, message: str):
    with pytest.raises(ScheduleError, match=message):
        config.curve(TEN)
    with pytest.warns(NshtrainerWarning, match="with fast_dev_run the schedule is cut short"):
        curve = config.curve(RunLength(total_steps=10, shortened="fast_dev_run"))
    assert all(curve(step) >= 0 for step in range(30))


# -- cycles -------------------------------------------------------------------------------------


def test_after_the_last_cycle_the_minimum_stays():
    config = CosineRestartsScheduleConfig(
        cycle_duration="3 steps", growth_factor=2, num_cycles=2, min_factor=0.25
    )
    factors = values(config, range(20), TEN)
    assert factors[3] == 1.0
    assert factors[9:] == [0.25] * 11


def test_a_triangle_may_rise_or_fall_at_once():
    rises = CyclicScheduleConfig(rise_duration="4 steps", fall_duration="0 steps", min_factor=0)
    falls = CyclicScheduleConfig(rise_duration="0 steps", fall_duration="4 steps", min_factor=0)
    assert values(rises, range(6), TEN) == [0.0, 0.25, 0.5, 0.75, 0.0, 0.25]
    assert values(falls, range(6), TEN) == [1.0, 0.75, 0.5, 0.25, 1.0, 0.75]
    with pytest.raises(ScheduleError, match="rise_duration is 0 steps, and so is the fall"):
        CyclicScheduleConfig(rise_duration="0 steps").curve(TEN)


def test_momentum_goes_against_the_rate():
    config = OneCycleScheduleConfig(rise_duration="5 steps")
    momentum = config.momentum_curve(TEN)
    assert [momentum(step) for step in (0, 5, 10, 99)] == [0.95, 0.85, 0.95, 0.95]
    assert config.curve(TEN)(5) == 1.0
    assert [track.hyperparameter for track in config.tracks(TEN)] == ["lr", "momentum"]


def test_one_cycle_moves_the_first_beta_of_adam_and_can_let_it_be():
    weights = [torch.nn.Parameter(torch.ones(1))]
    optimizer = torch.optim.Adam(weights, lr=0.5)
    OneCycleScheduleConfig().create_scheduler(optimizer, TEN)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)
    optimizer = torch.optim.Adagrad(weights, lr=0.5)
    config = OneCycleScheduleConfig(cycle_momentum=False)
    assert len(config.tracks(TEN)) == 1
    config.create_scheduler(optimizer, TEN)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.02)
    noisy = NoiseScheduleConfig(schedule=OneCycleScheduleConfig())
    with pytest.raises(ScheduleError, match="one_cycle moves momentum as well"):
        noisy.curve(TEN)


def test_chebyshev_steps_make_up_for_the_large_ones():
    curve = ChebyshevScheduleConfig(depth=6, ratio=0.01).curve(TEN)
    factors = [curve(step) for step in range(64)]
    assert factors == [curve(step + 64) for step in range(64)]
    for curvature in (0.01, 0.1, 0.5, 1.0):
        left = 1.0
        for factor in factors:
            left *= 1 - factor * curvature
        assert abs(left) < 1e-4


# -- noise --------------------------------------------------------------------------------------

FLAT: Any = {"schedule": {"name": "constant"}}


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_noise_has_its_distribution(kind: Any):
    curve = NoiseScheduleConfig(**FLAT, kind=kind, limit=0.5, scale=0.1).curve(TEN)
    noise = [curve(step) - 1 for step in range(4000)]
    assert statistics.fmean(noise) == pytest.approx(0, abs=0.01)
    spread = 0.1 if kind == "normal" else 0.5 / 3**0.5
    assert statistics.pstdev(noise) == pytest.approx(spread, rel=0.05)
    assert max(map(abs, noise)) <= 0.5


def test_noise_is_there_from_its_start_to_its_end():
    factors = values(NoiseScheduleConfig(**FLAT, start="3 steps", end="5 steps"), range(8), TEN)
    assert [factor == 1.0 for factor in factors] == [True] * 3 + [False] * 2 + [True] * 3


def test_another_seed_is_another_noise():
    one, other = (NoiseScheduleConfig(**FLAT, seed=seed).curve(TEN) for seed in (1, 2))
    assert one(0) != other(0)
    assert one(0) == NoiseScheduleConfig(**FLAT, seed=1).curve(TEN)(0)


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (NoiseScheduleConfig, {**FLAT, "limit": 1.5}),
        (NoiseScheduleConfig, {"schedule": {"name": "reduce_lr_on_plateau"}}),
        (TanhScheduleConfig, {"lower_bound": 1.0}),
        (TanhScheduleConfig, {"upper_bound": 0.0}),
        (ChebyshevScheduleConfig, {"depth": -1}),
        (ChebyshevScheduleConfig, {"ratio": 0.0}),
        (CyclicScheduleConfig, {"rise_duration": "1 step", "mode": "square"}),
        (OneCycleScheduleConfig, {"max_momentum": 1.0}),
        (MultiPeriodStableDecayScheduleConfig, {"periods": ()}),
        (WarmupStableDecayScheduleConfig, {"decay_shape": "inverse"}),
    ],
)
def test_what_breaks_a_run_is_refused(cls: Any, options: dict[str, Any]):
    with pytest.raises(ValidationError):
        cls(**options)
