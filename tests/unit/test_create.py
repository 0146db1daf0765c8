"""An optimizer and its scheduler, built at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

import nshtrainer
from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    ConstantScheduleConfig,
    CosineScheduleConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
    SGDConfig,
)
from nshtrainer.exceptions import ArgumentError, OptimizerError, ScheduleError
from nshtrainer.run_context import RunContext


def test_both_are_torchs_own_and_belong_together() -> None:
    model = nn.Linear(2, 1)
    optimizer, scheduler = nshtrainer.create(
        AdamWConfig(lr=0.1, no_decay="ndim_below_2", weight_decay=0.5),
        CosineScheduleConfig(),
        model,
        RunLength(total_steps=4),
    )
    assert type(optimizer) is torch.optim.AdamW
    assert isinstance(scheduler, LRScheduler)
    assert scheduler.optimizer is optimizer
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    optimizer.step()
    scheduler.step()
    assert 0 < scheduler.get_last_lr()[0] < 0.1


def test_the_states_have_the_names_of_the_model() -> None:
    model = nn.Linear(2, 1)
    optimizer, _ = nshtrainer.create(AdamWConfig(), ConstantScheduleConfig(), model)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_without_a_schedule_there_is_no_scheduler() -> None:
    optimizer, scheduler = nshtrainer.create(SGDConfig(lr=0.5), None, nn.Linear(2, 1))
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert scheduler is None


def test_a_schedule_that_looks_at_a_metric_takes_that_of_the_run() -> None:
    loss = MetricConfig(monitor="loss", mode="min")
    run = RunLength(context=RunContext(primary_metric=loss))
    plateau = ReduceLROnPlateauConfig(patience=0, factor=0.5)
    _, scheduler = nshtrainer.create(SGDConfig(lr=1.0), plateau, nn.Linear(2, 1), run)
    assert isinstance(scheduler, ReduceLROnPlateau)
    for loss in (1.0, 2.0):
        scheduler.step(loss)
    assert scheduler.get_last_lr() == [0.5]


def test_a_schedule_of_the_whole_run_has_to_know_how_long_that_is() -> None:
    with pytest.raises(ScheduleError, match=r"total_steps"):
        nshtrainer.create(SGDConfig(), CosineScheduleConfig(), nn.Linear(2, 1))


@pytest.mark.parametrize("run", [100, "100 steps", nn.Linear(2, 1)])
def test_what_is_no_run_is_refused_in_words(run: Any) -> None:
    with pytest.raises(ScheduleError, match=r"pass the LightningModule, .* or RunLength\("):
        nshtrainer.create(SGDConfig(), CosineScheduleConfig(), nn.Linear(2, 1), run)


# -- what is no config -----------------------------------------------------------------------------


def test_a_name_or_a_mapping_is_read_as_a_field_reads_it() -> None:
    model, run = nn.Linear(2, 1), RunLength(total_steps=4)
    optimizer, scheduler = nshtrainer.create({"name": "sgd", "lr": 0.5}, "cosine", model, run)
    assert (optimizer.defaults["lr"], scheduler.get_last_lr()) == (0.5, [0.5])


def test_an_argument_of_another_kind_is_a_type_error() -> None:
    config: Any = CosineScheduleConfig()
    with pytest.raises(ArgumentError) as caught:
        nshtrainer.create(config, None, nn.Linear(2, 1))
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("model", [AdamWConfig(), "model", None])
def test_what_holds_no_parameters_is_refused(model: Any) -> None:
    with pytest.raises(
        (ArgumentError, OptimizerError), match=r"got one|is an object of AdamWCo|is None"
    ):
        nshtrainer.create(AdamWConfig(), None, model)
