"""A config around any optimizer class: in Python, never in a file."""

from __future__ import annotations

import copy
import pickle
from typing import Any, Literal

import pytest
import torch
from torch import nn

import nshtrainer
from nshtrainer import Config
from nshtrainer.configs import ClippedConfig, LookaheadConfig, OptimizerConfig, optimizer_registry
from nshtrainer.exceptions import ConfigError, OptimizerError
from nshtrainer.optimizer import OptimizerConfigBase
from nshtrainer.optimizer.build import build_optimizer
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


class OwnConfig(OptimizerConfigBase):
    """Written by a user, with a method of its own."""

    name: Literal["own_for_states"] = "own_for_states"

    def create_optimizer(self, params: Any) -> Any:
        return torch.optim.AdamW(params, lr=0.1)


ADAMW = CustomOptimizerConfig(torch.optim.AdamW, lr=0.1)


@pytest.mark.parametrize("gives_module", [True, False])
@pytest.mark.parametrize(
    "create",
    [
        ADAMW.create_optimizer,
        ClippedConfig(max_norm=1.0, optimizer=ADAMW).create_optimizer,
        lambda params: nshtrainer.create(OwnConfig(), None, params)[0],
        lambda params: build_optimizer(LookaheadConfig(optimizer=ADAMW), params),
    ],
    ids=["custom", "clipped", "created", "lookahead"],
)
def test_a_state_of_other_shapes_is_refused(create: Any, gives_module: bool) -> None:
    def made(size: int) -> tuple[nn.Module, Any]:
        net = nn.Linear(8, size)
        return net, create(net if gives_module else net.parameters())

    net, optimizer = made(1)
    net(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(
        OptimizerError, match=r"is \(9, 8\), and its saved (exp_avg|slow) is float tensor \("
    ):
        made(9)[1].load_state_dict(saved)
    made(1)[1].load_state_dict(saved)


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
