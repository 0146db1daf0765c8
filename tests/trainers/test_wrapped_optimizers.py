"""Optimizers within those of Lightning, Fabric and torch's own wrappers: one record for all."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn

from nshtrainer import RunLength
from nshtrainer.configs import AdamWConfig, LinearScheduleConfig, SAMConfig, SkippingConfig
from nshtrainer.optimizer_record import get_requirements, record_of


class Accelerated(torch.optim.Optimizer):
    """As Accelerate wraps one: without the attributes of an optimizer, but for those it passes."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups

    @property
    def _optimizer_step_post_hooks(self) -> Any:
        return self.optimizer._optimizer_step_post_hooks

    @property
    def _optimizer_step_pre_hooks(self) -> Any:
        return self.optimizer._optimizer_step_pre_hooks

    @property
    def _optimizer_load_state_dict_post_hooks(self) -> Any:
        return self.optimizer._optimizer_load_state_dict_post_hooks


def by_fabric(model: nn.Module, optimizer: Any) -> Any:
    return Fabric(accelerator="cpu", devices=1).setup(model, optimizer)[1]


WRAPPED = {
    "fabric": by_fabric,
    "lightning": lambda _, optimizer: LightningOptimizer(optimizer),
    "accelerate": lambda _, optimizer: Accelerated(optimizer),
}
every_wrapper = pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)


@every_wrapper
def test_a_scheduler_of_a_wrapped_optimizer_stands_still_where_a_step_is_skipped(wrap: Any) -> None:
    model = nn.Linear(2, 1)
    optimizer = SkippingConfig(optimizer=AdamWConfig()).create_optimizer(model)
    outer = wrap(model, optimizer)
    run = RunLength(total_steps=10)
    scheduler: Any = LinearScheduleConfig().create_scheduler(outer, run)["scheduler"]
    positions = []
    for scale in (1.0, math.nan, 1.0):
        optimizer.zero_grad()
        (scale * model(torch.ones(1, 2)).sum()).backward()
        optimizer.step()
        scheduler.step()
        positions.append(scheduler.last_epoch)
    assert positions == [1, 1, 2]


@every_wrapper
def test_what_an_optimizer_requires_is_known_of_a_wrapped_one(wrap: Any) -> None:
    model = nn.Linear(2, 1)
    optimizer = SAMConfig(optimizer=AdamWConfig()).create_optimizer(model)
    outer = wrap(model, optimizer)
    assert get_requirements(outer).closure
    assert record_of(outer) is record_of(optimizer)


@every_wrapper
def test_the_record_of_a_users_optimizer_is_that_of_the_one_within(wrap: Any) -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert record_of(wrap(model, optimizer)) is record_of(optimizer)
