"""A schedule before it runs: numbers and sentences."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from nshtrainer import RunLength
from nshtrainer.configs import (
    ConstantScheduleConfig,
    CosineRestartsScheduleConfig,
    CosineScheduleConfig,
    LinearScheduleConfig,
    MultiStepScheduleConfig,
    PiecewiseScheduleConfig,
    ReduceLROnPlateauConfig,
    SchedulesConfig,
)
from nshtrainer.exceptions import RunLengthError
from nshtrainer.lr_scheduler.preview import describe_tracks, preview_tracks, time_text
from nshtrainer.lr_scheduler.track import Track

COSINE = CosineScheduleConfig(warmup_duration="500 steps", max_duration="19k steps")


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (
            RunLength(19_000, base_lr=1e-3),
            "warm-up 0 to 500, cosine 500 to 19,000, last update 7.21e-12",
        ),
        (
            RunLength(19_000),
            "warm-up 0 to 500, cosine 500 to 19,000, last update 7.21e-9 of the base rate",
        ),
        (
            RunLength(10_000, base_lr=2.0),
            "warm-up 0 to 500, cosine 500 to 19,000 (the run ends at 10,000), last update 0.958",
        ),
        (
            RunLength(20_000),
            (
                "warm-up 0 to 500, cosine 500 to 19,000, hold 19,000 to 20,000, "
                "last update 0 of the base rate"
            ),
        ),
        (RunLength(), "warm-up 0 to 500, cosine 500 to 19,000, then 0 of the base rate"),
        (
            RunLength(400),
            "warm-up 0 to 500 (the run ends at 400), last update 0.798 of the base rate",
        ),
    ],
)
def test_a_schedule_describes_itself(run: RunLength, text: str) -> None:
    assert COSINE.describe(run) == text


def test_what_has_no_end_says_so() -> None:
    config = ConstantScheduleConfig(warmup_duration="5 steps")
    assert config.describe(RunLength()) == "warm-up 0 to 5, constant from 5 on"


def test_of_many_phases_the_first_and_the_last_are_told() -> None:
    milestones = tuple(f"{step} steps" for step in range(10, 100, 10))
    config = MultiStepScheduleConfig(milestones=milestones, gamma=0.5)
    assert config.describe(RunLength(100)) == (
        "1 0 to 10, 0.5 10 to 20, 0.25 20 to 30, 6 more, 0.00195312 90 to 100, last update 0.00195 "
        "of the base rate"
    )


def test_in_a_run_that_a_time_limits_positions_are_times() -> None:
    run = RunLength(total_time=7200, base_lr=1.0)
    config = LinearScheduleConfig(warmup_duration="10%")
    assert config.describe(run).startswith("warm-up 0 to 12 min, linear 12 min to 2 h, last update")
    assert config.preview(run).total_time == 7200


@pytest.mark.parametrize(("seconds", "text"), [(30, "30 s"), (3600, "1 h"), (200_000, "2.31 d")])
def test_a_time_has_a_unit(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_each_hyperparameter_and_group_has_a_name_and_a_sentence() -> None:
    config = SchedulesConfig(
        default={"lr": LinearScheduleConfig(), "weight_decay": {"follows": "lr"}},
        groups={"backbone": {"lr": CosineScheduleConfig()}},
    )
    run = RunLength(10, base_lr=0.5)
    preview = config.preview(run)
    assert preview.names == ("backbone/lr", "backbone/weight_decay", "lr", "weight_decay")
    assert [series.kind for series in preview.series] == ["value", "factor"] * 2
    assert preview.series[0].group == "backbone"
    assert preview.series[0].hyperparameter == "lr"
    assert preview["lr"][0] == 0.5
    assert config.describe(run).startswith("backbone/lr: cosine 0 to 10, last update")
    with pytest.raises(KeyError, match=r"'momentum' is not scheduled \(these are: backbone/lr"):
        preview["momentum"]


def test_bases_make_values_of_factors() -> None:
    tracks = (
        Track("weight_decay", lambda step: 0.5),
        Track("weight_decay", lambda step: 0.5, group="head"),
        Track("betas.0", lambda step: 0.9, "value"),
    )
    bases = {"weight_decay": 0.1, "head/weight_decay": 0.3}
    preview = preview_tracks(tracks, RunLength(2), bases=bases)
    assert [series.values[0] for series in preview.series] == [0.05, 0.15, 0.9]
    text = describe_tracks(tracks[:1], RunLength(2), bases=bases)
    assert text == "weight_decay: schedule 0 to 2, last update 0.05"
    assert describe_tracks(tracks[:1], RunLength(2)).endswith("0.5 of the base value")


def test_a_jump_is_between_the_two_steps_where_it_is() -> None:
    config = CosineRestartsScheduleConfig(cycle_duration="123_457 steps")
    preview = config.preview(RunLength(10**6))
    steps = set(preview.steps)
    jumps = range(123_457, 10**6, 123_457)
    assert all({jump - 1, jump} <= steps for jump in jumps)
    assert len(steps) < 600


def test_a_straight_line_needs_no_more_points() -> None:
    assert len(LinearScheduleConfig().preview(RunLength(10**9), 50).steps) <= 51


def test_ups_and_downs_without_end_are_cut_short() -> None:
    saw = Track("lr", lambda step: float(step % 2))
    assert len(preview_tracks([saw], RunLength(10**6), 50).steps) <= 250


def test_a_preview_is_a_value() -> None:
    first, second = (COSINE.preview(RunLength(100, base_lr=1.0)) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    with pytest.raises(FrozenInstanceError):
        first.updates = 3  # type: ignore[misc]


@pytest.mark.parametrize("updates", [1, 2])
def test_the_shortest_runs_have_a_preview(updates: int) -> None:
    assert CosineScheduleConfig().preview(RunLength(updates)).steps == tuple(range(updates))


def test_a_schedule_with_an_end_of_its_own_needs_no_length() -> None:
    preview = COSINE.preview(RunLength())
    assert preview.steps[-1] == 19_000
    assert preview["lr"][-1] == 0.0


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (ConstantScheduleConfig(), "constant has no end of its own, and the length of the run is"),
        (CosineScheduleConfig(), "max_duration: 100% of the run cannot become steps"),
    ],
)
def test_a_length_that_is_needed_is_asked_for(config: Any, text: str) -> None:
    with pytest.raises(RunLengthError, match=text):
        config.preview(RunLength())


def test_a_plateau_says_what_it_looks_at() -> None:
    config = ReduceLROnPlateauConfig(metric={"monitor": "val/loss", "mode": "min"})
    assert config.describe(RunLength()) == (
        "reduce_lr_on_plateau: by the epoch, looks at val/loss; what it does is known only as it "
        "runs"
    )


def test_points_that_end_within_the_run_are_held() -> None:
    config = PiecewiseScheduleConfig(points=({"at": "2 steps", "factor": 0.5},))
    assert config.preview(RunLength(5))["lr"] == (0.5,) * 5
