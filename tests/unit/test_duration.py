"""Durations: how they are written, and how they become steps."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction as Rational
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nshtrainer import RunLength
from nshtrainer.configs import (
    DurationConfig,
    EpochsConfig,
    FractionConfig,
    SamplesConfig,
    StepsConfig,
    TimeConfig,
    TokensConfig,
)
from nshtrainer.exceptions import RunLengthError
from nshtrainer.run_length import TICKS, LazyRunLength

DURATION = TypeAdapter[Any](DurationConfig)

WRITTEN = {
    "1000 steps": StepsConfig(value=1000),
    "1 step": StepsConfig(value=1),
    "1_000 steps": StepsConfig(value=1000),
    "1e3 steps": StepsConfig(value=1000),
    "1.5M steps": StepsConfig(value=1_500_000),
    "2k steps": StepsConfig(value=2000),
    "5 epochs": EpochsConfig(value=5),
    "0.5 epochs": EpochsConfig(value=0.5),
    " 7epochs ": EpochsConfig(value=7),
    "10%": FractionConfig(value=0.1),
    "0.1 %": FractionConfig(value=0.001),
    "100%": FractionConfig(value=1),
    "1M samples": SamplesConfig(value=1_000_000),
    "1 sample": SamplesConfig(value=1),
    "3B tokens": TokensConfig(value=3_000_000_000),
    "1.5k tokens": TokensConfig(value=1500),
    "90 seconds": TimeConfig(value=90),
    "30 minutes": TimeConfig(value=1800),
    "2.5 hours": TimeConfig(value=9000),
    "1 day": TimeConfig(value=86400),
}

REFUSED = {
    "a bare number": (1000, "write '1000 steps' or '1000 epochs'"),
    "a bare fraction": (0.5, "a bare number has no unit; write '0.5 epochs'"),
    "a number as text": ("1000", "a bare number has no unit; write '1000 steps' or '1000 epochs'"),
    "an unknown unit": (
        "5 parsecs",
        "write '1000 steps', '5 epochs', '10%', '1M samples', '3B tokens' or '30 minutes'",
    ),
    "half a step": ("1.5 steps", "steps are whole"),
    "half a token": ("0.5 tokens", "tokens are whole"),
    "a negative one": ("-3 steps", "is no duration"),
    "over the whole": ("120%", "less than or equal to 1"),
    "negative steps": ({"name": "steps", "value": -1}, "greater than or equal to 0"),
    "fractional steps": ({"name": "steps", "value": 1.5}, "integer"),
    "infinite epochs": ({"name": "epochs", "value": float("inf")}, "finite"),
    "nan epochs": ({"name": "epochs", "value": float("nan")}, "finite"),
    "another unit": ({"name": "weeks", "value": 1}, "'weeks'"),
    "no unit": ({"value": 1}, "name"),
    "nothing": (None, "valid"),
    "a boolean": (True, "valid"),
    "an enormous exponent": ("1e999999 steps", "is no duration"),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_text_is_read(text: str):
    assert DURATION.validate_python(text) == WRITTEN[text]


@pytest.mark.parametrize("text", WRITTEN)
def test_the_short_form_reads_back(text: str):
    duration = DURATION.validate_python(text)
    assert DURATION.validate_python(str(duration)) == duration


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_duration_is_refused_with_the_reason(case: str):
    value, reason = REFUSED[case]
    with pytest.raises(ValidationError) as caught:
        DURATION.validate_python(value)
    assert reason in str(caught.value)


def test_the_three_spellings_are_the_same():
    mapping = {"name": "steps", "value": 1000}
    assert DURATION.validate_python(mapping) == DURATION.validate_python("1000 steps")
    assert DURATION.validate_python(StepsConfig(value=1000)) == StepsConfig(value=1000)


@given(
    st.one_of(
        st.integers(0, 10**12).map(lambda n: StepsConfig(value=n)),
        st.floats(0, 1e6).map(lambda x: EpochsConfig(value=x)),
        st.floats(0, 1).map(lambda x: FractionConfig(value=x)),
    )
)
def test_json_round_trips(duration: Any):
    text = DURATION.dump_json(duration, exclude_defaults=True)
    assert DURATION.validate_json(text) == duration


def test_steps_ask_nothing_of_the_run():
    asks_nothing: Any = SimpleNamespace(total_time=None)
    assert StepsConfig(value=7).resolve(asks_nothing) == 7


@given(tenths=st.integers(0, 10_000), steps=st.integers(1, 1000))
def test_epochs_convert_with_exact_decimal_arithmetic(tenths: int, steps: int):
    exact = Rational(tenths, 10) * steps
    resolved = EpochsConfig(value=tenths / 10).resolve(RunLength(steps_per_epoch=steps))
    assert resolved == -(-exact.numerator // exact.denominator)


@given(percent=st.integers(0, 100), total=st.integers(1, 10**9))
def test_fractions_convert_with_exact_decimal_arithmetic(percent: int, total: int):
    exact = Decimal(percent) * total / 100
    resolved = DURATION.validate_python(f"{percent}%").resolve(RunLength(total_steps=total))
    assert resolved == exact.to_integral_value(rounding="ROUND_CEILING")


def test_epochs_of_unequal_length_are_added_up():
    run = RunLength(steps_per_epoch=(10, 5))
    steps = [EpochsConfig(value=value).resolve(run) for value in (0.5, 1, 1.5, 2, 4)]
    assert steps == [5, 10, 13, 15, 25]


def test_no_epochs_are_no_steps_whatever_the_run():
    assert EpochsConfig(value=0).resolve(RunLength()) == 0


def test_an_unknown_epoch_is_an_error_that_names_the_field_and_the_ways_out():
    with pytest.raises(RunLengthError, match=r"max_duration: 2 epochs.*limit_train_batches"):
        EpochsConfig(value=2).resolve(LazyRunLength(total_steps=10), "max_duration")


def test_a_run_may_say_why_it_knows_nothing():
    run = RunLength(unknown_because="Net is not attached to a trainer; attach it")
    with pytest.raises(RunLengthError, match=r"2 epochs .*not attached to a trainer"):
        EpochsConfig(value=2).resolve(run)


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("2 epochs", "steps_per_epoch"),
        ("10%", "total_steps"),
        ("5 samples", "samples_per_step"),
        ("5 tokens", "tokens_per_step"),
        ("5 minutes", "total_time"),
    ],
)
def test_a_plain_loop_is_told_of_the_arguments_of_its_length(text: str, argument: str):
    duration = DURATION.validate_python(text)
    with pytest.raises(RunLengthError, match=rf"; pass RunLength\({argument}=\.\.\.\), ") as plain:
        duration.resolve(RunLength())
    assert not re.search("max_|limit_|hparams|hyperparameters", str(plain.value))
    with pytest.raises(RunLengthError, match=r"max_|limit_|hyperparameters") as of_trainer:
        duration.resolve(LazyRunLength())
    assert f"pass RunLength({argument}=...)" in str(of_trainer.value)


def test_an_unknown_total_is_an_error_that_names_the_field_and_the_ways_out():
    with pytest.raises(
        RunLengthError,
        match=r"warmup_duration: 10% of the run.*max_steps.*limit_train_batches.*without an end",
    ):
        FractionConfig(value=0.1).resolve(LazyRunLength(steps_per_epoch=10), "warmup_duration")


@given(count=st.integers(0, 10**15), per_step=st.integers(1, 10**7))
def test_samples_and_tokens_become_the_updates_in_which_they_are_shown(count: int, per_step: int):
    run = RunLength(samples_per_step=per_step, tokens_per_step=per_step)
    steps = -(-count // per_step)
    assert SamplesConfig(value=count).resolve(run) == steps
    assert TokensConfig(value=count).resolve(run) == steps


@pytest.mark.parametrize("unit", ["samples", "tokens"])
def test_what_a_step_shows_is_asked_of_the_run_and_its_absence_is_an_error(unit: str):
    duration = DURATION.validate_python(f"5 {unit}")
    with pytest.raises(
        RunLengthError, match=rf"decay: 5 {unit} .*{unit}_per_step is unknown; pass"
    ):
        duration.resolve(RunLength(total_steps=10), "decay")
    assert DURATION.validate_python(f"0 {unit}").resolve(RunLength()) == 0


def test_in_a_run_whose_length_is_a_time_shares_and_times_become_ticks():
    run = RunLength(total_time=7200)
    assert run.total_steps == TICKS
    ticks = [DURATION.validate_python(t).resolve(run) for t in ("25%", "30 minutes", "2 hours")]
    assert ticks == [TICKS // 4, TICKS // 4, TICKS]


@pytest.mark.parametrize("text", ["5 steps", "2 epochs", "10 samples", "1k tokens"])
def test_in_such_a_run_a_count_is_refused(text: str):
    run = RunLength(total_time=60, steps_per_epoch=5, samples_per_step=1, tokens_per_step=1)
    with pytest.raises(RunLengthError, match=r"decay: \d+ \w+ cannot become a time.*'5 minutes'"):
        DURATION.validate_python(text).resolve(run, "decay")
    nothing = DURATION.validate_python(f"0 {text.split()[1].removeprefix('k')}")
    assert nothing.resolve(run) == 0


def test_a_time_in_a_run_of_steps_is_an_error_that_says_what_to_do():
    with pytest.raises(RunLengthError, match=r"decay: 60 seconds .*not a time; pass .*total_time"):
        TimeConfig(value=60).resolve(RunLength(total_steps=10), "decay")
