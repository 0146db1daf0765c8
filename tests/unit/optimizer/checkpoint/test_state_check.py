"""The memory of a saved state: strides, layouts and kinds of its tensors."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from tests.support import CONFIG_CHANGED
from tests.unit.optimizer.checkpoint.test_hooks import Layers, assert_equal, saved, step
from torch import Tensor, nn

from nshtrainer.configs import (
    AdamWConfig,
    LBFGSConfig,
)
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer.checkpoint.hooks import resume_by_name

pytestmark = pytest.mark.filterwarnings(CONFIG_CHANGED)


# -- the memory of a state -------------------------------------------------------------------------


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 4, 2)

    def loss(self) -> Tensor:
        return self.layer(torch.arange(27.0).reshape(1, 3, 3, 3) / 27).square().sum()


@pytest.mark.parametrize("fused", [None, True])
def test_a_state_whose_memory_has_another_order_trains_the_same(fused: bool | None):
    config = AdamWConfig(lr=0.1, fused=fused)
    model, state = saved(config, Convolution())
    twins = [copy.deepcopy(model) for _ in range(3)]
    orders = [
        lambda value: value,
        lambda value: value.to(memory_format=torch.channels_last),
        lambda value: value.mean().expand(value.shape) + 0 * value,
    ]
    for twin, order in zip(twins, orders, strict=True):
        other = copy.deepcopy(state)
        moments = other["state"][0]
        moments["exp_avg"] = order(moments["exp_avg"])
        again = config.create_optimizer(twin)
        again.load_state_dict(other)
        assert again.state[twin.layer.weight]["exp_avg"].stride() == twin.layer.weight.stride()
        step(twin, again, 2)
    assert_equal(twins[1].state_dict(), twins[0].state_dict())


def test_a_tensor_that_is_one_number_in_memory_becomes_a_whole_one():
    model, state = saved()
    state["state"][0]["exp_avg"] = torch.zeros(()).expand(3, 3)
    again = AdamWConfig(fused=True).create_optimizer(model)
    again.load_state_dict(state)
    assert again.state[model.a.weight]["exp_avg"].stride() == (3, 1)
    step(model, again)


def test_counts_of_steps_may_be_numbers_as_an_old_torch_has_them_in_some_parameters():
    model, state = saved()
    state["state"][1]["step"] = 2
    again = AdamWConfig().create_optimizer(model)
    again.load_state_dict(state)
    step(model, again)
    assert {float(held["step"]) for held in again.state.values()} == {3.0}


@pytest.mark.parametrize("name", ["adamw", "lion", "muon_with_adamw", "sgd", "rmsprop", "adagrad"])
def test_none_is_no_moment_and_no_count(name: str):
    cls = optimizer_registry[name]
    config = cls.from_mapping({"momentum": 0.9} if name == "sgd" else {})
    model, state = saved(config)
    for held in list(state["state"].values())[:2]:  # those of two routes
        whole = dict(held)
        for key in whole:
            held.update({**whole, key: None})
            with pytest.raises(OptimizerError, match=f"has no {key}, which"):
                config.create_optimizer(model).load_state_dict(state)
        held.update(dict.fromkeys(whole))
        with pytest.raises(OptimizerError, match="has no "):
            config.create_optimizer(model).load_state_dict(state)
        held.update(whole)


@pytest.mark.parametrize("count", [math.nan, math.inf, -1.0, -1, 2**60])
@pytest.mark.parametrize("name", ["adamw", "radam"])
def test_a_count_of_steps_is_finite_and_not_below_0(name: str, count: float):
    config = optimizer_registry[name].from_mapping({})
    model, state = saved(config)
    for number in (count, torch.tensor(count)):
        state["state"][0]["step"] = number
        with pytest.raises(OptimizerError, match=r"saved step of a\.weight is no count"):
            config.create_optimizer(model).load_state_dict(state)


def test_the_counts_of_lbfgs_are_finite_and_not_below_0():
    model = Layers("a")
    optimizer = LBFGSConfig().create_optimizer(model)
    state = copy.deepcopy(optimizer.state_dict())
    state["state"] = {0: {"func_evals": 1, "n_iter": -1}}
    with pytest.raises(OptimizerError, match="the saved n_iter is no count"):
        LBFGSConfig().create_optimizer(model).load_state_dict(state)


def test_none_is_right_where_the_optimizer_keeps_none():
    config = optimizer_registry["sgd"].from_mapping({"momentum": 0.0})
    model, state = saved(config)
    state["state"] = {0: {"momentum_buffer": None}}  # as an old torch has it
    again = config.create_optimizer(model)
    again.load_state_dict(state)
    step(model, again)


@pytest.mark.parametrize("wide", [False, True])
def test_a_head_with_more_classes_does_not_take_the_state_of_one_with_fewer(wide: bool):
    _, state = saved(model=Held(1))
    grown = AdamWConfig(fused=True).create_optimizer(Held(10))
    if wide:  # its own state, with one moment of another parameter's size
        state = saved(model=Held(10))[1]
        state["state"][0]["exp_avg"] = torch.zeros(7)
    with pytest.raises(OptimizerError, match=r"head.weight is \(10, 3\), and its saved exp_avg is"):
        grown.load_state_dict(state)


class Held(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, classes)

    def loss(self) -> Tensor:
        return self.head(torch.ones(3)).square().sum()


ROUNDABOUT = [
    {"name": "clipped", "optimizer": "adamw", "max_norm": 1.0},
    {"name": "lookahead", "optimizer": "adamw", "k": 1},
    {"name": "skipping", "optimizer": "adamw", "max_norm": 1e9},
    {
        "name": "routed",
        "routes": [{"name": "a", "select": "a", "optimizer": "lion"}],
        "default": "adamw",
    },
    {"name": "muon_with_adamw"},
]


@pytest.mark.parametrize("data", ROUNDABOUT, ids=lambda data: data["name"])
def test_around_an_optimizer_and_in_its_routes_shapes_are_checked_too(data: dict[str, Any]):
    config = optimizer_registry[data["name"]].model_validate(data)
    model, state = saved(config)
    again = config.create_optimizer(model)
    again.load_state_dict(state)
    for held in state["state"].values():
        for key, value in held.items():
            if not value.ndim:
                continue
            held[key] = value[:1]
            with pytest.raises(OptimizerError, match=f"its saved {key} is float tensor"):
                config.create_optimizer(model).load_state_dict(state)
            held[key] = value


def test_an_optimizer_that_lightning_tells_names_is_checked_if_it_is_torchs():
    model, state = saved()
    state["state"][0]["exp_avg"] = torch.zeros(1, 3)

    class Own(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, torch.optim.AdamW([nn.Parameter(torch.ones(1))]).defaults)

    derived = type("Derived", (torch.optim.AdamW,), {})
    for cls in (torch.optim.AdamW, derived):
        optimizer = cls(model.parameters())
        resume_by_name(optimizer, model)
        with pytest.raises(OptimizerError, match="its saved exp_avg is float tensor"):
            optimizer.load_state_dict(state)
    own = Own(model.parameters())
    resume_by_name(own, model)
    own.load_state_dict(state)
