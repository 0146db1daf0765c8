"""Torch's own schedulers by name: units, absolute rates, momentum, nesting, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from nshtrainer import RunLength
from nshtrainer.configs import (
    ChainedSchedulerConfig,
    ConstantLRConfig,
    ConstantScheduleConfig,
    CosineAnnealingLRConfig,
    CosineScheduleConfig,
    CyclicLRConfig,
    ExponentialLRConfig,
    ExponentialScheduleConfig,
    LambdaLRConfig,
    MultiplicativeLRConfig,
    MultiStepLRConfig,
    OneCycleLRConfig,
    SequentialLRConfig,
    StepLRConfig,
    SWALRConfig,
)
from nshtrainer.exceptions import RunLengthError, ScheduleError
from nshtrainer.lr_scheduler.curves import Epochs, OneCycle, phases_of


def values(config: Any, steps: int, run: RunLength | None = None) -> list[float]:
    curve = config.curve(run or RunLength())
    return [round(curve(step), 6) for step in range(steps)]


def weights() -> list[torch.Tensor]:
    return [torch.nn.Parameter(torch.ones(1))]


def drive(config: Any, optimizer: Any, updates: int, run: RunLength | None = None) -> list[Any]:
    scheduler = config.create_scheduler(optimizer, run or RunLength())["scheduler"]
    groups = []
    for _ in range(updates):
        groups.append(dict(optimizer.param_groups[0]))
        optimizer.step()
        scheduler.step()
    return groups


# -- the unit --------------------------------------------------------------------------------------


def test_in_epochs_the_value_changes_where_an_epoch_begins():
    config = ExponentialLRConfig(gamma=0.5, unit="epoch")
    assert values(config, 7, RunLength(steps_per_epoch=3)) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_epochs_may_differ_in_length_and_the_last_one_repeats():
    config = ExponentialLRConfig(gamma=0.5, unit="epoch")
    used = values(config, 8, RunLength(steps_per_epoch=(1, 3, 2)))
    assert used == [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_epochs_of_a_broken_number_of_steps_are_counted_exactly():
    epochs = Epochs((0.1,))
    assert [epochs.of(step) for step in (0, 1, 2, 10**15)] == [0, 10, 20, 10**16]
    assert all(epochs.of(epochs.start(10 * step)) == 10 * step for step in range(1000))


def test_in_epochs_of_an_unknown_length_there_is_no_curve():
    config = StepLRConfig(step_size=3, unit="epoch")
    with pytest.raises(RunLengthError, match="unit: epochs cannot be counted, because the number"):
        config.curve(RunLength(total_steps=100))
    with pytest.raises(RunLengthError, match="because nobody knows"):
        config.curve(RunLength(unknown_because="nobody knows"))


def test_in_epochs_the_phases_begin_where_epochs_do():
    config = MultiStepLRConfig(milestones=(1, 3), gamma=0.5, unit="epoch")
    phases = phases_of(config.curve(RunLength(steps_per_epoch=(2, 5))))
    assert [(start, end) for _, start, end in phases] == [(0, 2), (2, 12), (12, None)]


def test_in_steps_nobody_asks_for_an_epoch():
    class Strict(RunLength):
        @property
        def steps_per_epoch(self) -> None:  # type: ignore[override]
            raise AssertionError

    run = object.__new__(Strict)
    run.__dict__.update({k: v for k, v in vars(RunLength()).items() if k != "steps_per_epoch"})
    parts = (StepLRConfig(step_size=3), ExponentialLRConfig(gamma=0.5))
    assert values(SequentialLRConfig(schedulers=parts, milestones=(1,)), 3, run) == [1, 1, 0.5]


def test_a_growing_rate_stays_a_number():
    assert ExponentialLRConfig(gamma=2.0).curve(RunLength())(10**12) == 1e30


# -- absolute rates --------------------------------------------------------------------------------


def test_a_least_rate_is_absolute_and_not_above_the_base_rate():
    config = CosineAnnealingLRConfig(T_max=2, eta_min=0.05)
    assert values(config, 3, RunLength(base_lr=0.1)) == [1.0, 0.75, 0.5]
    with pytest.raises(RunLengthError, match=r"eta_min: 0\.05 is a rate, not a factor"):
        config.curve(RunLength())
    with pytest.raises(ScheduleError, match=r"eta_min: 0\.05 is above the rate"):
        config.curve(RunLength(base_lr=0.01))


def test_each_group_goes_down_to_the_same_least_rate():
    first, second = weights(), weights()
    optimizer = torch.optim.SGD([{"params": first, "lr": 0.4}, {"params": second}], lr=0.1)
    config = CosineAnnealingLRConfig(T_max=2, eta_min=0.05)
    drive(config, optimizer, 2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]


def test_the_rate_of_weight_averaging_may_be_above_the_base_rate():
    config = SWALRConfig(swa_lr=0.3, anneal_epochs=2, anneal_strategy="linear")
    assert values(config, 4, RunLength(base_lr=0.1)) == [1.0, 2.0, 3.0, 3.0]
    with pytest.raises(ScheduleError, match="swa_lr"):
        config.curve(RunLength(base_lr=0.0))


def test_with_no_time_to_anneal_the_rate_of_weight_averaging_is_there_at_once():
    assert values(SWALRConfig(swa_lr=0.1, anneal_epochs=0), 2, RunLength(base_lr=0.2)) == [0.5, 0.5]


# -- momentum --------------------------------------------------------------------------------------

CYCLE = CyclicLRConfig(base_lr=0.1, max_lr=0.3, step_size_up=2, base_momentum=0.5, max_momentum=0.9)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_the_momentum_moves_against_the_rate(optimizer: str):
    options = {"momentum": 0.1} if optimizer == "SGD" else {}
    made = getattr(torch.optim, optimizer)(weights(), lr=1.0, **options)
    groups = drive(CYCLE, made, 4)
    momenta = [group["momentum"] if options else group["betas"][0] for group in groups]
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.2, 0.3, 0.2])
    assert momenta == pytest.approx([0.9, 0.7, 0.5, 0.7])


def test_where_there_is_no_momentum_that_is_said_and_it_can_be_switched_off():
    optimizer = torch.optim.Adagrad(weights(), lr=1.0)
    with pytest.raises(ScheduleError, match=r"no hyperparameter 'betas\.0'"):
        CYCLE.create_scheduler(optimizer, RunLength())
    off = CYCLE.replace(cycle_momentum=False)
    rates = [group["lr"] for group in drive(off, torch.optim.Adagrad(weights(), lr=1.0), 3)]
    assert rates == pytest.approx([0.1, 0.2, 0.3])


def test_a_group_with_a_rate_of_zero_gets_the_rates_of_the_cycle_too():
    groups = drive(CYCLE, torch.optim.SGD(weights(), lr=0.0), 2)
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.2])


def test_a_cycle_in_epochs_moves_both_by_the_epoch():
    config = CYCLE.replace(unit="epoch")
    groups = drive(config, torch.optim.SGD(weights(), lr=1.0), 3, RunLength(steps_per_epoch=2))
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.1, 0.2])
    assert [group["momentum"] for group in groups] == pytest.approx([0.9, 0.9, 0.7])


def test_a_scale_may_be_a_schedule_of_the_cycle_or_of_the_step():
    halving = ExponentialScheduleConfig(step_duration="1 step", gamma=0.5)
    run = RunLength(base_lr=1.0)
    scaled = CYCLE.replace(scale_fn=halving)
    assert values(scaled, 8, run) == values(CYCLE.replace(mode="triangular2"), 8, run)
    scaled = scaled.replace(scale_mode="iterations")
    assert values(scaled, 8, run) == values(CYCLE.replace(mode="exp_range", gamma=0.5), 8, run)


def test_a_scale_above_one_counts_as_one():
    large = CYCLE.replace(scale_fn=ConstantScheduleConfig(factor=10.0))
    for first, second in zip(large.tracks(RunLength()), CYCLE.tracks(RunLength()), strict=True):
        assert [first.curve(t) for t in range(8)] == [second.curve(t) for t in range(8)]


def cycle(run: RunLength, **options: Any) -> Any:
    curve: Any = OneCycleLRConfig(max_lr=1.0, **options).tracks(run)[0].curve
    return getattr(curve, "curve", curve)


def test_one_cycle_takes_its_length_from_the_run_where_nothing_else_is_said():
    run = RunLength(total_steps=45, steps_per_epoch=10)
    assert cycle(run).total == 45
    assert cycle(run, unit="epoch").total == 5
    assert cycle(run, epochs=3).total == 30
    assert cycle(run, epochs=3, unit="epoch").total == 3
    assert cycle(run, epochs=3, steps_per_epoch=7).total == 21
    assert cycle(run, total_steps=9).total == 9


def test_one_cycle_of_an_unknown_length_says_what_to_give():
    with pytest.raises(RunLengthError, match="give total_steps, or epochs and steps_per_epoch"):
        cycle(RunLength())


def test_one_cycle_tells_its_ways_as_phases():
    three = OneCycle(0.1, 1.0, 0.01, total=10, share=0.4, three_phase=True)
    assert [tuple(phase) for phase in phases_of(three)] == [
        ("rise", 0, 3),
        ("fall", 3, 6),
        ("fall", 6, 9),
    ]


# -- schedulers of schedulers ----------------------------------------------------------------------


def test_the_last_part_of_a_sequence_asks_for_the_end_of_the_run_only_where_it_needs_it():
    parts = (ConstantLRConfig(factor=0.5, total_iters=2), CosineScheduleConfig())
    config = SequentialLRConfig(schedulers=parts, milestones=(2,))
    assert values(config, 7, RunLength(total_steps=6)) == [
        0.5, 0.5, 1.0, 0.853553, 0.5, 0.146447, 0.0,
    ]  # fmt: skip
    for run in (RunLength(), RunLength(total_steps=2)):
        with pytest.raises(RunLengthError, match="max_duration"):
            config.curve(run)


def test_the_parts_of_a_whole_in_epochs_count_epochs():
    parts = (ConstantLRConfig(factor=0.5, total_iters=9), ExponentialLRConfig(gamma=0.5))
    config = SequentialLRConfig(schedulers=parts, milestones=(2,), unit="epoch")
    run = RunLength(steps_per_epoch=(1, 2))
    assert values(config, 8, run) == [0.5, 0.5, 0.5, 1, 1, 0.5, 0.5, 0.25]


def test_a_chain_may_count_steps_in_one_part_and_epochs_in_another():
    parts = (ConstantLRConfig(factor=0.5, total_iters=1), StepLRConfig(step_size=1, unit="epoch"))
    config = ChainedSchedulerConfig(schedulers=parts)
    assert values(config, 4, RunLength(steps_per_epoch=2)) == [0.5, 1.0, 0.1, 0.1]


def test_a_lambda_in_epochs_sees_a_run_of_epochs():
    config = LambdaLRConfig(lr_lambda=CosineScheduleConfig(), unit="epoch")
    run = RunLength(total_steps=7, steps_per_epoch=2)
    assert values(config, 9, run) == [1, 1, 0.853553, 0.853553, 0.5, 0.5, 0.146447, 0.146447, 0]


def test_a_part_that_moves_the_momentum_is_refused_when_it_is_resolved():
    config = ChainedSchedulerConfig(schedulers=(CYCLE,))
    run = RunLength(base_lr=0.1)
    with pytest.raises(ScheduleError, match="cyclic_lr moves momentum as well"):
        config.curve(run)
    still = ChainedSchedulerConfig(schedulers=(CYCLE.replace(cycle_momentum=False),))
    assert values(still, 3, run) == [1, 2, 3]


@pytest.mark.parametrize(("unit", "expected"), [("step", 0.25), ("epoch", 0.25)])
def test_multiplicative_builds_torchs_own_which_keeps_plain_data(unit: Any, expected: float):
    half = ConstantScheduleConfig(factor=0.5)
    config = MultiplicativeLRConfig(lr_lambda=half, unit=unit)
    optimizer = torch.optim.SGD(weights(), lr=1.0)
    made = config.create_scheduler(optimizer, RunLength(steps_per_epoch=5))
    scheduler = made["scheduler"]
    assert made.get("interval") == unit
    assert type(scheduler) is torch.optim.lr_scheduler.MultiplicativeLR
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    assert scheduler.get_last_lr() == [expected]
    assert pickle.loads(pickle.dumps(scheduler.state_dict()))["lr_lambdas"] == [None]


# -- what is refused -------------------------------------------------------------------------------

REFUSED: dict[str, tuple[type, dict[str, Any], str]] = {
    "a negative gamma": (StepLRConfig, {"step_size": 1, "gamma": -0.1}, "must be >= 0"),
    "a gamma of nan": (ExponentialLRConfig, {"gamma": float("nan")}, "finite"),
    "a step size of 0": (StepLRConfig, {"step_size": 0}, "must be > 0"),
    "a broken step size": (StepLRConfig, {"step_size": 2.0}, "must be a whole number"),
    "milestones in disorder": (MultiStepLRConfig, {"milestones": (5, 3)}, r"got 5, 3"),
    "a milestone twice": (MultiStepLRConfig, {"milestones": (3, 3)}, "each must come after"),
    "no milestones": (MultiStepLRConfig, {"milestones": ()}, "at least 1 item"),
    "no wave": (CosineAnnealingLRConfig, {"T_max": 0}, "must be > 0"),
    "a negative least rate": (CosineAnnealingLRConfig, {"T_max": 1, "eta_min": -1}, "eta_min"),
    "no time at a constant": (ConstantLRConfig, {"total_iters": 0}, "must be > 0"),
    "a base above the peak": (
        CyclicLRConfig, {"base_lr": 2, "max_lr": 1}, r"base_lr \(2.0\) is above max_lr \(1.0\)"
    ),
    "momenta the wrong way round": (
        CyclicLRConfig, {"base_lr": 1, "max_lr": 2, "base_momentum": 0.95}, "above max_momentum"
    ),
    "a gamma without effect": (
        CyclicLRConfig, {"base_lr": 1, "max_lr": 2, "gamma": 0.9}, "no effect in this mode"
    ),
    "a scale and a mode": (
        CyclicLRConfig,
        {"base_lr": 1, "max_lr": 2, "mode": "triangular2", "scale_fn": {"name": "constant"}},
        "scale_fn stands instead of a mode",
    ),
    "a scale mode without effect": (
        CyclicLRConfig, {"base_lr": 1, "max_lr": 2, "scale_mode": "iterations"}, "without scale_fn"
    ),
    "a share of all": (OneCycleLRConfig, {"max_lr": 1, "pct_start": 1.0}, "must be < 1"),
    "a share of nothing": (OneCycleLRConfig, {"max_lr": 1, "pct_start": 0.0}, "must be > 0"),
    "two lengths": (OneCycleLRConfig, {"max_lr": 1, "total_steps": 5, "epochs": 5}, "useless"),
    "half a length": (OneCycleLRConfig, {"max_lr": 1, "steps_per_epoch": 5}, "without epochs"),
    "one cycle's momenta": (OneCycleLRConfig, {"max_lr": 1, "base_momentum": 0.99}, "is above"),
    "a start above the peak": (OneCycleLRConfig, {"max_lr": 1, "div_factor": 0.5}, "the highest"),
    "an end above the peak": (
        OneCycleLRConfig, {"max_lr": 1, "final_div_factor": 0.01}, "not the highest"
    ),
    "three phases too long": (
        OneCycleLRConfig, {"max_lr": 1, "pct_start": 0.6, "three_phase": True}, "0.5 or less"
    ),
    "too many milestones": (
        SequentialLRConfig,
        {"schedulers": [{"name": "exponential_lr", "gamma": 1}], "milestones": (1,)},
        r"one milestone fewer than schedulers: 0 \(got 1\)",
    ),
    "epochs in a part": (
        SequentialLRConfig,
        {
            "schedulers": [{"name": "exponential_lr", "gamma": 1, "unit": "epoch"}],
            "milestones": (),
        },
        "set unit: epoch of the whole",
    ),
    "a part that is no curve": (
        ChainedSchedulerConfig, {"schedulers": [{"name": "reduce_lr_on_plateau"}]}, "no function"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_torch_accepts_in_silence_is_refused(what: str):
    cls, options, says = REFUSED[what]
    with pytest.raises(ValidationError, match=says):
        cls(**options)
