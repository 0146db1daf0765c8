"""Laws of the durations in every registered curve: epochs that vary, shares, long warm-ups."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any, get_args

import pytest

from nshtrainer import RunLength
from nshtrainer.configs import (
    CurveScheduleConfigBase,
    DecayScheduleConfigBase,
    FiniteScheduleConfigBase,
    StepsConfig,
    WarmupScheduleConfigBase,
    lr_scheduler_registry,
)
from nshtrainer.lr_scheduler.curves import phases_of
from nshtrainer.lr_scheduler.schedules.base import EndlessScheduleConfigBase

CURVES = {
    name: cls
    for name, cls in lr_scheduler_registry.items()
    if issubclass(cls, CurveScheduleConfigBase)
}
every_curve = pytest.mark.parametrize("name", CURVES)

STEPS = {"name": "multi_step", "milestones": ["1 epochs", "2.5 epochs"]}

IN_EPOCHS: dict[str, Any] = {
    "at": "1.5 epochs",
    "cooldown_duration": "2 epochs",
    "cycle_duration": "1.5 epochs",
    "decay_duration": "2 epochs",
    "end": "4 epochs",
    "fall_duration": "0.5 epochs",
    "flat_duration": "3 epochs",
    "hold_duration": "1.5 epochs",
    "max_duration": "6 epochs",
    "milestones": ["2 epochs", "3.5 epochs"],
    "periods": ["1.5 epochs", "2.5 epochs", "2 epochs"],
    "phases": [
        {"schedule": {"name": "warmup_stable_decay", "decay_duration": "0.5 epochs"}, "duration": d}
        for d in ("1.5 epochs", "2.5 epochs", "remaining", "0.5 epochs")
    ],
    "points": [{"at": "1.5 epochs", "factor": 1}, {"at": "4 epochs", "factor": 0}],
    "rewarmup_duration": "0.5 epochs",
    "rise_duration": "1.5 epochs",
    "start": "2.5 epochs",
    "tail_duration": "2 epochs",
    "step_duration": "1.5 epochs",
    "timescale": "2.5 epochs",
    "warmup_duration": "1 epochs",
}
"""A value for each field that holds a duration; the schedules of a run of 6 epochs."""

PARTS: dict[str, Any] = {
    "decay_fraction": 0,
    "lr_lambda": {"name": "step_lr", "step_size": 2},
    "schedule": STEPS,
    "schedulers": [{"name": "step_lr", "step_size": 2}] * 2,
    "schedules": [STEPS, {"name": "step", "step_duration": "2 epochs"}],
    "unit": "epoch",
}
"""The same for fields that hold schedules, or what they count."""

OWN: dict[str, Any] = {
    "cosine_restarts": {"num_cycles": 3},
    "multi_step_lr": {"milestones": [2, 4]},
    "sequential_lr": {"milestones": [3]},
}
"""What one schedule takes in place of these."""

NOT_IN_EPOCHS = {"noise"}
"""Another value at every step."""

BY_STEP = {"cosine_linear_tail", "cosine_restarts", "inverse_sqrt", "power"}
"""How far these are in a phase is a matter of its steps, wherever it begins."""

UNIFORM = RunLength(total_steps=600, steps_per_epoch=100, base_lr=1.0)
VARYING = RunLength(total_steps=400, steps_per_epoch=(100, 100, 50, 50, 50), base_lr=1.0)


def varied(step: int) -> int:
    """The step of the run with varying epochs at the same share of the same epoch."""
    return step if step <= 200 else 200 + (step - 200) // 2


def holds_durations(annotation: Any) -> bool:
    return annotation is StepsConfig or any(map(holds_durations, get_args(annotation)))


def example(name: str, options: dict[str, Any]) -> Any:
    """The example of a schedule, with other values for the fields that it has."""
    cls = CURVES[name]
    given = cls.from_yaml(f"name: {name}\n{cls.example}").to_dict()
    fields = {key: value for key, value in options.items() if key in cls.model_fields}
    return cls.model_validate({**given, **fields, **OWN.get(name, {})})


@every_curve
def test_each_duration_of_it_is_among_those_of_these_laws(name: str):
    fields = CURVES[name].model_fields.items()
    durations = {key for key, field in fields if holds_durations(field.annotation)}
    assert durations <= IN_EPOCHS.keys()


@pytest.mark.parametrize("name", sorted(CURVES.keys() - NOT_IN_EPOCHS))
def test_epochs_are_those_at_their_place(name: str):
    config = example(name, IN_EPOCHS | PARTS)
    even, uneven = config.curve(UNIFORM), config.curve(VARYING)
    phases = phases_of(even)
    assert phases_of(uneven) == tuple(
        (label, varied(start), None if end is None else varied(end)) for label, start, end in phases
    )
    for _, start, _ in phases if name not in BY_STEP else ():
        assert uneven(varied(start)) == pytest.approx(even(start))


MARKS = {
    **{name: range(0, 900, 50) for name in ("chebyshev", "exponential", "step")},
    **{name: range(0, 900, 100) for name in CURVES if "unit" in CURVES[name].model_fields},
    "cyclic": (0, 150, 200, 350, 400, 550, 600, 750, 800),
    "product": (0, 100, 200, 250, 400, 600),
}
"""Steps at which a curve without phases is known: where an epoch, or a period, begins or peaks."""


@pytest.mark.parametrize("name", sorted(MARKS))
def test_periods_begin_where_their_epochs_do(name: str):
    config = example(name, IN_EPOCHS | PARTS)
    even, uneven = config.curve(UNIFORM), config.curve(VARYING)
    for step in MARKS[name]:
        assert uneven(varied(step)) == pytest.approx(even(step))


SHARES: dict[str, Any] = {
    "cooldown_duration": "50%",
    "decay_duration": "50%",
    "flat_duration": "50%",
    "hold_duration": "20%",
    "min_factor": 0.125,
    "periods": ["50%", "30%", "20%"],
    "phases": [{"schedule": "linear", "duration": d} for d in ("45%", "remaining", "35%", "20%")],
    "points": [{"at": "50%", "factor": 1}, {"at": "100%", "factor": 0.125}],
    "rise_duration": "50%",
    "tail_duration": "50%",
    "timescale": "50%",
    "warmup_duration": "50%",
}

FINITE = FiniteScheduleConfigBase | DecayScheduleConfigBase
ENDING = sorted(
    name
    for name, cls in CURVES.items()
    if issubclass(cls, FINITE | EndlessScheduleConfigBase)
    or name in {"wsd_s", "sequence", "piecewise", "one_cycle"}
)


@pytest.mark.parametrize("name", ENDING)
def test_shares_that_are_the_whole_together_end_at_the_end(name: str):
    shares = dict(SHARES)
    if name == "tri_stage":
        shares |= {"warmup_duration": "30%", "hold_duration": "70%"}
    if name == "wsd_s":
        shares |= {"warmup_duration": "45%", "decay_fraction": 0.1}
    end = 0.0 if name == "sequence" else 0.125
    config = example(name, shares)
    for total in range(4, 140):
        curve = config.curve(RunLength(total_steps=total))
        assert curve(total) == curve(total + 7) == end
        phases = phases_of(curve)
        assert phases[-1].end in {total, None}


def rises(curve: Any, steps: int) -> None:
    """The first steps go up to almost 1, from almost 0."""
    values = [curve(step) for step in range(steps)]
    assert all(one < other for one, other in pairwise(values))
    assert values[0] <= 0.02
    assert 0.98 <= values[-1] <= 1.0


WARM = sorted(name for name, cls in CURVES.items() if "warmup_duration" in cls.model_fields)


@pytest.mark.parametrize("name", WARM)
@pytest.mark.parametrize("whole", ["100 steps", "1 epochs", "100%"])
def test_a_warm_up_as_long_as_the_run_rises_to_the_peak(name: str, whole: str):
    cls = CURVES[name]
    shorter = {"hold_duration": "0%", "flat_duration": "100%", "tail_duration": "0 steps"}
    options = {"decay_duration": "0 steps", "cooldown_duration": "0 steps", "decay_fraction": 0}
    long = {"timescale": "100%", "periods": ["100%"], "milestones": ["100%"]}
    example_of = example(name, {**shorter, **options, **long, "warmup_duration": whole})
    run = RunLength(total_steps=100, steps_per_epoch=100)
    if issubclass(cls, WarmupScheduleConfigBase):
        rises(example_of.curve(run), 100)
    else:
        rises(lambda step: example_of.curve(run)(step) - 1e-9, 100)


@pytest.mark.parametrize("name", WARM)
def test_a_warm_up_that_is_clipped_rises_to_the_peak(name: str):
    config = example(name, {"warmup_duration": "1000 steps", "timescale": "1000 steps"})
    run = RunLength(total_steps=100, steps_per_epoch=100, shortened="overfit_batches")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curve = config.curve(run)
    is_clipped = name == "linear_warmup_cosine_decay" or issubclass(CURVES[name], FINITE)
    rises(curve, 100 if is_clipped else 1000)


@every_curve
@pytest.mark.parametrize("total", [1, 2, 3, 5])
@pytest.mark.filterwarnings("ignore:.* with fast_dev_run")
def test_a_run_that_is_cut_short_resolves_it(name: str, total: int):
    run = RunLength(
        total_steps=total, steps_per_epoch=total, base_lr=1.0, beta2=0.9, shortened="fast_dev_run"
    )
    for options in ({}, SHARES, {"warmup_duration": "9 steps", "milestones": ["1 epochs"]}):
        try:
            config = example(name, options)
        except ValueError:  # these options do not go together, whatever the run
            continue
        curve = config.curve(run)
        assert all(curve(step) >= 0 for step in range(2 * total))
