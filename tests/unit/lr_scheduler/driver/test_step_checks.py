"""The first steps of a schedule: other code's values and updates, and how a loop calls it."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from tests.support import rates, sgd
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    ExponentialLR,
    LinearLR,
    SequentialLR,
)

from nshtrainer import RunLength
from nshtrainer.configs import (
    HyperparameterScheduleConfig,
    LinearScheduleConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
    SchedulesConfig,
)
from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer_record import notify_step_skipped

SIXTEEN = RunLength(total_steps=16)


def rising(optimizer: Optimizer) -> CurveScheduler:
    """0.1, 0.2, ... 1."""
    return CurveScheduler(optimizer, lambda step: min(step + 1, 10) / 10)


def linear(optimizer: Optimizer) -> Any:
    return LinearScheduleConfig().create_scheduler(optimizer, SIXTEEN)["scheduler"]


def advance(optimizer: Optimizer, scheduler: Any, updates: int) -> list[float]:
    used = []
    for _ in range(updates):
        used.append(rates(optimizer)[0])
        optimizer.step()
        scheduler.step()
    return used


def messages(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(warning.message) for warning in caught]


class TestOthersUpdates:
    def test_torchs_state_dict_of_an_optimizer_changes_no_rate(self):
        model = torch.nn.Linear(2, 1)
        optimizer = SGD(model.parameters(), lr=1.0, momentum=0.9)
        scheduler = rising(optimizer)
        get_optimizer_state_dict(model, optimizer)
        assert advance(optimizer, scheduler, 10) == [(step + 1) / 10 for step in range(10)]

    def test_nothing_is_decided_before_the_first_step_of_the_scheduler(self):
        optimizer = sgd(1.0)
        scheduler = rising(optimizer)
        optimizer.param_groups[0]["lr"] = 0.5
        optimizer.step()
        assert rates(optimizer) == [0.05]  # as if it were the base, for this update
        optimizer.param_groups[0]["lr"] = 0.1
        assert scheduler.base_lrs == [1.0]
        optimizer.step()
        scheduler.step()
        assert rates(optimizer) == [0.2]

    def test_a_found_rate_may_stand_through_several_updates(self):
        optimizer = sgd(1.0)
        scheduler = rising(optimizer)
        optimizer.param_groups[0]["lr"] = 0.5
        for _ in range(2):
            optimizer.step()
            assert rates(optimizer) == [0.05]
        scheduler.step()
        assert rates(optimizer) == [0.1]


class TestOthersValues:
    def test_an_old_warm_up_by_hand_leaves_the_rest_of_the_run_alone(self):
        optimizer = sgd(1.0)
        scheduler = linear(optimizer)
        used = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in range(10):
                if step < 4:
                    optimizer.param_groups[0]["lr"] = (step + 1) / 4
                used += advance(optimizer, scheduler, 1)
        assert used == [0.25, 0.5, 0.75, 1.0, *(1 - step / 16 for step in range(4, 10))]
        assert "the lr 0.5 that was written" in messages(caught)[0]
        assert "base value is 1 again" in messages(caught)[0]

    def test_a_found_rate_stays_the_base_when_another_value_is_overwritten_later(self):
        optimizer = sgd(1.0)
        scheduler = linear(optimizer)
        optimizer.param_groups[0]["lr"] = 0.5
        advance(optimizer, scheduler, 3)
        optimizer.param_groups[0]["lr"] = 0.9
        optimizer.step()
        with pytest.warns(NshtrainerWarning, match="overwritten"):
            scheduler.step()
        assert rates(optimizer) == [0.375]

    def test_a_value_that_is_overwritten_later_is_told_with_the_base_and_its_origin(self):
        optimizer = sgd(1.0)
        scheduler = linear(optimizer)
        optimizer.param_groups[0]["lr"] = 0.5
        advance(optimizer, scheduler, 6)
        optimizer.param_groups[0]["lr"] = 0.9
        optimizer.step()
        told = r"still 0.5, which was written before the first step \(the config has 1\)"
        with pytest.warns(NshtrainerWarning, match=told):
            scheduler.step()

    def test_a_value_that_is_no_base_is_told_at_the_first_step(self):
        optimizer = sgd(1.0)
        scheduler = linear(optimizer)
        for value in (0.25, 0.5):
            optimizer.param_groups[0]["lr"] = value
            optimizer.step()
        with pytest.warns(NshtrainerWarning, match="lr 0.5 that was .*its base value stays 1"):
            scheduler.step()
        assert rates(optimizer) == [0.9375]

    @pytest.mark.parametrize(
        ("start", "updates"), [(0.25, 3), (0.001, 9), (0.1, 7), (0.1, 10), (1 / 3, 5)]
    )
    def test_a_warm_up_of_torchs_that_ends_at_the_base_but_for_rounding_is_not_told(
        self, start: float, updates: int
    ):
        optimizer = sgd(1.0)
        scheduler = linear(optimizer)
        warm_up = LinearLR(optimizer, start, total_iters=updates)
        advance(optimizer, warm_up, updates)
        assert advance(optimizer, scheduler, 3) == pytest.approx([1.0, 15 / 16, 14 / 16])
        assert scheduler.base_lrs == [1.0]

    def test_a_value_in_place_of_a_scheduled_value_is_overwritten(self):
        motion = HyperparameterScheduleConfig(value=LinearScheduleConfig())
        config = SchedulesConfig(default={"momentum": motion, "lr": LinearScheduleConfig()})
        optimizer = sgd(1.0, momentum=0.9)
        scheduler: Any = config.create_scheduler(optimizer, SIXTEEN)["scheduler"]
        optimizer.param_groups[0]["momentum"] = 0.5
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["momentum"] == 0.9375

    def test_beside_a_metric_an_old_warm_up_leaves_the_rest_of_the_run_alone(self):
        loss = MetricConfig(monitor="loss", mode="min")
        config = ReduceLROnPlateauConfig(metric=loss, patience=0, schedule=LinearScheduleConfig())
        optimizer = sgd(1.0)
        scheduler: Any = config.create_scheduler(optimizer, SIXTEEN)["scheduler"]
        for step in range(3):
            optimizer.param_groups[0]["lr"] = (step + 1) / 4
            optimizer.step()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NshtrainerWarning)
                scheduler.step()
        assert rates(optimizer) == [13 / 16]
        scheduler.observe(1.0)
        scheduler.observe(1.0)
        assert rates(optimizer) == pytest.approx([1.3 / 16])


class TestCalls:
    def test_a_step_before_the_first_update_is_told_as_torch_does(self):
        optimizer = sgd(1.0)
        scheduler = rising(optimizer)
        scheduler.step()  # with no update at all nothing is wrong
        with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before"):
            optimizer.step()

    def test_a_step_is_not_early_where_a_scaler_skipped_the_update(self):
        optimizer = sgd(1.0)
        scheduler = rising(optimizer)
        for param in optimizer.param_groups[0]["params"]:
            param.grad = torch.full_like(param, torch.inf)
        scheduler.step()
        optimizer.step()
        assert rates(optimizer) == [0.2]

    def test_a_step_to_a_position_is_anyones_own_business(self):
        optimizer = sgd(1.0)
        scheduler = rising(optimizer)
        scheduler.step(3)
        assert rates(optimizer) == [0.4]

    def test_a_step_once_an_epoch_is_told_once(self):
        optimizer = sgd(1.0)
        scheduler = rising(optimizer)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                for _ in range(3):
                    optimizer.step()
                scheduler.step()
        (message,) = messages(caught)
        assert "3 updates without one" in message
        assert "after each optimizer.step()" in message

    def test_two_updates_for_each_step_are_told(self):
        optimizer = sgd(1.0)
        scheduler = rising(optimizer)
        optimizer.step()
        advance(optimizer, scheduler, 1)
        optimizer.step()
        optimizer.step()
        with pytest.warns(NshtrainerWarning, match="2 updates without one"):
            scheduler.step()

    def test_one_update_more_is_that_of_other_code(self):
        optimizer = sgd(1.0)
        scheduler = rising(optimizer)
        advance(optimizer, scheduler, 1)
        optimizer.step()
        assert advance(optimizer, scheduler, 1) == [0.2]

    def test_a_scheduler_that_never_steps_is_told_once(self):
        optimizer = sgd(1.0)
        scheduler = rising(optimizer)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(20):
                optimizer.step()
        assert ["5 updates without one" in message for message in messages(caught)] == [True]
        assert scheduler.last_epoch == 0


class TestLaterCalls:
    def told(self, act: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            act()
        return messages(caught)

    def never(self, optimizer: Optimizer) -> None:
        for _ in range(12):
            optimizer.step()

    def test_a_schedule_that_is_through_need_not_be_stepped(self):
        optimizer = sgd(1.0)
        scheduler = linear(optimizer)
        advance(optimizer, scheduler, 16)
        assert self.told(lambda: self.never(optimizer)) == []
        assert scheduler.last_epoch == 16

    def test_a_list_of_values_that_is_through_need_not_be_stepped(self):
        optimizer = sgd(1.0)
        values = [1.0, 0.5, 0.25, 0.125]
        scheduler = CurveScheduler(optimizer, lambda step: values[step])
        advance(optimizer, scheduler, 3)
        assert self.told(lambda: self.never(optimizer)) == []

    @pytest.mark.parametrize("how", ["ours", "torchs", "by hand", "of another base"])
    def test_another_may_take_over(self, how: str):
        optimizer = sgd(1.0)
        kept = linear(optimizer)
        advance(optimizer, kept, 4)
        if how == "ours":
            other = linear(optimizer)
            assert self.told(lambda: advance(optimizer, other, 12)) == []
        if how == "torchs":
            assert ExponentialLR(optimizer, 0.9).last_epoch == 0
        if how == "by hand":
            optimizer.param_groups[0]["lr"] = 0.1
        if how == "of another base":
            optimizer.param_groups[0]["initial_lr"] = 0.1
        assert self.told(lambda: self.never(optimizer)) == []

    def test_single_updates_without_a_step_and_skipped_ones_are_not_told(self):
        optimizer = sgd(1.0)
        scheduler = CurveScheduler(optimizer, lambda step: 1 / (1 + step))

        def loop() -> None:
            for at in range(60):
                optimizer.step()
                for _ in range([1, 1, 2, 0, 0, 3, 1][at % 7]):
                    scheduler.step()

        advance(optimizer, scheduler, 3)
        assert self.told(loop) == []

    def test_after_a_step_to_a_position_any_rhythm_will_do(self):
        optimizer = sgd(1.0)
        scheduler = CurveScheduler(optimizer, lambda step: 1 / (1 + step))
        for at in range(30):
            optimizer.step()
            scheduler.step(32 * (at + 1))
        assert rates(optimizer) == [1 / 961]

    def test_where_a_fused_kernel_hears_of_a_bad_update_its_step_is_left_out(self):
        optimizer: Any = sgd(1.0, fused=True)
        scheduler = linear(optimizer)
        advance(optimizer, scheduler, 3)
        notify_step_skipped(optimizer)  # before the scaler calls the kernel
        optimizer.found_inf = torch.ones(1)
        assert advance(optimizer, scheduler, 1) == [0.8125]
        optimizer.found_inf = torch.zeros(1)
        assert advance(optimizer, scheduler, 2) == [0.8125, 0.75]


class TestHooks:
    @pytest.mark.parametrize("clock", ["optimizer_steps", "successful_steps"])
    def test_those_of_schedulers_that_are_gone_are_dropped_by_the_next(self, clock: Any):
        optimizer = sgd(1.0)
        run = RunLength(total_steps=16, schedule_clock=clock)
        counts = []
        for _ in range(5):
            scheduler = LinearScheduleConfig().create_scheduler(optimizer, run)["scheduler"]
            advance(optimizer, scheduler, 2)
            del scheduler
            own = vars(optimizer)
            names = ("step_pre", "step_post", "load_state_dict_post")
            counts.append([len(own[f"_optimizer_{name}_hooks"]) for name in names])
        assert counts == [[1, int(clock == "successful_steps"), 1]] * 5
        optimizer.step()


class TestSequence:
    def test_the_second_of_torchs_sequence_begins_at_its_base(self):
        optimizer = sgd(1.0)
        parts = [LinearLR(optimizer, 0.5, 1.0, 2), CurveScheduler(optimizer, lambda t: 1 - t / 4)]
        sequence = SequentialLR(optimizer, parts, milestones=[2])
        assert advance(optimizer, sequence, 6) == [0.5, 0.75, 1.0, 0.75, 0.5, 0.25]

    def test_the_first_leaves_the_rate_to_the_one_that_follows(self):
        optimizer = sgd(1.0)
        scheduler = CurveScheduler(optimizer, lambda t: (t + 1) / 4)
        parts = [scheduler, ConstantLR(optimizer, 0.5, total_iters=9)]
        sequence = SequentialLR(optimizer, parts, milestones=[2])
        assert advance(optimizer, sequence, 5) == [0.25, 0.5, 0.5, 0.5, 0.5]
        assert scheduler.get_lr() == [0.5]

    @pytest.mark.parametrize("at", [1, 3, 4])
    @pytest.mark.parametrize("order", ["optimizer first", "scheduler first"])
    @pytest.mark.parametrize("ours", [0, 1])
    def test_it_resumes(self, at: int, order: str, ours: int):
        def made() -> tuple[Any, Any]:
            optimizer = sgd(1.0)
            parts: list[Any] = [LinearLR(optimizer, 0.5, 1.0, 9)]
            parts.insert(ours, CurveScheduler(optimizer, lambda t: (t + 1) / 8, label="eighths"))
            return optimizer, SequentialLR(optimizer, parts, milestones=[2])

        optimizer, sequence = made()
        advance(optimizer, sequence, at)
        states = optimizer.state_dict(), sequence.state_dict()
        expected = advance(optimizer, sequence, 4)
        again, resumed = made()
        loads = [(again, states[0]), (resumed, states[1])]
        for each, state in loads if order == "optimizer first" else reversed(loads):
            each.load_state_dict(state)
        assert advance(again, resumed, 4) == expected

    def test_get_lr_is_base_times_curve_whatever_stands_in_the_group(self):
        optimizer = sgd(1.0, 0.5)
        scheduler = rising(optimizer)
        optimizer.param_groups[0]["lr"] = 0.7
        assert scheduler.get_lr() == [0.1, 0.05]
        assert scheduler.get_last_lr() == [0.7, 0.05]
