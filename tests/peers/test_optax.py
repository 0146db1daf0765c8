"""optax's schedules, which are curves as ours are, in double precision."""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any

import jax
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nshtrainer import RunLength
from nshtrainer.lr_scheduler import lr_scheduler_registry

jax.config.update("jax_enable_x64", True)

UPDATES = 60

NOT_SCHEDULES = {
    "inject_hyperparams": "moves any hyperparameter; `schedules` does that here",
    "inject_stateful_hyperparams": "the same, with a state",
}

counts = st.integers(1, 20)
shares = st.floats(0, 1)
gammas = st.floats(0.05, 0.999)


def config(name: str, **options: Any) -> Any:
    return lr_scheduler_registry[name].model_validate(options)


def steps(number: int) -> str:
    return f"{number} steps"


def warmed(name: str, start: float, warmup: int, **options: Any) -> Any:
    return config(name, warmup_duration=steps(warmup), warmup_start_factor=start, **options)


def later(begin: int, schedule: Any) -> Any:
    """The full rate up to a step, then a schedule."""
    waiting = {"schedule": config("constant"), "duration": steps(begin)}
    return config("sequence", phases=[waiting, {"schedule": schedule}])


def same(schedule: Any, own: Any) -> None:
    curve = own.curve(RunLength(total_steps=UPDATES, base_lr=1.0))
    expected = [float(schedule(step)) for step in range(UPDATES)]
    used = [curve(step) for step in range(UPDATES)]
    assert used == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_every_schedule_is_compared() -> None:
    public = {name for name in dir(optax.schedules) if name[0].islower()} - NOT_SCHEDULES.keys()
    source = Path(__file__).read_text(encoding="utf-8")
    assert public
    assert all(f"optax.{name}(" in source for name in public)


@given(value=shares)
def test_constant(value: float) -> None:
    same(optax.constant_schedule(value), config("constant", factor=value))


@given(end=shares, power=st.floats(0.1, 3), length=counts, begin=counts)
def test_linear_and_polynomial(end: float, power: float, length: int, begin: int) -> None:
    options = {"min_factor": end, "max_duration": steps(length)}
    theirs = optax.polynomial_schedule(1.0, end, power, length, begin)
    same(theirs, later(begin, config("polynomial", power=power, **options)))
    same(optax.linear_schedule(1.0, end, length), config("linear", **options))


@given(gamma=gammas, length=counts, begin=counts, end=shares)
def test_exponential(gamma: float, length: int, begin: int, end: float) -> None:
    options = {"step_duration": steps(length), "gamma": gamma}
    theirs = optax.exponential_decay(1.0, length, gamma, begin, end_value=end)
    same(theirs, later(begin, config("exponential", min_factor=end, **options)))
    theirs = optax.exponential_decay(1.0, length, gamma, staircase=True)
    same(theirs, config("step", **options))


@given(length=counts, alpha=shares)
def test_cosine(length: int, alpha: float) -> None:
    own = config("cosine", max_duration=steps(length), min_factor=alpha)
    same(optax.cosine_decay_schedule(1.0, length, alpha), own)


def test_a_cosine_to_a_whole_power_is_a_product() -> None:
    theirs = optax.cosine_decay_schedule(1.0, 20, exponent=3)
    part = config("cosine", max_duration="20 steps")
    same(theirs, config("product", schedules=[part] * 3))


pieces = st.dictionaries(st.integers(1, 50), st.floats(0.1, 1), min_size=1, max_size=4)


def points(scales: dict[int, float], interpolation: str) -> Any:
    factors = accumulate((1.0, *dict(sorted(scales.items())).values()), mul)
    places = (0, *sorted(scales))
    listed = [{"at": steps(at), "factor": f} for at, f in zip(places, factors, strict=True)]
    return config("piecewise", points=listed, interpolation=interpolation)


@given(scales=pieces)
def test_piecewise(scales: dict[int, float]) -> None:
    same(optax.piecewise_constant_schedule(1.0, scales), points(scales, "constant"))
    for kind in ("linear", "cosine"):
        theirs = optax.piecewise_interpolate_schedule(kind, 1.0, scales)
        same(theirs, points(scales, kind))


@given(
    total=st.integers(10, 60),
    rise=st.floats(0.2, 0.5),
    divisor=st.floats(1, 30),
    last=st.floats(1, 1e4),
)
def test_one_cycle(total: int, rise: float, divisor: float, last: float) -> None:
    own = config(
        "one_cycle",
        max_duration=steps(total),
        rise_duration=steps(int(rise * total)),
        start_factor=1 / divisor,
        min_factor=1 / divisor / last,
        cycle_momentum=False,
    )
    same(optax.cosine_onecycle_schedule(total, 1.0, rise, divisor, last), own)
    marks = {0: 1 / divisor, int(rise * total): 1.0, int(0.85 * total): 1 / divisor}
    marks[total] = 1 / divisor / last
    listed = [{"at": steps(at), "factor": factor} for at, factor in marks.items()]
    theirs = optax.linear_onecycle_schedule(total, 1.0, rise, 0.85, divisor, last)
    same(theirs, config("piecewise", points=listed))


@given(start=shares, warmup=counts, length=counts, gamma=gammas, end=shares)
def test_a_warm_up_before_others(
    start: float, warmup: int, length: int, gamma: float, end: float
) -> None:
    same(optax.warmup_constant_schedule(start, 1.0, warmup), warmed("constant", start, warmup))
    theirs = optax.warmup_cosine_decay_schedule(start, 1.0, warmup, warmup + length, end)
    until = {"max_duration": steps(warmup + length), "min_factor": end}
    same(theirs, warmed("cosine", start, warmup, **until))
    theirs = optax.warmup_exponential_decay_schedule(
        start, 1.0, warmup, length, gamma, end_value=end
    )
    falling = {"step_duration": steps(length), "gamma": gamma, "min_factor": end}
    same(theirs, warmed("exponential", start, warmup, **falling))


@given(lengths=st.lists(counts, min_size=1, max_size=3), warmup=st.integers(0, 5), end=shares)
def test_joined_and_restarted(lengths: list[int], warmup: int, end: float) -> None:
    theirs = optax.sgdr_schedule(
        [
            {
                "init_value": 0.5,
                "peak_value": 1.0,
                "warmup_steps": warmup,
                "decay_steps": warmup + length,
                "end_value": end,
            }
            for length in lengths
        ]
    )
    cosine = warmed("cosine", 0.5, warmup, min_factor=end)
    phases = [{"schedule": cosine, "duration": steps(warmup + length)} for length in lengths]
    same(theirs, config("sequence", phases=phases))
    joined = optax.join_schedules(
        [optax.constant_schedule(0.5), optax.linear_schedule(1.0, end, 30)], [lengths[0]]
    )
    parts = (
        {"schedule": config("constant", factor=0.5), "duration": steps(lengths[0])},
        {"schedule": config("linear", max_duration="30 steps", min_factor=end)},
    )
    same(joined, config("sequence", phases=parts))


# -- where optax is wrong --------------------------------------------------------------------------


def test_a_rate_of_decay_of_one_jumps_to_the_end_value_there_and_changes_nothing_here() -> None:
    theirs = optax.exponential_decay(1.0, 10, 1.0, end_value=0.1)
    assert float(theirs(1)) == pytest.approx(0.1)
    own = config("exponential", step_duration="10 steps", gamma=1.0, min_factor=0.1)
    assert own.curve(RunLength())(1) == 1.0


def test_a_rate_of_decay_of_zero_changes_nothing_there_and_is_taken_at_its_word_here() -> None:
    theirs = optax.exponential_decay(1.0, 10, 0.0, staircase=True)
    assert float(theirs(10)) == 1.0
    assert config("step_lr", step_size=10, gamma=0.0).curve(RunLength())(10) == 0.0
