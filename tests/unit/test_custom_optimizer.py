"""A config around any optimizer class: in Python, never in a file."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import nn

from nshtrainer import Config
from nshtrainer.configs import LookaheadConfig, OptimizerConfig, optimizer_registry
from nshtrainer.exceptions import ConfigError, OptimizerError
from nshtrainer.optimizer.custom import CustomOptimizerConfig


class Swallowing(torch.optim.SGD):
    """Takes any option, and heeds those that it knows."""

    def __init__(self, params: Any, lr: float = 0.1, **kwargs: Any) -> None:
        super().__init__(params, lr=lr)
        self.kwargs = kwargs


class Run(Config):
    optimizer: OptimizerConfig


def test_a_field_takes_it_and_it_builds_the_class() -> None:
    run = Run(optimizer=CustomOptimizerConfig(Swallowing, lr=0.5))
    net = nn.Linear(2, 1)
    for params in (net, net.parameters(), [{"params": net.parameters()}]):
        optimizer = run.optimizer.create_optimizer(params)
        assert type(optimizer) is Swallowing
        assert optimizer.param_groups[0]["lr"] == 0.5


def test_an_option_that_the_class_would_swallow_is_refused() -> None:
    config = CustomOptimizerConfig(Swallowing, lrr=0.5)
    with pytest.raises(OptimizerError, match=r"unknown option of Swallowing 'lrr'.*'lr'"):
        config.create_optimizer(nn.Linear(2, 1))


def test_it_is_a_value() -> None:
    one, other = (CustomOptimizerConfig(torch.optim.SGD, lr=0.5) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(TypeError, match="frozen"):
        one.options["lr"] = 1.0


def test_wrappers_take_it() -> None:
    config = LookaheadConfig(optimizer=CustomOptimizerConfig(Swallowing))
    assert type(config.create_optimizer(nn.Linear(2, 1))) is Swallowing


def test_it_is_dumped_for_people_and_no_file_can_name_a_class() -> None:
    run = Run(optimizer=CustomOptimizerConfig(torch.optim.SGD, lr=0.5, momentum=torch.float32))
    text = run.to_yaml()
    assert "torch.optim.sgd:SGD" in text
    assert "torch.float32" in text
    assert "custom" not in optimizer_registry
    with pytest.raises(ConfigError, match="unknown optimizer 'custom'"):
        Run.from_yaml(text)
    with pytest.raises((ConfigError, TypeError)):
        CustomOptimizerConfig.from_mapping({"target": "os:system", "options": {}})
