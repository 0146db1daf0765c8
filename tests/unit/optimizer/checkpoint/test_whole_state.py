"""One state for all parameters, as L-BFGS keeps it, and states of routes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.support import CONFIG_CHANGED
from tests.unit.optimizer.checkpoint.test_hooks import (
    Layers,
    assert_equal,
    averages,
    policy,
    saved,
    step,
)

from nshtrainer.configs import (
    LBFGSConfig,
    MuonWithAdamWConfig,
    RoutedOptimizerConfig,
)
from nshtrainer.exceptions import OptimizerError

pytestmark = pytest.mark.filterwarnings(CONFIG_CHANGED)


# -- one state for all -----------------------------------------------------------------------------


def lbfgs(names: str) -> tuple[Any, Any]:
    model = Layers(names)
    optimizer = LBFGSConfig(lr=0.1, max_iter=2).create_optimizer(model)

    def closure() -> float:
        optimizer.zero_grad()
        loss = model.loss()
        loss.backward()
        return loss.item()

    optimizer.step(closure)
    return model, optimizer


def test_lbfgs_is_not_given_a_history_in_parts():
    _, optimizer = lbfgs("ab")
    state = optimizer.state_dict()
    state["state"][0]["ro"] = [0.5] * 5
    with pytest.raises(OptimizerError, match="old_dirs, old_stps and ro have different lengths"):
        optimizer.load_state_dict(state)
    state["state"][0]["n_iter"] = None
    with pytest.raises(OptimizerError, match="n_iter is none, not a number"):
        optimizer.load_state_dict(state)


def test_lbfgs_has_one_state_for_all_which_needs_all():
    _, optimizer = lbfgs("abc")
    state = optimizer.state_dict()
    _, again = lbfgs("cba")
    again.load_state_dict(LBFGSConfig().create_optimizer(Layers("abc")).state_dict())
    again.load_state_dict(state)
    row, other = (each.state_dict()["state"][0]["d"].split(12) for each in (optimizer, again))
    assert all(map(torch.equal, row, reversed(other)))
    frozen = Layers("abc")
    frozen.a.requires_grad_(False)
    fewer = LBFGSConfig().create_optimizer(frozen)
    with pytest.raises(OptimizerError, match="one state for all parameters"):
        fewer.load_state_dict(state)
    fewer = LBFGSConfig().create_optimizer(frozen, run=policy(allow_missing=True))
    fewer.load_state_dict(state)
    assert not fewer.state
    wider = LBFGSConfig().create_optimizer(Layers("abc", width=4))
    with pytest.raises(
        OptimizerError, match=r"d is float tensor \(36,\), not float tensor \(60,\)"
    ):
        wider.load_state_dict(state)


# -- routes ----------------------------------------------------------------------------------------


def routed(**routes: str) -> RoutedOptimizerConfig:
    each = [{"name": k, "select": k, "optimizer": v} for k, v in routes.items()]
    return RoutedOptimizerConfig.model_validate({"routes": each, "default": {"name": "adamw"}})


def test_routes_and_their_parameters_in_another_order_keep_their_own_state():
    config = MuonWithAdamWConfig()
    model = Layers("abc")
    optimizer = config.create_optimizer(model)
    step(model, optimizer)
    state = copy.deepcopy(optimizer.state_dict())
    resumed = Layers("cab")
    resumed.load_state_dict(model.state_dict())
    again = config.create_optimizer(resumed)
    again.load_state_dict(state)
    step(model, optimizer)
    step(resumed, again)
    assert_equal(resumed.state_dict(), model.state_dict())


def test_a_parameter_that_goes_to_another_route_takes_its_state_along():
    _, state = saved(routed(a="adamw"))
    again = routed(b="adamw").create_optimizer(Layers())
    again.load_state_dict(state)
    assert_equal(averages(again.state_dict()), averages(state))


def test_it_does_not_take_it_to_another_optimizer():
    config = routed(a={"name": "sgd", "momentum": 0.9})  # type: ignore[arg-type]
    _, state = saved(routed(b="adamw"))
    with pytest.raises(OptimizerError, match=r"another optimizer had 'a.weight', 'a.bias'; give"):
        config.create_optimizer(Layers()).load_state_dict(state)
    model = Layers()
    again = config.create_optimizer(model, run=policy(allow_missing=True))
    again.load_state_dict(state)
    assert model.a.weight not in again.state
    assert torch.equal(again.state[model.b.bias]["exp_avg"], averages(state)["b.bias"])
    step(model, again)


def test_without_the_model_routes_know_names_as_well():
    _, state = saved(routed(a="adamw"))
    pairs = list(Layers().named_parameters())[::-1]
    again = routed(a="adamw").create_optimizer(pairs)
    again.load_state_dict(state)
    assert_equal(averages(again.state_dict()), averages(state))
