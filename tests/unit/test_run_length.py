"""What a schedule may ask of a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nshtrainer import RunLength
from nshtrainer.exceptions import RunLengthError, ScheduleError
from nshtrainer.lr_scheduler import run_length_of
from nshtrainer.run_length import TICKS


@pytest.mark.parametrize(
    "lengths",
    [
        {"total_steps": 0},
        {"total_steps": -1},
        {"total_steps": float("inf")},
        {"total_steps": 10.5},
        {"total_steps": True},
        {"steps_per_epoch": 0},
        {"steps_per_epoch": "10"},
        {"steps_per_epoch": float("nan")},
        {"steps_per_epoch": ()},
        {"steps_per_epoch": (10, -1)},
        {"total_time": 0},
        {"samples_per_step": -1},
        {"tokens_per_step": float("inf")},
        {"total_steps": 5, "total_time": 5},
    ],
)
def test_a_length_that_is_no_positive_number_is_refused(lengths: dict[str, Any]):
    with pytest.raises(ScheduleError, match=next(iter(lengths))):
        RunLength(**lengths)


def test_a_list_of_epochs_is_as_good_as_a_tuple():
    assert RunLength(steps_per_epoch=[3, 2]) == RunLength(steps_per_epoch=(3, 2))  # type: ignore[arg-type]


def test_what_is_unknown_is_none():
    run = RunLength()
    assert (run.total_steps, run.steps_per_epoch, run.steps_in_epochs(3)) == (None, None, None)


def test_a_run_length_stands_for_itself():
    run = RunLength(total_steps=5)
    assert run_length_of(run) is run


def test_an_object_that_nobody_knows_is_an_error_that_says_what_to_pass():
    with pytest.raises(ScheduleError, match=r"builtins\.dict is unknown; pass the LightningModule"):
        run_length_of({})


def test_a_part_of_a_run_is_a_run_of_its_own():
    assert RunLength(total_steps=10, steps_per_epoch=5).part(4) == RunLength(4, 5)
    assert RunLength(total_steps=10).part(0) == RunLength()
    half = RunLength(total_time=60).part(TICKS // 2)
    assert (half.total_steps, half.total_time) == (TICKS // 2, 30)


def test_an_absolute_rate_becomes_a_factor_of_the_base_rate():
    assert RunLength(base_lr=0.5).factor_of(0.05, "min_lr") == pytest.approx(0.1)
    assert RunLength(base_lr=0.0).factor_of(0.0, "min_lr") == 0.0


def test_without_a_base_rate_it_is_an_error_that_says_how_to_give_one():
    with pytest.raises(RunLengthError, match=r"min_lr: 0\.05 is a rate.*RunLength\(base_lr="):
        RunLength().factor_of(0.05, "min_lr")


def test_a_least_rate_above_the_rate_itself_is_refused():
    with pytest.raises(ScheduleError, match=r"min_lr: 0\.5 is above the rate .* 0\.1; lower"):
        RunLength(base_lr=0.1).factor_of(0.5, "min_lr")


@pytest.mark.parametrize(
    "run",
    [
        RunLength(),
        RunLength(12, (4, 8), samples_per_step=2.5, tokens_per_step=3, shortened="fast_dev_run"),
        RunLength(total_time=60.0, steps_per_epoch=5),
    ],
)
def test_its_lengths_go_through_plain_data(run: RunLength) -> None:
    assert RunLength.from_dict(json.loads(json.dumps(run.to_dict()))) == run
