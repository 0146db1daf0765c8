"""A loss or a gradient that is not finite, with manual optimization."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.trainers.support import QUIET
from tests.trainers.test_non_finite import BAD, GOOD, SKIP, Model, data, fit
from torch import Tensor, nn

import nshtrainer
from nshtrainer.exceptions import BadUpdateError

# -- by hand ---------------------------------------------------------------------------------------


class ByHand(Model):
    """Two optimizers with a schedule each; the bad batch is bad for the second alone."""

    automatic_optimization = False

    def training_step(self, batch: Tensor) -> None:
        one, other = self.optimizers()
        for optimizer, schedule, scale in zip(
            (one, other), self.lr_schedulers(), (batch.nan_to_num(1.0), batch), strict=True
        ):
            optimizer.zero_grad()
            self.manual_backward(self(scale))
            optimizer.step()
            schedule.step()

    def configure_optimizers(self) -> Any:
        both = [
            self.hparams.optimizer.create_optimizer(part) for part in (self.net[0], self.net[2])
        ]
        schedule = self.hparams.lr_scheduler
        return both, [schedule.create_scheduler(each, self)["scheduler"] for each in both]


def test_of_two_optimizers_by_hand_the_one_with_the_bad_gradients_skips() -> None:
    run = fit(ByHand(**SKIP), BAD)
    assert [each.param_groups[0]["skipped"] for each in run.optimizers] == [0, 1]
    assert [each.scheduler.last_epoch for each in run.lr_scheduler_configs] == [5, 4]
    assert [{float(s["step"]) for s in each.state.values()} for each in run.optimizers] == [
        {5},
        {4},
    ]


def test_by_hand_a_run_stops_as_well() -> None:
    with pytest.raises(BadUpdateError, match=r"update 5 .*2 of 2 parameters"):
        fit(ByHand(), BAD)


class Bare(ByHand):
    """Steps the optimizers of torch, without Lightning's around them."""

    def training_step(self, batch: Tensor) -> None:
        pairs = zip(self.optimizers(use_pl_optimizer=False), self.lr_schedulers(), strict=True)
        for (optimizer, schedule), scale in zip(pairs, (batch.nan_to_num(1.0), batch), strict=True):
            optimizer.zero_grad()
            self(scale).backward()
            optimizer.step()
            schedule.step()


def test_by_hand_a_step_without_lightning_around_it_is_looked_at() -> None:
    run = fit(Bare(**SKIP), BAD)
    assert [each.param_groups[0].get("skipped") for each in run.optimizers] == [0, 1]
    assert [each.scheduler.last_epoch for each in run.lr_scheduler_configs] == [5, 4]
    with pytest.raises(BadUpdateError, match=r"2 of 2 parameters"):
        fit(Bare(), BAD)


@pytest.mark.parametrize("kind", [ByHand, Bare])
def test_after_a_run_the_optimizers_are_as_they_were(kind: Any) -> None:
    for batches in (GOOD, [math.nan] * 11):
        module = kind(**SKIP)
        made = nshtrainer.Trainer(**{**QUIET, "max_epochs": 1})
        try:
            made.fit(module, data(batches))
        except BadUpdateError:
            assert batches is not GOOD
        for optimizer in made.optimizers:
            assert "step" not in vars(optimizer)
            hooks = vars(optimizer)["_optimizer_step_pre_hooks"].values()
            assert not any(type(hook).__name__ == "_GradientHook" for hook in hooks)


def test_a_gradient_that_is_too_large_to_be_squared_stops_a_run() -> None:
    with pytest.raises(BadUpdateError, match="4 of 4 parameters are too large to be squared"):
        fit(Model(), [1.0, 1e37])


class Wide(Model):
    """Each gradient is 1e18, and their norm is no number of 32 bits."""

    def __init__(self, **hparams: Any) -> None:
        super().__init__({"name": "sgd", "lr": 0.1}, **hparams)
        self.net = nn.Linear(4096, 64, bias=False)  # type: ignore[assignment]

    def training_step(self, batch: Tensor) -> Tensor:
        return (self.net.weight.double().sum() * batch).float()  # type: ignore[union-attr]


def test_gradients_whose_norm_overflows_stop_a_run_or_are_skipped() -> None:
    options: dict[str, Any] = {"gradient_clip_val": 1.0}
    with pytest.raises(BadUpdateError, match="the norm of the gradients of all 1 parameters is to"):
        fit(Wide(), [1e18], **options)
    run = fit(Wide(**SKIP), [1e18], **options)
    assert run.optimizers[0].param_groups[0]["skipped"] == 1
