"""The state of several optimizers behind one: saved, loaded, shared, copied."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from tests.unit.optimizer.test_routed_optimizer import assert_shared, make, move, new
from torch import nn
from torch.optim import SGD, Adagrad, AdamW

from nshtrainer.configs import AdamWConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer.routed_optimizer import RoutedOptimizer


@pytest.fixture
def params() -> list[nn.Parameter]:
    return [new(2, 2), new(3), new(4)]


def test_after_loading_both_sides_still_share_everything(params: Any):
    optimizer = make(params)
    move(optimizer)
    for _ in range(3):
        old = optimizer.param_groups
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        assert optimizer.param_groups is not old
        assert_shared(optimizer)
        optimizer.param_groups[0]["lr"] = 0.0
        optimizer.param_groups[2]["lr"] = 0.0
        before = [param.detach().clone() for param in params]
        move(optimizer)
        unmoved = [torch.equal(*pair) for pair in zip(before, params, strict=True)]
        assert unmoved == [True, False, True]


def test_a_part_may_load_a_state_by_itself(params: Any):
    optimizer, alone = make(params), SGD([new(2, 2)], lr=0.7, momentum=0.5)
    move(alone)
    optimizer.routes["sgd"].load_state_dict(alone.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.7
    assert_shared(optimizer)


def test_a_schedule_still_drives_all_rates_after_loading(params: Any):
    optimizer = make(params)
    scheduler = CurveScheduler(optimizer, lambda step: 0.5**step)
    move(optimizer)
    scheduler.step()
    optimizer.load_state_dict(optimizer.state_dict())
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.025, 2.5e-4, 2.5e-5]
    assert_shared(optimizer)


def test_hooks_of_saving_and_loading_run_those_of_the_parts_within(params: Any):
    optimizer = make(params)
    seen: list[str] = []
    part = optimizer.routes["adam"]
    for who, of in ((optimizer, "whole"), (part, "part")):
        who.register_state_dict_pre_hook(lambda _, of=of: seen.append(f"{of} save"))
        who.register_state_dict_post_hook(lambda _, state, of=of: seen.append(f"{of} saved"))
        who.register_load_state_dict_pre_hook(lambda _, state, of=of: seen.append(f"{of} load"))
        who.register_load_state_dict_post_hook(lambda _, of=of: seen.append(f"{of} loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    saving = ["whole save", "part save", "part saved", "whole saved"]
    assert seen == [*saving, "whole load", "part load", "part loaded", "whole loaded"]


def test_hooks_may_put_another_state_in_place(params: Any):
    optimizer = make(params)
    state = optimizer.state_dict()
    optimizer.register_state_dict_post_hook(lambda _, state: {**state, "more": 1})
    assert optimizer.state_dict()["more"] == 1
    other = copy.deepcopy(state)
    other["param_groups"][0]["lr"] = 0.3
    optimizer.register_load_state_dict_pre_hook(lambda _, given: other)
    optimizer.load_state_dict(state)
    assert optimizer.routes["sgd"].param_groups[0]["lr"] == 0.3


def test_what_was_given_to_load_is_not_changed(params: Any):
    optimizer = make(params)
    move(optimizer)
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    optimizer.load_state_dict(state)
    move(optimizer)
    assert state["param_groups"] == kept["param_groups"]
    assert state.keys() == kept.keys()


def test_routes_in_another_order_keep_their_own_state(params: Any):
    optimizer = make(params)
    move(optimizer)
    state = optimizer.state_dict()
    first, second, third = (new(*param.shape) for param in params)
    groups = [{"params": [third], "name": "tail"}, {"params": [second], "name": "0"}]
    other = RoutedOptimizer({"adam": AdamW(groups), "sgd": SGD([first], lr=0.1, momentum=0.9)})
    other.load_state_dict(state)
    assert [group["lr"] for group in other.param_groups] == [1e-4, 1e-3, 0.1]
    assert torch.equal(other.state[third]["exp_avg"], optimizer.state[params[2]]["exp_avg"])
    assert_shared(other)


def test_a_state_without_names_is_taken_in_order(params: Any):
    optimizer = make(params)
    move(optimizer)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        del group["name"]
    other = make([new(*param.shape) for param in params])
    other.load_state_dict(state)
    assert len(other.state) == 3


def test_a_state_of_other_routes_is_refused(params: Any):
    optimizer = make(params)
    state = optimizer.state_dict()
    state["param_groups"][0]["name"] = "muon"
    text = "its groups are muon, adam/0, adam/tail, and here they are sgd, adam/0, adam/tail"
    with pytest.raises(OptimizerError, match=text):
        optimizer.load_state_dict(state)
    with pytest.raises(ValueError, match="it has 0 parameter groups"):
        optimizer.load_state_dict({"state": {}, "param_groups": []})
    state = optimizer.state_dict()
    state["param_groups"][1]["params"] = [1, 2]
    with pytest.raises(ValueError, match="'adam/0' has 1 parameters here, 2 in the state"):
        optimizer.load_state_dict(state)


def test_a_part_refuses_a_share_that_is_another_optimizers(params: Any):
    parts = {"a": SGD(params[:1]), "b": AdamWConfig().create_optimizer(params[1:])}
    optimizer = RoutedOptimizer(parts)
    swapped = {"a": AdamW([new(2, 2)]), "b": SGD([new(3), new(4)])}
    with pytest.raises(OptimizerError, match="the saved state belongs to another optimizer"):
        optimizer.load_state_dict(RoutedOptimizer(swapped).state_dict())


def test_a_state_that_belongs_to_no_parameter_cannot_be_saved(params: Any):
    optimizer = make(params)
    optimizer.routes["adam"].state["count"] = 1
    with pytest.raises(OptimizerError, match=r"route 'adam': AdamW keeps a state.*'count'"):
        optimizer.state_dict()


def test_the_states_of_all_parts_are_one_mapping(params: Any):
    optimizer = make(params)
    assert not optimizer.state
    assert params[0] not in optimizer.state
    assert optimizer.state.get(params[0]) is None
    optimizer.state[params[0]]["mine"] = 1
    assert optimizer.routes["sgd"].state[params[0]] == {"mine": 1}
    optimizer.state[params[1]] = {"mine": 2}
    assert optimizer.routes["adam"].state[params[1]] == {"mine": 2}
    assert list(optimizer.state) == params[:2]
    assert optimizer.state.get(params[0]) == {"mine": 1}
    assert repr(optimizer.state) == repr({params[0]: {"mine": 1}, params[1]: {"mine": 2}})
    del optimizer.state[params[1]]
    assert not optimizer.routes["adam"].state
    with pytest.raises(KeyError):
        optimizer.state[new(1)]
    optimizer.state.clear()
    assert_shared(optimizer)


def test_a_part_that_looks_at_all_its_states_sees_its_own_only(params: Any):
    # Adagrad does so when it is unpickled.
    optimizer = RoutedOptimizer({"sgd": SGD(params[:1], momentum=0.9), "ada": Adagrad(params[1:])})
    move(optimizer)
    twin = copy.deepcopy(optimizer)
    assert_shared(twin)
    assert [len(part.state) for part in twin.routes.values()] == [1, 2]


def test_a_copy_lives_on_its_own(params: Any):
    optimizer = make(params, default="adam")
    move(optimizer)
    twin = copy.deepcopy(optimizer)
    assert_shared(twin)
    assert not {id(g) for g in twin.param_groups} & {id(g) for g in optimizer.param_groups}
    twin.add_param_group({"params": [new(5)]})
    twin.load_state_dict(twin.state_dict())
    assert_shared(twin)
    assert_shared(optimizer)
    assert len(optimizer.param_groups) == 3


def test_it_is_freed_with_its_parts(params: Any):
    optimizer = make(params)
    gone = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert gone() is None
