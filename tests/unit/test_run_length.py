"""What a schedule may ask of a run."""

from __future__ import annotations

from typing import Any

import pytest

from nshtrainer import RunLength
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler import run_length_of


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
