"""Errors of resume policies, and policies of schedules that monitor a metric."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.changes import Setup
from tests.unit.test_resume import Loop, resumed, stopped

from nshtrainer import RunLength
from nshtrainer.configs import (
    CosineScheduleConfig,
    LinearScheduleConfig,
    ReduceLROnPlateauConfig,
    ResumeConfig,
    StepsConfig,
)
from nshtrainer.exceptions import (
    NshtrainerError,
    ScheduleError,
)

# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"policy": "kept"}, "must be 'keep', 'extend', 'override' or 'error'"),
        ({"policy": "override"}, "override takes nothing; list what it takes"),
        ({"policy": "extend", "fields": ["lr"]}, "extend takes no fields; write policy: override"),
        ({"policy": "error", "fields": ["lr"]}, "error takes no fields; write policy: override"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ResumeConfig.model_validate(fields)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("lrr", "resume: fields: unknown option of the optimizer 'lrr'; did you mean 'lr'"),
        ("lr_scheduler.min_facto", "unknown field of the schedule 'min_facto'; did you mean"),
        ("lr_scheduler.min_factor.x", "unknown field of the schedule 'x'"),
        ("lr_scheduler.name", "unknown field of the schedule 'name'"),
    ],
)
def test_a_field_that_is_not_there_is_refused(field: str, message: str) -> None:
    policy = ResumeConfig(policy="override", fields=(field,))
    with pytest.raises(NshtrainerError, match=message):
        Loop(Setup(), policy).load(stopped(Setup()))


def test_a_field_that_does_not_go_with_the_schedule_of_the_checkpoint_is_refused():
    before = Setup(schedule=CosineScheduleConfig(min_lr=0.01))
    after = Setup(schedule=CosineScheduleConfig(min_factor=0.5))
    fields = ["lr_scheduler.min_factor"]
    with pytest.raises(ScheduleError, match=r"resume: fields lr_scheduler.min_factor: that of the"):
        resumed(after, stopped(before), policy="override", fields=fields)


def test_to_extend_to_a_shorter_run_is_refused_with_both_lengths():
    with pytest.raises(ScheduleError) as caught:
        resumed(Setup(), stopped(Setup(steps=24)), policy="extend")
    assert str(caught.value) == (
        "resume: extend is for a longer run, and this one has 12 steps, where that of the "
        "checkpoint had 24 (it is at step 6); keep continues the schedule as it was, and "
        "override with fields: [lr_scheduler] takes the shorter one"
    )


# -- schedules that look at a metric ---------------------------------------------------------------


def watching(**fields: Any) -> Any:
    given = {"metric": {"monitor": "val", "mode": "min"}, "patience": 0, **fields}
    return Setup(schedule=ReduceLROnPlateauConfig.model_validate(given))


def test_beside_a_metric_the_curve_follows_the_policy_and_the_metric_keeps_its_state():
    before = watching(schedule={"name": "linear"})
    after = watching(schedule={"name": "cosine"}, patience=3)
    state = stopped(before)
    kept = "lr_scheduler.patience 0 -> 3: kept by the state of the metric's scheduler"
    for policy, followed in (("keep", LinearScheduleConfig()), ("extend", CosineScheduleConfig())):
        loop, said = resumed(after, state, policy=policy)
        assert kept in said
        loop.train(7)
        rate = 0.1 * followed.curve(RunLength(12))(7)
        assert loop.optimizer.param_groups[0]["lr"] == pytest.approx(rate)
        loop.scheduler.observe(1.0)
        loop.scheduler.observe(1.0)
        assert loop.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * rate)


def test_what_the_metric_decides_cannot_be_overridden():
    state = stopped(watching(schedule={"name": "linear"}))
    after = watching(schedule={"name": "linear"}, patience=3)
    with pytest.raises(
        ScheduleError, match=r"lr_scheduler.patience is kept by the state of the metric"
    ):
        resumed(after, state, policy="override", fields=["lr_scheduler.patience"])


def test_the_warm_up_that_is_kept_is_that_for_which_the_metric_is_passed_over():
    before = watching(warmup_duration=StepsConfig(value=10))
    after = watching(warmup_duration=StepsConfig(value=1))
    loop, _ = resumed(after, stopped(before))
    loop.scheduler.observe(1.0)
    assert loop.scheduler.observed == 0
