"""A scheduler after one of PyTorch's, and two schedules of one optimizer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support import rates, sgd
from tests.unit.lr_scheduler.driver.test_step_checks import (
    SIXTEEN,
    advance,
    linear,
    rising,
)
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ExponentialLR,
    LinearLR,
)

from nshtrainer.configs import (
    LinearScheduleConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
    SchedulesConfig,
)
from nshtrainer.exceptions import NshtrainerWarning, ScheduleError


class TestAfterOneOfTorchs:
    """A schedule that is created when a PyTorch scheduler has written the rate."""

    def test_a_warm_up_of_torchs_comes_first(self):
        optimizer = sgd(1.0, 0.5)
        warm_up = LinearLR(optimizer, 0.25, total_iters=3)
        scheduler = linear(optimizer)
        assert advance(optimizer, warm_up, 3) == [0.25, 0.5, 0.75]
        assert advance(optimizer, scheduler, 3) == [1.0, 15 / 16, 14 / 16]
        assert scheduler.base_lrs == [1.0, 0.5]

    def test_a_rate_that_is_handed_over_elsewhere_is_told(self):
        optimizer = sgd(1.0)
        warm_up = LinearLR(optimizer, 0.25, total_iters=6)
        scheduler = linear(optimizer)
        advance(optimizer, warm_up, 3)
        optimizer.step()
        with pytest.warns(NshtrainerWarning, match="lr 0.625 that was .*its base value stays 1"):
            scheduler.step()
        assert rates(optimizer) == [15 / 16]

    def test_one_that_is_gone_leaves_nothing(self):
        optimizer = sgd(1.0)
        scheduler: Any = ExponentialLR(optimizer, 0.5)
        advance(optimizer, scheduler, 2)
        scheduler = rising(optimizer)
        optimizer.step()
        assert rates(optimizer) == [0.1]
        scheduler.step()
        assert rates(optimizer) == [0.2]

    def test_both_at_once_are_refused(self):
        optimizer = sgd(1.0)
        warm_up = LinearLR(optimizer, 0.25, total_iters=9)
        scheduler = linear(optimizer)
        chain = ChainedScheduler([warm_up, scheduler])
        with pytest.warns(NshtrainerWarning, match="overwritten"):
            advance(optimizer, chain, 1)
        with pytest.raises(ScheduleError, match=r"two schedules drive lr .*a PyTorch scheduler"):
            advance(optimizer, chain, 1)


class TestTwoSchedules:
    def test_they_are_refused_with_what_to_write(self):
        optimizer = sgd(1.0)
        one, other = rising(optimizer), linear(optimizer)
        optimizer.step()
        one.step()
        other.step()
        with pytest.raises(ScheduleError, match=r"two schedules drive lr .* Write product"):
            one.step()

    def test_they_are_refused_in_the_middle_of_a_run(self):
        optimizer = sgd(1.0)
        one = linear(optimizer)
        advance(optimizer, one, 5)
        other = linear(optimizer)
        with pytest.raises(ScheduleError, match="linear and linear"):
            advance(optimizer, ChainedScheduler([other, one]), 1)

    def test_of_two_different_hyperparameters_they_work(self):
        optimizer = sgd(1.0, weight_decay=0.5)
        one = linear(optimizer)
        config = SchedulesConfig(default={"weight_decay": LinearScheduleConfig()})
        other: Any = config.create_scheduler(optimizer, SIXTEEN)["scheduler"]
        advance(optimizer, ChainedScheduler([one, other]), 4)
        group = optimizer.param_groups[0]
        assert [group["lr"], group["weight_decay"]] == [0.75, 0.375]

    def test_one_may_take_the_place_of_another(self):
        optimizer = sgd(1.0)
        one = linear(optimizer)
        advance(optimizer, one, 4)
        other = linear(optimizer)
        assert advance(optimizer, other, 4) == [1.0, 0.9375, 0.875, 0.8125]
        assert one.last_epoch == 4

    def test_one_may_follow_the_other_by_hand(self):
        optimizer = sgd(1.0)
        one, other = rising(optimizer), linear(optimizer)
        advance(optimizer, one, 4)
        assert advance(optimizer, other, 3)[1:] == [0.9375, 0.875]
        assert other.base_lrs == [1.0]

    def test_beside_one_of_torchs_by_hand_it_is_refused(self):
        optimizer = sgd(1.0)
        one, other = ExponentialLR(optimizer, 0.5), linear(optimizer)
        advance(optimizer, other, 1)
        one.step()
        with pytest.raises(ScheduleError, match="linear and a PyTorch scheduler"):
            advance(optimizer, other, 1)

    def test_it_may_follow_one_of_torchs_by_hand(self):
        optimizer = sgd(1.0)
        advance(optimizer, LinearLR(optimizer, 0.25, 1.0, 6), 6)
        other = linear(optimizer)
        assert advance(optimizer, other, 3) == [1.0, 0.9375, 0.875]

    @pytest.mark.parametrize("curve_first", [True, False])
    def test_a_curve_beside_one_that_looks_at_a_metric_is_refused(self, curve_first: bool):
        loss = MetricConfig(monitor="loss", mode="min")
        config = ReduceLROnPlateauConfig(metric=loss, patience=0)
        optimizer = sgd(1.0, weight_decay=0.5)
        if curve_first:
            curve = linear(optimizer)
        metric: Any = config.create_scheduler(optimizer, SIXTEEN)["scheduler"]
        if not curve_first:
            curve = linear(optimizer)
        advance(optimizer, curve, 3)
        metric.step(1.0)
        advance(optimizer, curve, 3)
        metric.step(1.0)
        with pytest.raises(ScheduleError, match=r"ReduceLROnPlateau and linear.*schedule: {"):
            advance(optimizer, curve, 1)
