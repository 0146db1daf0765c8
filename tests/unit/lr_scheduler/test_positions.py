"""Where the parts of a schedule begin: exact sums, rounded once, in epochs of any length."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from nshtrainer import RunLength
from nshtrainer.configs import (
    CosineRestartsScheduleConfig,
    CosineScheduleConfig,
    CyclicScheduleConfig,
    EpochsConfig,
    ExponentialScheduleConfig,
    FractionConfig,
    LinearScheduleConfig,
    MultiStepScheduleConfig,
    PiecewiseScheduleConfig,
    SamplesConfig,
    SequenceScheduleConfig,
    StepLRConfig,
    StepScheduleConfig,
    WarmupStableDecayScheduleConfig,
    lr_scheduler_registry,
)
from nshtrainer.exceptions import NshtrainerWarning, ScheduleError
from nshtrainer.lr_scheduler.curves import phases_of

ACCUMULATING = RunLength(
    total_steps=400, steps_per_epoch=(100, 100, 50, 50, 50, 50), samples_per_step=3
)
ODD = RunLength(total_steps=101)


def starts(config: Any, run: RunLength = ACCUMULATING) -> list[int]:
    return [phase.start for phase in phases_of(config.curve(run))]


def falls(config: Any, run: RunLength = ACCUMULATING) -> list[int]:
    """The steps at which a curve jumps down."""
    curve = config.curve(run)
    last = run.total_steps or 0
    return [step for step in range(1, last) if curve(step) < curve(step - 1)]


def sequence(*durations: str, **options: Any) -> SequenceScheduleConfig:
    phases = [{"schedule": "linear", "duration": duration} for duration in durations]
    return SequenceScheduleConfig.model_validate({"phases": phases, **options})


# -- epochs of other lengths -----------------------------------------------------------------------


def test_a_phase_of_epochs_begins_with_its_own_epochs():
    assert starts(sequence("2 epochs", "2 epochs", "remaining")) == [0, 200, 300]
    assert starts(sequence("2 epochs", "remaining", "2 epochs", "1 epochs")) == [0, 200, 250, 350]


def test_a_decay_of_epochs_takes_the_last_ones():
    assert starts(WarmupStableDecayScheduleConfig(decay_duration="2 epochs")) == [0, 300]


def test_a_step_of_an_epoch_falls_at_each_epoch():
    assert falls(StepScheduleConfig(step_duration="1 epochs")) == [100, 200, 250, 300, 350]
    after = StepScheduleConfig(step_duration="1 epochs", warmup_duration="1.5 epochs")
    assert falls(after) == [225, 275, 325, 375]


def test_an_exponential_of_epochs_goes_by_the_epoch():
    curve = ExponentialScheduleConfig(step_duration="1 epochs", gamma=0.5).curve(ACCUMULATING)
    values = [curve(step) for step in (50, 100, 200, 225, 250, 300)]
    assert values == pytest.approx([0.5**epochs for epochs in (0.5, 1, 2, 2.5, 3, 4)])
    assert [phase.label for phase in phases_of(curve)] == ["exponential"]


def test_triangles_of_epochs_and_steps_alternate():
    config = CyclicScheduleConfig(rise_duration="1 epochs", fall_duration="25 steps")
    curve = config.curve(ACCUMULATING)
    assert [step for step in range(401) if curve(step) == 1.0] == [100, 213, 288, 363]
    assert [step for step in range(401) if curve(step) == 0.25] == [0, 125, 238, 313, 388]


def test_a_rewarmup_of_epochs_is_as_long_as_the_epochs_of_its_cycle():
    config = CosineRestartsScheduleConfig(
        cycle_duration="100 steps", rewarmup_duration="0.5 epochs"
    )
    curve = config.curve(ACCUMULATING)
    peaks = [step for step in range(1, 400) if curve(step - 1) < curve(step) == 1.0]
    assert peaks == [150, 225, 325]


def test_a_part_counts_epochs_from_where_it_begins():
    phases = [
        {"schedule": "constant", "duration": "150 steps"},
        {"schedule": {"name": "step_lr", "step_size": 1, "unit": "epoch"}},
    ]
    config = SequenceScheduleConfig.model_validate({"phases": phases})
    assert falls(config) == [225, 275, 325, 375]
    assert falls(StepLRConfig(step_size=1, unit="epoch")) == [100, 200, 250, 300, 350]


def test_a_part_of_a_part_knows_where_it_begins():
    part = ACCUMULATING.slice(300, 100).slice(100, 150)
    assert (part.context.start, part.total_steps) == (250, 100)
    assert part.steps_in_epochs(1.5) == 75


def test_durations_before_and_after_a_position_are_exact():
    epochs, run = EpochsConfig(value=1.5), ACCUMULATING
    assert (epochs.after(run, "x", 150), epochs.before(run, "x", 250)) == (250, 150)
    assert epochs.before(run, "x", 50) == -100
    assert SamplesConfig(value=10).after(run, "x", 7) == Fraction(31, 3)
    assert FractionConfig(value=0.1).before(ODD, "x", 101) == Fraction(909, 10)


def test_a_period_of_less_than_a_step_is_one_of_a_step():
    run = RunLength(total_steps=10, steps_per_epoch=(4, 2))
    assert falls(StepScheduleConfig(step_duration="0.01 epochs"), run) == list(range(1, 10))
    cyclic = CyclicScheduleConfig(rise_duration="0.01 epochs")
    assert [cyclic.curve(run)(step) for step in range(4)] == [0.25, 1.0, 0.25, 1.0]


def test_periods_that_are_too_many_to_list_are_refused():
    run = RunLength(steps_per_epoch=(10**6, 1))
    with pytest.raises(ScheduleError, match="step_duration is too short for epochs that vary in l"):
        StepScheduleConfig(step_duration="0.00001 epochs").curve(run)


# -- shares ----------------------------------------------------------------------------------------


def test_shares_are_added_up_before_they_are_rounded():
    wsd_s = lr_scheduler_registry.find("wsd_s")(
        periods=("40%", "30%", "30%"), decay_shape="linear", min_factor=0
    )
    assert wsd_s.curve(ODD)(101) == 0.0
    assert starts(sequence("40%", "30%", "30%"), ODD) == [0, 41, 71]
    assert starts(sequence("30%", "remaining", "30%", "40%"), ODD) == [0, 31, 60]
    assert falls(StepScheduleConfig(step_duration="20%"), ODD) == [21, 41, 61, 81]
    late = StepScheduleConfig(step_duration="20%", warmup_duration="10%")
    assert falls(late, ODD) == [31, 51, 71, 91]


def test_halves_of_an_odd_run_fit_into_it():
    config = WarmupStableDecayScheduleConfig(warmup_duration="50%", decay_duration="50%")
    assert starts(config, ODD) == [0, 51]
    too_long = WarmupStableDecayScheduleConfig(warmup_duration="50%", decay_duration="51 steps")
    with pytest.raises(
        ScheduleError, match=r"warmup_duration \(51 steps\) and decay_duration \(51"
    ):
        too_long.curve(ODD)


def test_cycles_of_shares_end_with_the_run():
    curve = CosineRestartsScheduleConfig(cycle_duration="20%", num_cycles=5).curve(ODD)
    assert [step for step in range(1, 101) if curve(step) == 1.0] == [21, 41, 61, 81]
    assert phases_of(curve)[-1].end == 101
    grown = CosineRestartsScheduleConfig(cycle_duration="20%", growth_factor=2).curve(ODD)
    assert [step for step in range(1, 101) if grown(step) == 1.0] == [21, 61]


# -- long warm-ups ---------------------------------------------------------------------------------


def test_a_warm_up_as_long_as_the_schedule_rises_to_the_peak():
    config = CosineScheduleConfig(warmup_duration="1 epochs")
    curve = config.curve(RunLength(total_steps=100, steps_per_epoch=100))
    values = [curve(step) for step in (0, 50, 99, 100)]
    assert values == pytest.approx([0.01, 0.505, 0.99, 0.0], abs=1e-3)


def test_a_milestone_at_the_end_of_the_warm_up_does_not_lower_it():
    config = MultiStepScheduleConfig(warmup_duration="4 steps", milestones=("4 steps",))
    curve = config.curve(RunLength())
    assert [curve(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.1, 0.1])


# -- runs that are cut short -----------------------------------------------------------------------

SHORT = RunLength(total_steps=2, shortened="fast_dev_run")


@pytest.mark.parametrize(
    "config",
    [
        MultiStepScheduleConfig(warmup_duration="9 steps", milestones=("50%",)),
        PiecewiseScheduleConfig.model_validate(
            {"points": [{"at": "9 steps", "factor": 1}, {"at": "50%", "factor": 0}]}
        ),
        sequence("9 steps", "remaining"),
    ],
    ids=lambda config: config.name,
)
def test_what_does_not_fit_into_a_run_cut_short_is_a_warning(config: Any):
    with pytest.warns(NshtrainerWarning, match="with fast_dev_run the schedule is cut short"):
        curve = config.curve(SHORT)
    assert all(0 <= curve(step) <= 1 for step in range(30))


def test_points_that_fall_on_one_step_are_no_mistake():
    points = [{"at": at, "factor": 1} for at in ("10%", "20%", "100%")]
    config = PiecewiseScheduleConfig.model_validate({"points": points})
    assert config.curve(RunLength(total_steps=3))(1) == 1
    milestones = MultiStepScheduleConfig(milestones=("10%", "20%"), gamma=0.5)
    assert milestones.curve(RunLength(total_steps=3))(1) == 0.25
    assert LinearScheduleConfig(warmup_duration="9%").curve(RunLength(total_steps=1))(0) == 0.5
