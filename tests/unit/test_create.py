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
from nshtrainer.exceptions import ArgumentError, ConfigError, OptimizerError, ScheduleError
from nshtrainer.trainer_settings import TrainerSettings


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
    run = RunLength(settings=TrainerSettings(primary_metric=loss))
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


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("admw", r"^optimizer: unknown optimizer 'admw'; did you mean 'adamw'\?"),
        ({"name": "adamw", "lr": -1}, r"^optimizer: lr: must be >= 0 \(got -1\)$"),
        ({"lr": 1}, r"^optimizer: which optimizer\? add 'name: ...'"),
    ],
)
def test_a_name_or_a_mapping_that_is_wrong_is_a_config_error(config: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        nshtrainer.create(config, None, nn.Linear(2, 1))


MODEL = nn.Linear(2, 1)
BUILT = torch.optim.SGD(MODEL.parameters(), lr=0.1)
A, C, R = AdamWConfig(), CosineScheduleConfig(), RunLength(total_steps=4)
ORDER = r"write create\(optimizer_config, scheduler_config, model, run\)"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((C, A, MODEL, R), f"optimizer config is an object of CosineScheduleConfig; .*{ORDER}$"),
        ((A, MODEL, R), f"lr_scheduler config is an object of Linear; .*or None; {ORDER}$"),
        ((A, C, R, MODEL), f"model is an object of RunLength; {ORDER}"),
        ((A, C, A), f"model is an object of AdamWConfig; {ORDER}"),
        ((None, C, MODEL), "optimizer config is None; give a config or a name, such as AdamWConf"),
        ((AdamWConfig, C, MODEL), r"is the class AdamWConfig; write AdamWConfig\(\.\.\.\)$"),
        ((nn.Linear, C, MODEL), "is the class Linear; give a config"),
        ((BUILT, C, MODEL), "built already goes to scheduler_config.create_scheduler$"),
    ],
)
def test_an_argument_of_another_kind_is_a_type_error(arguments: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says) as caught:
        nshtrainer.create(*arguments)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (MODEL.parameters, r"got the method parameters; call it: model.parameters\(\)"),
        (MODEL.state_dict(), "got one OrderedDict; give a list of parameters, or the module"),
        ("model", "got one str"),
        (BUILT, "got one SGD"),
        ([MODEL], r"is a Linear, not a parameter; give the module, or its parameters\(\)"),
    ],
)
def test_what_holds_no_parameters_is_refused(params: Any, says: str) -> None:
    for build in (AdamWConfig().create_optimizer, lambda it: nshtrainer.create(A, None, it)):
        with pytest.raises(OptimizerError, match=says):
            build(params)


def test_a_number_is_no_length_of_a_run() -> None:
    for use in (lambda: nshtrainer.create(A, C, MODEL, 10), lambda: C.preview(10)):
        with pytest.raises(ScheduleError, match=r"or RunLength\(total_steps=10\)$"):
            use()
    with pytest.raises(ScheduleError, match=r"torch.nn.modules.linear.Linear is unknown; pass"):
        C.describe(MODEL)
