"""Run lengths in samples, tokens and time, under Lightning."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from tests.trainers.support import (
    BOTH_TRAINERS,
    Rates,
    Rows,
    Tiny,
    TinyConfig,
    data,
    trainer,
)
from tests.trainers.test_run_length import Asking

from nshtrainer.configs import (
    TokensConfig,
)
from nshtrainer.exceptions import RunLengthError

# -- units beside steps and epochs ---------------------------------------------------------------


class Shown(TinyConfig):
    tokens_per_step: int = 512


class Telling(Asking):
    @classmethod
    def hparams_cls(cls) -> Any:
        return Shown


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_samples_are_those_of_the_loader_and_its_accumulation(make: Any):
    module = Asking()
    trainer(make, max_epochs=1, accumulate_grad_batches=4).fit(module, data())
    assert module.run.samples_per_step == 8
    with pytest.raises(RunLengthError, match="tokens_per_step is unknown"):
        TokensConfig(value=5).resolve(module.run)


def test_without_one_batch_size_nobody_knows_the_samples():
    loader = data()
    module = Asking()
    plan_of = GradientAccumulationScheduler({0: 1, 1: 2})
    trainer(max_epochs=1, callbacks=[plan_of]).fit(module, loader)
    assert module.run.samples_per_step is None
    own_batches = torch.utils.data.DataLoader(Rows(6), batch_sampler=[[0, 1], [2], [3, 4, 5]])
    trainer(max_epochs=1).fit(module, own_batches)
    assert module.run.samples_per_step is None


def test_hyperparameters_may_say_what_a_step_shows():
    module = Telling()
    trainer(max_epochs=1).fit(module, data())
    assert module.run.tokens_per_step == 512


class Ticking(Tiny):
    """Each batch takes a quarter of a second, on a clock that nothing else moves."""

    def on_train_batch_end(self, *_: Any) -> None:
        self.watch.now += 0.25


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Any:
    watch = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: watch.now)
    Ticking.watch = watch
    return lambda schedule: Ticking({"lr_scheduler": schedule})


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_a_run_limited_by_time_alone_follows_the_clock(timed: Any, make: Any):
    rates = Rates()
    trainer(make, max_time="00:00:00:02", callbacks=[rates]).fit(timed("linear"), data())
    used = list(rates.seen.values())
    assert used[0] == 0.1
    # A scheduler moves before the end of its batch, so the second value is that of the first.
    assert used[1:] == pytest.approx([0.1 * (1 - t / 8) for t in range(len(used) - 1)])
    assert len(used) in {8, 9}


def test_in_such_a_run_steps_alone_are_steps_still(timed: Any):
    rates = Rates()
    schedule = {"name": "constant", "warmup_duration": "4 steps", "warmup_start_factor": 0.0}
    trainer(max_time="00:00:00:02", callbacks=[rates]).fit(timed(schedule), data())
    assert [rates.seen[t] for t in range(5)] == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])


def test_in_such_a_run_steps_and_shares_do_not_mix(timed: Any):
    schedule = {"name": "linear", "warmup_duration": "4 steps"}
    with pytest.raises(RunLengthError, match=r"4 steps cannot become a time.*'5 minutes'"):
        trainer(max_time="00:00:00:01").fit(timed(schedule), data())


def test_a_limit_in_steps_wins_over_one_in_time(timed: Any):
    rates = Rates()
    options = {"max_time": "00:00:01:00", "max_steps": 4}
    trainer(**options, callbacks=[rates]).fit(timed("linear"), data())
    assert list(rates.seen.values()) == pytest.approx([0.1, 0.075, 0.05, 0.025])
