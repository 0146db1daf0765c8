"""The curve of `linear_warmup_cosine_decay`, point by point."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nshtrainer.lr_scheduler.curves import LinearWarmupCosine


def test_the_warm_up_rises_linearly_from_its_start():
    curve = LinearWarmupCosine(warmup=4, total=10, start=0.2)
    assert [curve(t) for t in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=1e-15)


def test_the_decay_begins_at_one_and_is_halfway_in_the_middle():
    curve = LinearWarmupCosine(warmup=10, total=30, end=0.2)
    assert curve(10) == 1.0
    assert curve(20) == pytest.approx(0.6, abs=1e-15)


def test_the_end_value_is_exact_and_stays():
    curve = LinearWarmupCosine(warmup=3, total=17, end=0.123)
    assert [curve(t) for t in (17, 18, 1000, 10**12)] == [0.123] * 4


def test_the_cosine_follows_its_formula():
    curve = LinearWarmupCosine(warmup=5, total=25, start=0.1, end=0.05)
    for t in range(5, 25):
        expected = 0.05 + 0.95 * (1 + math.cos(math.pi * (t - 5) / 20)) / 2
        assert curve(t) == pytest.approx(expected, rel=1e-14)


def test_with_restarts_the_cosine_begins_anew_without_a_warm_up():
    curve = LinearWarmupCosine(warmup=5, total=25, end=0.1, restarts=True)
    assert curve(25) == curve(45) == curve(5 + 20 * 10**6) == 1.0
    assert [curve(t) for t in range(5, 25)] == [curve(t + 20) for t in range(5, 25)]


def test_without_a_warm_up_the_decay_begins_at_once():
    assert LinearWarmupCosine(warmup=0, total=2)(0) == 1.0


@pytest.mark.parametrize("restarts", [False, True])
def test_a_warm_up_that_fills_the_whole_leaves_only_the_end_value(restarts: bool):
    curve = LinearWarmupCosine(warmup=4, total=4, end=0.3, restarts=restarts)
    assert [curve(t) for t in (3, 4, 5)] == [0.75, 0.3, 0.3]


@given(
    warmup=st.integers(0, 10**9),
    length=st.integers(0, 10**9),
    start=st.floats(0, 2),
    end=st.floats(0, 2),
    restarts=st.booleans(),
    step=st.integers(0, 10**12),
)
def test_it_stays_between_its_extremes(
    warmup: int, length: int, start: float, end: float, restarts: bool, step: int
):
    value = LinearWarmupCosine(warmup, warmup + length, start, end, restarts)(step)
    assert min(start, end, 1.0) - 1e-12 <= value <= max(start, end, 1.0) + 1e-12
