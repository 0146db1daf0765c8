"""What a schedule may ask of a run."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from inspect import signature
from typing import Any, Literal

import pytest
from torch.nn import Linear
from torch.optim.lr_scheduler import ConstantLR

from nshtrainer import RunLength, create
from nshtrainer.configs import (
    CosineScheduleConfig,
    LBFGSConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
    ResumeConfig,
    SGDConfig,
)
from nshtrainer.exceptions import MetricError, OptimizerError, RunLengthError, ScheduleError
from nshtrainer.lr_scheduler import LRSchedulerConfigBase, run_length_of
from nshtrainer.run_context import RunContext, RunOptions
from nshtrainer.run_length import COUNTS, TICKS, LazyRunLength


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


@pytest.mark.parametrize("package", ["lightning", "pytorch_lightning"])
def test_the_integration_of_a_package_is_found_by_its_name(package: str):
    class Trainer:
        fit_loop = max_epochs = None
        max_steps = 7

    Trainer.__module__ = f"{package}.trainer"
    assert run_length_of(type("Derived", (Trainer,), {})()).total_steps == 7


def test_policies_that_are_passed_with_the_lengths_are_kept_in_the_context():
    policy = ResumeConfig(policy="extend")
    run = RunLength(10, resume=policy)
    assert run.context == RunContext(resume=policy)
    assert run == RunLength(10).replace(resume=policy) != RunLength(10)
    assert replace(run, total_steps=20) == RunLength(20, context=run.context)
    timed = run.replace(schedule_clock="successful_steps")
    assert timed.context == RunContext(resume=policy, schedule_clock="successful_steps")
    assert repr(timed) == "RunLength(total_steps=10)"
    assert repr(RunLength(total_time=60)) == "RunLength(total_time=60)"


def test_the_signature_names_lengths_only() -> None:
    named = {each.name for each in signature(RunLength).parameters.values()} - {"options"}
    assert named == {*COUNTS, "total_time"}
    assert RunOptions.__annotations__.keys() - {"context"} <= {f.name for f in fields(RunContext)}
    with pytest.raises(
        TypeError, match="RunLength got an unexpected keyword argument 'total_step'"
    ):
        RunLength(total_step=10)  # type: ignore[call-arg]


class Read(LazyRunLength):
    @property
    def total_steps(self) -> int:  # type: ignore[override]
        return self._steps  # type: ignore[attr-defined]


def test_a_lazy_run_knows_what_it_reads_and_nothing_else():
    run = Read(_steps=7)
    assert (run.total_steps, run.steps_per_epoch, run.by_time()) == (7, None, None)
    assert run.snapshot() == RunLength()
    assert run.replace(steps_per_epoch=3).snapshot() == RunLength(steps_per_epoch=3)
    assert repr(run.replace(steps_per_epoch=3)) == "Read(steps_per_epoch=3)"
    assert run != Read(_steps=7)
    assert len({run, run, Read(_steps=7)}) == 2


# -- what a trainer cannot do ----------------------------------------------------------------------


class EveryOtherEpoch(LRSchedulerConfigBase):
    name: Literal["every_other_epoch"] = "every_other_epoch"
    interval: str = "epoch"
    frequency: int = 2

    def metadata(self) -> Any:
        return {"interval": self.interval, "frequency": self.frequency}

    def create_scheduler_impl(self, optimizer: Any, lightning_module: Any, /) -> Any:
        return ConstantLR(optimizer)


LAYER = Linear(1, 1)
STEPS_ALONE = RunContext(interval_problem="this trainer knows steps alone")
ONLY_STEPS = RunLength(10, context=STEPS_ALONE)


def test_a_scheduler_that_a_trainer_would_move_wrongly_is_refused():
    with pytest.raises(
        ScheduleError, match="every_other_epoch moves every 2 epochs, and this train"
    ):
        create(SGDConfig(), EveryOtherEpoch(), LAYER, ONLY_STEPS)
    with pytest.raises(
        ScheduleError, match="moves every 2 steps, and this trainer knows steps alone"
    ):
        create(SGDConfig(), EveryOtherEpoch(interval="step"), LAYER, ONLY_STEPS)
    create(SGDConfig(), EveryOtherEpoch(interval="step", frequency=1), LAYER, ONLY_STEPS)
    create(SGDConfig(), EveryOtherEpoch(), LAYER, RunLength(10))
    create(SGDConfig(), CosineScheduleConfig(), LAYER, ONLY_STEPS)


def test_a_metric_that_a_trainer_does_not_show_is_refused():
    loss, accuracy = (MetricConfig(monitor=name, mode="min") for name in ("loss", "accuracy"))
    run = RunLength(context=STEPS_ALONE.replace(shown_metric=loss))
    with pytest.raises(
        MetricError, match="looks at accuracy, and the trainer shows loss to its sch"
    ):
        create(SGDConfig(), ReduceLROnPlateauConfig(metric=accuracy), LAYER, run)
    create(SGDConfig(), ReduceLROnPlateauConfig(metric=loss), LAYER, run)


def test_an_optimizer_that_asks_more_than_a_trainer_does_is_refused():
    run = RunLength(context=RunContext(loop_problem="this trainer calls a bare step()"))
    with pytest.raises(
        OptimizerError, match=r"lbfgs cannot work here: this trainer calls a bare st"
    ):
        create(LBFGSConfig(), None, LAYER, run)
    create(SGDConfig(), None, LAYER, run)
    create(LBFGSConfig(), None, LAYER)


def test_a_part_of_a_run_is_a_run_of_its_own():
    assert RunLength(total_steps=10, steps_per_epoch=5).slice(4) == RunLength(4, 5)
    assert RunLength(total_steps=10).slice(0) == RunLength()
    half = RunLength(total_time=60).slice(TICKS // 2)
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
