"""Several optimizers behind one torch optimizer: what it shares with its parts, and when."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from nshtrainer.configs import AdamWConfig, SGDConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer.routed_optimizer import RoutedOptimizer


def new(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape))


@pytest.fixture
def params() -> list[nn.Parameter]:
    return [new(2, 2), new(3), new(4)]


def make(params: list[nn.Parameter], **options: Any) -> RoutedOptimizer:
    first, second, third = params
    groups = [{"params": [second]}, {"params": [third], "name": "tail", "lr": 1e-4}]
    parts = {"sgd": SGD([first], lr=0.1, momentum=0.9), "adam": AdamW(groups)}
    return RoutedOptimizer(parts, **options)


def move(optimizer: torch.optim.Optimizer, steps: int = 1) -> None:
    for step in range(steps):
        for group in optimizer.param_groups:
            for param in group["params"]:
                param.grad = torch.full_like(param, 0.1 + step)
        optimizer.step()


def assert_shared(optimizer: RoutedOptimizer) -> None:
    """Both sides have the same dicts, in the order of the groups, and the same states."""
    parts = optimizer.routes.values()
    theirs = {id(group) for part in parts for group in part.param_groups}
    assert {id(group) for group in optimizer.param_groups} == theirs
    assert len(optimizer.param_groups) == len(theirs)
    assert len(optimizer.state) == sum(len(part.state) for part in parts)
    for part in parts:
        for param, state in part.state.items():
            assert optimizer.state[param] is state


# -- what it is ------------------------------------------------------------------------------------


def test_it_is_an_optimizer_without_an_attribute_that_wrappers_look_for(params: Any):
    optimizer = make(params)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert not hasattr(optimizer, "optimizer")
    assert not getattr(optimizer, "_step_supports_amp_scaling", False)


def test_groups_are_named_after_their_routes(params: Any):
    optimizer = make(params)
    assert [group["name"] for group in optimizer.param_groups] == ["sgd", "adam/0", "adam/tail"]
    assert repr(optimizer).startswith("RoutedOptimizer (")


def test_the_defaults_are_the_options_that_all_have(params: Any):
    optimizer = make(params)
    assert optimizer.defaults.keys() == SGD([new(1)]).defaults.keys() & AdamW([new(1)]).defaults
    assert optimizer.defaults["lr"] == 0.1
    assert "momentum" not in optimizer.defaults
    assert "betas" not in optimizer.defaults


def test_a_written_rate_is_what_the_part_computes_with(params: Any):
    optimizer = make(params)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        group["weight_decay"] = 0.0
    before = [param.detach().clone() for param in params]
    move(optimizer)
    assert all(map(torch.equal, before, params))


def test_gradients_are_set_to_nothing_or_to_zero(params: Any):
    optimizer = make(params)
    move(optimizer)
    optimizer.zero_grad(set_to_none=False)
    assert all(param.grad.eq(0).all() for param in params)
    optimizer.zero_grad()
    assert all(param.grad is None for param in params)


# -- what is refused -------------------------------------------------------------------------------


def test_there_must_be_a_part(params: Any):
    with pytest.raises(OptimizerError, match="there are no routes"):
        RoutedOptimizer({})
    with pytest.raises(OptimizerError, match="the default route 'adamw' is none of 'sgd', 'adam'"):
        make(params, default="adamw")


def test_a_parameter_belongs_to_one_part(params: Any):
    with pytest.raises(ValueError, match="more than one parameter group"):
        RoutedOptimizer({"a": SGD(params[:2]), "b": AdamW(params[1:])})


def test_a_part_that_asks_for_a_closure_is_refused(params: Any):
    with pytest.raises(OptimizerError, match=r"route 'b': LBFGS computes the loss several times"):
        RoutedOptimizer({"a": SGD(params[:2]), "b": torch.optim.LBFGS(params[2:])})


# -- stepping --------------------------------------------------------------------------------------


def test_a_closure_runs_once_with_gradients_and_its_loss_is_returned(params: Any):
    optimizer = make(params)
    calls: list[Tensor] = []

    def closure() -> Any:
        optimizer.zero_grad()
        calls.append(sum((p.square().sum() for p in params), torch.zeros(())))
        calls[-1].backward()
        return calls[-1]

    before = [param.detach().clone() for param in params]
    assert optimizer.step(closure) is calls[0]
    assert len(calls) == 1
    assert not any(map(torch.equal, before, params))


def test_hooks_of_a_step_run_once_around_all_parts(params: Any):
    optimizer = make(params)
    seen: list[Any] = []
    optimizer.register_step_pre_hook(lambda who, args, kwargs: seen.append(("before", who)))
    optimizer.register_step_post_hook(lambda who, args, kwargs: seen.append(("after", who)))
    part = optimizer.routes["adam"]
    part.register_step_pre_hook(lambda who, args, kwargs: seen.append(("part", who)))
    move(optimizer)
    assert seen == [("before", optimizer), ("part", part), ("after", optimizer)]


def test_the_profiler_sees_it(params: Any):
    optimizer = make(params)
    move(optimizer)
    with torch.profiler.profile(with_stack=True, profile_memory=True, record_shapes=True) as seen:
        optimizer.step()
    names = {event.name for event in seen.events()}
    assert {f"Optimizer.step#{name}.step" for name in ("RoutedOptimizer", "SGD", "AdamW")} <= names


def scaled_step(optimizer: Any, params: Any, grad: float) -> torch.amp.GradScaler:
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    scaler.scale(sum((grad * p.sum() for p in params), torch.zeros(()))).backward()
    scaler.step(optimizer)
    scaler.update()
    return scaler


@pytest.mark.parametrize("fused", [None, True])
def test_a_scaler_of_gradients_takes_it_as_one(fused: bool | None):
    ours, theirs = ([new(2, 2), new(3)] for _ in range(2))
    parts = {
        "sgd": SGDConfig(lr=0.1, momentum=0.9).create_optimizer(ours[:1]),
        "adam": AdamWConfig(fused=fused).create_optimizer(ours[1:]),
    }
    scaled_step(RoutedOptimizer(parts), ours, 0.5)
    for param in theirs:
        param.grad = torch.full_like(param, 0.5)
    SGD(theirs[:1], lr=0.1, momentum=0.9).step()
    AdamW(theirs[1:], fused=True).step()
    assert all(map(torch.equal, ours, theirs))


def test_a_scaler_skips_all_parts_when_one_gradient_is_infinite(params: Any):
    optimizer = make(params)
    before = [param.detach().clone() for param in params]
    scaler = scaled_step(optimizer, params[:1], torch.inf)
    assert scaler.get_scale() == 8.0
    assert all(map(torch.equal, before, params))


def test_where_the_fused_form_was_our_choice_each_part_still_leaves_it_when_it_must(params: Any):
    parts = {
        "sgd": SGDConfig(momentum=0.9).create_optimizer(nn.ParameterList(params[:1])),
        "adam": AdamWConfig().create_optimizer(params[1:]),
    }
    optimizer = RoutedOptimizer(parts)
    assert [group["fused"] for group in optimizer.param_groups] == [True, True]
    params[0].grad = torch.ones(2, 2)
    params[1].grad = torch.ones(6)[::2]
    optimizer.step()
    assert [group["fused"] for group in optimizer.param_groups] == [True, None]
    twin = copy.deepcopy(optimizer)
    assert [group["fused"] for group in twin.param_groups] == [True, None]
    assert_shared(twin)


# -- schedules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_scheduler", [CurveScheduler, LambdaLR])
def test_every_rate_is_scheduled_also_of_a_group_added_late(
    params: Any, make_scheduler: Callable[..., Any]
):
    optimizer = make(params, default="adam")
    scheduler = make_scheduler(optimizer, lambda step: 0.5**step)
    move(optimizer)
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 5e-4, 5e-5]
    if make_scheduler is CurveScheduler:
        optimizer.add_param_group({"params": [new(5)], "lr": 0.8})
        scheduler.step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.025, 2.5e-4, 2.5e-5, 0.4]
    assert_shared(optimizer)


def test_torchs_one_cycle_takes_the_momentum_that_all_parts_have(params: Any):
    parts = {"a": SGD(params[:1], momentum=0.9), "b": SGD(params[1:], momentum=0.8)}
    optimizer = RoutedOptimizer(parts)
    OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.95}


# -- groups that are added -------------------------------------------------------------------------


def test_a_group_goes_to_the_route_that_it_names(params: Any):
    optimizer = make(params)
    given = {"params": [new(5)], "route": "sgd", "name": "late"}
    optimizer.add_param_group(given)
    optimizer.add_param_group({"params": new(2), "route": "sgd"})
    assert set(given) == {"params", "route", "name"}
    names = [group["name"] for group in optimizer.param_groups]
    assert names == ["sgd", "adam/0", "adam/tail", "sgd/late", "sgd/2"]
    assert optimizer.param_groups[3]["momentum"] == 0.9
    assert "route" not in optimizer.param_groups[3]
    assert_shared(optimizer)


def test_without_a_route_it_goes_to_the_default_one(params: Any):
    optimizer = make(params, default="adam")
    optimizer.add_param_group({"params": [new(5)]})
    assert optimizer.param_groups[-1]["name"] == "adam/2"
    assert optimizer.param_groups[-1] is optimizer.routes["adam"].param_groups[-1]


def test_without_a_default_it_has_to_say_which(params: Any):
    text = "param group needs a 'route'; choose one of 'sgd', 'adam' instead of None"
    with pytest.raises(OptimizerError, match=text):
        make(params).add_param_group({"params": [new(5)]})
    with pytest.raises(OptimizerError, match="choose one of 'sgd', 'adam' instead of 'adamw'"):
        make(params, default="adam").add_param_group({"params": [new(5)], "route": "adamw"})


def test_a_parameter_that_another_part_has_is_refused_and_nothing_is_changed(params: Any):
    optimizer = make(params)
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [params[1]], "route": "sgd"})
    assert len(optimizer.param_groups) == 3
    assert_shared(optimizer)
    move(optimizer)


def test_a_late_group_keeps_its_place_in_a_saved_state(params: Any):
    late = new(5)
    optimizer = make(params)
    optimizer.add_param_group({"params": [late], "route": "sgd"})
    move(optimizer, 2)
    others = [new(*param.shape) for param in (*params, late)]
    again = make(others[:3])
    again.add_param_group({"params": others[3:], "route": "sgd"})
    again.load_state_dict(optimizer.state_dict())
    assert_shared(again)
    for ours, theirs in zip(others, (*params, late), strict=True):
        for key, value in optimizer.state[theirs].items():
            assert torch.equal(again.state[ours][key], value)
