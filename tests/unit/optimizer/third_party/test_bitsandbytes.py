"""Optimizers of bitsandbytes load a state as all others do, although theirs calls no hooks."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD

from nshtrainer.configs import BNBAdamW8bitConfig, LinearScheduleConfig, RoutedOptimizerConfig
from nshtrainer.exceptions import ConfigChangedWarning, OptimizerError
from nshtrainer.lr_scheduler import RunLength
from nshtrainer.optimizer_record import call_hooks_on_load

RUN = RunLength(total_steps=4)


def layers(*names: str, width: int = 128) -> nn.Module:
    return nn.ModuleDict({name: nn.Linear(64, width) for name in names})


def made(model: nn.Module, **options: Any) -> Any:
    return BNBAdamW8bitConfig(**options).create_optimizer(model)


def stepped(model: nn.Module) -> Any:
    optimizer = made(model)
    for place, param in enumerate(model.parameters()):
        param.grad = torch.full_like(param, 1.0 + place)
    optimizer.step()
    return optimizer


@pytest.fixture
def saved() -> Any:
    return stepped(layers("stem", "head")).state_dict()


def test_a_state_goes_to_the_parameter_of_its_name(saved: Any):
    model = layers("head", "stem")
    optimizer = made(model)
    optimizer.load_state_dict(saved)
    own = optimizer.state_dict()
    assert own["param_groups"][0]["param_names"][0] == "head.weight"
    for was, now in enumerate([2, 3, 0, 1]):
        assert all(map(torch.equal, tensors(saved["state"][was]), tensors(own["state"][now])))


def tensors(state: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for key in sorted(state):
        value = state[key]
        found += tensors(value) if isinstance(value, dict) else []
        found += [value] if isinstance(value, torch.Tensor) else []
    return found


def test_a_route_takes_its_part_of_a_state():
    model = layers("stem", "head")
    eight_bit = {"name": "bnb_adamw8bit"}
    routes = [{"name": "stem", "select": "stem.*", "optimizer": eight_bit}]
    config = RoutedOptimizerConfig.model_validate({"routes": routes, "default": "adamw"})
    first, second = config.create_optimizer(model), config.create_optimizer(model)
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    first.step()
    second.load_state_dict(first.state_dict())
    for param in model.parameters():
        own, same = tensors(first.state[param]), tensors(second.state[param])
        assert all(map(torch.equal, own, same))


def test_a_state_of_another_shape_is_refused(saved: Any):
    optimizer = made(layers("stem", "head", width=256))
    with pytest.raises(
        OptimizerError, match=r"stem.weight is \(256, 64\), and its saved state1 is"
    ):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("state", [{"state": "text"}, {"state": {0: "text"}}, {"state": {0: {}}}])
def test_a_damaged_state_is_refused_by_a_copy_too(saved: Any, copied: Any, state: Any):
    model = layers("stem", "head")
    both = made(model), copied(made(model))
    for optimizer in both:
        with pytest.raises(OptimizerError, match="the saved state does not fit"):
            optimizer.load_state_dict({**saved, **state, "param_groups": "text"})
        with pytest.raises(OptimizerError, match="the saved state does not fit"):
            optimizer.load_state_dict("text")


def test_a_config_that_changed_is_named(saved: Any):
    optimizer = made(layers("stem", "head"), weight_decay=0.5)
    with pytest.warns(ConfigChangedWarning, match="weight_decay"):
        optimizer.load_state_dict(saved)


def test_a_schedule_is_told_of_a_loaded_state():
    first = stepped(layers("stem"))
    schedule: Any = LinearScheduleConfig().create_scheduler(first, RUN)["scheduler"]
    schedule.step(2)
    second = made(layers("stem"))
    follows: Any = LinearScheduleConfig().create_scheduler(second, RUN)["scheduler"]
    follows.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"] == 5e-4


def test_an_optimizer_that_is_gone_loads_nothing(saved: Any):
    load = made(layers("stem", "head")).load_state_dict
    load(saved)


def test_an_optimizer_that_calls_its_hooks_is_left_as_it_is():
    optimizer = SGD(layers("stem").parameters(), lr=0.1)
    call_hooks_on_load(optimizer)
    assert "load_state_dict" not in vars(optimizer)
