"""Resume by name, in plain torch: what a changed optimizer finds of itself in a saved state."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from pydantic import ValidationError
from tests.support import CONFIG_CHANGED
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    LBFGSConfig,
    MuonWithAdamWConfig,
    ResumeConfig,
    RoutedOptimizerConfig,
)
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer.checkpoint.hooks import resume_by_name

pytestmark = pytest.mark.filterwarnings(CONFIG_CHANGED)

TEN = RunLength(total_steps=10)


class Layers(nn.Module):
    """Layers in any order; what they compute does not depend on it."""

    def __init__(self, names: str = "abc", width: int = 3) -> None:
        super().__init__()
        for name in names:
            torch.manual_seed(ord(name))
            setattr(self, name, nn.Linear(width, width))

    def loss(self) -> Tensor:
        layers = sorted(self.named_children())
        return torch.stack([layer(torch.ones(3)).square().sum() for _, layer in layers]).sum()


def step(model: Any, optimizer: Any, times: int = 1) -> None:
    for _ in range(times):
        optimizer.zero_grad()
        model.loss().backward()
        optimizer.step()


def saved(config: Any = None, model: Any = None, times: int = 2) -> tuple[Any, dict[str, Any]]:
    """A model that was trained, and the state of its optimizer."""
    model = model or Layers()
    optimizer = (config or AdamWConfig(lr=0.1)).create_optimizer(model)
    step(model, optimizer, times)
    return model, copy.deepcopy(optimizer.state_dict())


def policy(**fields: Any) -> RunLength:
    return RunLength(resume=ResumeConfig(**fields))


def averages(state: dict[str, Any]) -> dict[str, Tensor]:
    """The first moment of each parameter, by its name."""
    return {
        name: state["state"][key]["exp_avg"]
        for group in state["param_groups"]
        for key, name in zip(group["params"], group["param_names"], strict=True)
        if key in state["state"]
    }


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


# -- names -----------------------------------------------------------------------------------------


def test_a_state_carries_the_names_and_the_groups_of_the_optimizer_do_not():
    model, state = saved()
    names = [name for name, _ in model.named_parameters()]
    assert state["param_groups"][0]["param_names"] == names
    assert "param_names" not in AdamWConfig().create_optimizer(model).param_groups[0]


def test_names_that_were_given_stay_in_the_groups():
    model, state = saved()
    again = AdamWConfig().create_optimizer(reversed(list(model.named_parameters())))
    again.load_state_dict(state)
    assert again.param_groups[0]["param_names"][-1] == "a.weight"
    assert_equal(averages(again.state_dict()), averages(state))


def compiled(model: Any) -> Any:
    return torch.compile(model, backend="eager")


def compiled_twice(model: Any) -> Any:
    model.a = compiled(model.a)
    return compiled(model)


@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel, compiled_twice])
def test_what_wraps_the_model_does_not_matter(wrap: Any):
    _, state = saved()
    model = wrap(Layers("cab"))
    again = AdamWConfig().create_optimizer(model)
    again.load_state_dict(state)
    assert_equal(averages(again.state_dict()), averages(state))
    ones = torch.ones(3, 3)
    plain = torch.optim.AdamW(wrap(Layers("bca")).named_parameters())
    other = AdamWConfig().create_optimizer(Layers("bca"))
    other.load_state_dict(
        {
            **plain.state_dict(),
            "state": {0: {"exp_avg": ones, "exp_avg_sq": ones, "step": ones[0, 0]}},
        }
    )
    assert list(averages(other.state_dict())) == ["b.weight"]


def test_a_tied_weight_is_known_by_any_of_its_names():
    def tied(names: str) -> Any:
        model = Layers(names)
        model.c.weight = model.a.weight
        return model

    _, state = saved(model=tied("abc"))
    again = AdamWConfig().create_optimizer(tied("cba"))
    again.load_state_dict(state)
    ours, theirs = averages(again.state_dict()), averages(state)
    assert torch.equal(ours["c.weight"], theirs["a.weight"])
    _, untied = saved()
    again.load_state_dict(untied)
    assert torch.equal(averages(again.state_dict())["c.weight"], averages(untied)["c.weight"])


def test_a_name_that_two_parameters_have_is_none():
    model = Layers("ab")
    groups: list[Any] = [{"params": model.a}, {"params": model.b}]
    optimizer = AdamWConfig().create_optimizer(groups)
    step(model, optimizer)
    state = optimizer.state_dict()
    assert not any("param_names" in group for group in state["param_groups"])
    again = AdamWConfig().create_optimizer(groups)
    again.load_state_dict(state)
    assert again.state[model.b.bias]["step"] == 1


def test_a_parameter_that_joins_late_is_known_by_its_name_if_the_model_has_it():
    def unfrozen(names: str) -> tuple[Any, Any]:
        model = Layers(names)
        model.a.requires_grad_(False)
        optimizer = AdamWConfig(lr=0.1).create_optimizer(model)
        optimizer.add_param_group({"params": model.a.requires_grad_().parameters(), "lr": 0.01})
        return model, optimizer

    model, optimizer = unfrozen("abc")
    step(model, optimizer)
    state = copy.deepcopy(optimizer.state_dict())
    assert state["param_groups"][1]["param_names"] == ["a.weight", "a.bias"]
    _, again = unfrozen("cba")
    again.load_state_dict(state)
    assert_equal(averages(again.state_dict()), averages(state))
    assert [group["lr"] for group in again.param_groups] == [0.1, 0.01]


def test_a_copy_resumes_by_name_too():
    model, state = saved()
    optimizer = AdamWConfig().create_optimizer(model)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        own = twin.state_dict()["param_groups"][0]
        assert own["param_names"] == [name for name, _ in model.named_parameters()]
        twin.load_state_dict(state)
        assert len(twin.state) == 6
        assert_equal(averages(twin.state_dict()), averages(state))


def test_a_copy_with_its_model_knows_the_parameters_that_are_frozen():
    _, state = saved()
    model = Layers("cab")
    model.a.requires_grad_(False)
    model.optimizer = AdamWConfig().create_optimizer(model)
    twin = copy.deepcopy(model)
    twin.optimizer.load_state_dict(state)
    assert "a.weight" in twin.optimizer.state_dict()["parked"]


def test_the_names_outlive_the_model():
    _, state = saved()
    optimizer = AdamWConfig().create_optimizer(Layers("cab"))
    optimizer.load_state_dict(state)
    assert_equal(averages(optimizer.state_dict()), averages(state))


# -- frozen, new and gone --------------------------------------------------------------------------


def test_the_state_of_what_is_frozen_waits_for_it():
    _, state = saved()
    model = Layers("cab")
    model.a.requires_grad_(False)
    second = AdamWConfig().create_optimizer(model)
    second.load_state_dict(state)
    assert "a.weight" not in averages(second.state_dict())
    step(model, second)
    between = copy.deepcopy(second.state_dict())
    third = AdamWConfig().create_optimizer(Layers("abc"))
    third.load_state_dict(between)
    ours = averages(third.state_dict())
    assert torch.equal(ours["a.weight"], averages(state)["a.weight"])
    assert torch.equal(ours["b.weight"], averages(between)["b.weight"])
    assert "parked" not in third.state_dict()


def test_with_frozen_parameters_included_they_keep_their_state():
    config = AdamWConfig(include_frozen=True)
    _, state = saved(config)
    model = Layers("cab")
    model.a.requires_grad_(False)
    again = config.create_optimizer(model)
    again.load_state_dict(state)
    assert_equal(averages(again.state_dict()), averages(state))


def test_a_frozen_parameter_need_not_have_been_there():
    _, state = saved(model=Layers("ab"))
    model = Layers("cab")
    model.c.requires_grad_(False)
    again = AdamWConfig(include_frozen=True).create_optimizer(model)
    again.load_state_dict(state)
    assert_equal(averages(again.state_dict()), averages(state))


def test_what_is_missing_and_what_is_unexpected_is_listed():
    _, state = saved(model=Layers("abx"))
    again = AdamWConfig().create_optimizer(Layers("aby"))
    with pytest.raises(OptimizerError) as caught:
        again.load_state_dict(state)
    assert str(caught.value) == (
        "optimizer state does not match the model: missing (here, and not in the state) "
        "'y.weight', 'y.bias' (was the first 'x.weight'?); unexpected (in the state, and not in "
        "the model) 'x.weight', 'x.bias'; give them the names that they had, or load it anyway "
        "with resume: {allow_missing: true, allow_unexpected: true}"
    )


@pytest.mark.parametrize(
    ("was", "now", "field"), [("abc", "ab", "allow_unexpected"), ("ab", "abc", "allow_missing")]
)
def test_it_may_be_allowed(was: str, now: str, field: str):
    _, state = saved(model=Layers(was))
    with pytest.raises(OptimizerError, match=rf"resume: {{{field}: true}}"):
        AdamWConfig().create_optimizer(Layers(now)).load_state_dict(state)
    again = AdamWConfig().create_optimizer(Layers(now), run=policy(**{field: True}))
    again.load_state_dict(state)
    ours, theirs = averages(again.state_dict()), averages(state)
    assert set(ours) == {name for name in theirs if name[0] in now}


def test_an_unnamed_parameter_that_is_gone_is_said():
    model, late = Layers("ab"), nn.Parameter(torch.ones(2))
    optimizer = AdamWConfig().create_optimizer(model)
    optimizer.add_param_group({"params": late})
    with pytest.raises(OptimizerError, match=r"unexpected .* 'one without a name'"):
        AdamWConfig().create_optimizer(model).load_state_dict(optimizer.state_dict())
    fewer = AdamWConfig().create_optimizer(model).state_dict()
    with pytest.raises(OptimizerError, match=r"missing .* 'number 0 of parameter group 1'"):
        optimizer.load_state_dict(fewer)


# -- groups ----------------------------------------------------------------------------------------


def test_a_group_of_the_same_name_keeps_its_options_and_a_new_one_has_the_configs():
    rules = [{"name": "one", "select": "a"}, {"name": "two", "select": "b", "lr_mult": 10}]
    _, state = saved(AdamWConfig.model_validate({"lr": 0.1, "groups": rules}))
    others = [{"name": "two", "select": "c", "lr_mult": 3}, {"name": "new", "select": "a"}]
    again = AdamWConfig.model_validate({"lr": 0.5, "groups": others}).create_optimizer(Layers())
    again.load_state_dict(state)
    assert {group["name"]: group["lr"] for group in again.param_groups} == {
        "two": 1.0,
        "new": 0.5,
        "default": 0.1,
    }


def test_a_group_without_a_name_is_what_its_parameters_were_in():
    model = Layers("ab")

    def groups(*layers: str) -> Any:
        pairs = {name: list(model.named_parameters()) for name in layers}
        return [{"params": [pair for pair in pairs[name] if pair[0][0] == name]} for name in layers]

    state = AdamWConfig().create_optimizer(groups("a", "b")).state_dict()
    state["param_groups"][0]["lr"], state["param_groups"][1]["lr"] = 0.1, 0.2
    again = AdamWConfig().create_optimizer(groups("b", "a"))
    again.load_state_dict(state)
    assert [group["lr"] for group in again.param_groups] == [0.2, 0.1]


# -- by place --------------------------------------------------------------------------------------


def unnamed(state: dict[str, Any]) -> dict[str, Any]:
    for group in state["param_groups"]:
        del group["param_names"]
    return state


def test_a_state_without_names_is_taken_in_order():
    model, state = saved()
    again = AdamWConfig().create_optimizer(model)
    again.load_state_dict(unnamed(copy.deepcopy(state)))
    assert_equal(averages(again.state_dict()), averages(state))


def test_of_a_state_without_names_the_shapes_are_checked():
    model = Layers("ab")
    model.b = nn.Linear(3, 5)
    _, state = saved(model=model)
    turned = AdamWConfig().create_optimizer(list(model.parameters())[::-1])
    with pytest.raises(OptimizerError) as caught:
        turned.load_state_dict(unnamed(state))
    assert str(caught.value) == (
        "the saved state does not fit: number 0 of parameter group 0 is (5,), and its saved "
        "exp_avg is float tensor (3, 3), not float tensor (5,); without names in the state and in "
        "the optimizer a parameter is known by its place, so give them in the order that they had"
    )
    other = AdamWConfig().create_optimizer(nn.Sequential(model.b, model.a))
    with pytest.raises(
        OptimizerError, match=r"0.weight is \(5, 3\), and its saved exp_avg is float tensor \(3"
    ):
        other.load_state_dict(state)


def test_a_parameter_of_the_same_name_and_another_shape_is_refused():
    _, state = saved()
    again = AdamWConfig().create_optimizer(Layers(width=4))
    with pytest.raises(OptimizerError, match=r"a.weight is \(4, 4\).*give it the size that it had"):
        again.load_state_dict(state)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (None, "is none, not a list"),
        ("a.weight", "is text, not a list"),
        ([float("nan")] * 4, "has a number in it"),
    ],
)
def test_names_that_are_none_are_refused(names: object, problem: str):
    _, state = saved()
    state["param_groups"][0]["param_names"] = names
    again = AdamWConfig().create_optimizer(Layers())
    with pytest.raises(OptimizerError, match=f"param_groups.0.param_names {problem}"):
        again.load_state_dict(state)


def in_itself() -> dict[str, Any]:
    data: dict[str, Any] = {}
    data["again"] = data
    return data


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("x", "config is text, not a mapping"),
        (torch.zeros(3), r"config is float tensor \(3,\), not plain data"),
        ({"betas": [0.9, {1}]}, r"config.betas.1 is set, not plain data"),
        ({"lr": {1: 2}}, "config.lr has a number as a key, not text"),
        ({"lr": 2**70}, "config.lr is a number of more than 64 bits"),
        ({"lr": [0] * 100_000}, "config has too many values"),
        (in_itself(), r"again\.again is nested too deep"),
    ],
)
def test_the_saved_config_is_plain_data(config: Any, problem: str):
    model, state = saved()
    state["config"] = config
    with pytest.raises(OptimizerError, match=problem):
        AdamWConfig().create_optimizer(model).load_state_dict(state)


def test_another_number_of_parameters_is_torchs_to_refuse():
    _, state = saved()
    again = AdamWConfig().create_optimizer(Layers("ab"))
    with pytest.raises(ValueError, match="its parameter groups have"):
        again.load_state_dict(unnamed(state))


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


# -- a model in another ----------------------------------------------------------------------------


class Holder(nn.Module):
    """A model that holds another one, as a LightningModule does."""

    def __init__(self, net: Any, **others: Any) -> None:
        super().__init__()
        self.net = net
        for name, other in others.items():
            setattr(self, name, other)

    def loss(self) -> Tensor:
        return self.net.loss()


def loads(model: Any, state: dict[str, Any], config: Any = None) -> Any:
    optimizer = (config or AdamWConfig()).create_optimizer(model)
    optimizer.load_state_dict(state)
    return optimizer


def test_a_state_goes_into_the_module_that_holds_the_model_and_back():
    _, state = saved()
    inside = loads(Holder(Holder(Layers("cab"))), state).state_dict()
    assert_equal(
        {f"net.net.{name}": value for name, value in averages(state).items()}, averages(inside)
    )
    assert_equal(averages(loads(Layers("bca"), inside).state_dict()), averages(state))
    once = loads(Holder(Layers("bca")), inside).state_dict()
    assert_equal({f"net.{name}": value for name, value in averages(state).items()}, averages(once))


def test_several_optimizers_as_one_go_along():
    config = routed(a="adamw", b="adamw")
    _, state = saved(config)
    again = loads(Holder(Layers("cab")), state, routed(**{"net.a": "adamw", "net.b": "adamw"}))
    assert_equal(
        averages(again.state_dict()), {f"net.{name}": v for name, v in averages(state).items()}
    )


def test_what_is_frozen_on_either_side_does_not_matter():
    _, state = saved()
    held = Holder(Layers())
    held.net.b.requires_grad_(False)
    optimizer = loads(held, state, AdamWConfig())
    assert held.net.a.weight in optimizer.state
    frozen = AdamWConfig.model_validate(
        {"groups": [{"name": "b", "select": "net.b", "freeze": True}]}
    )
    again = loads(Holder(Layers()), state, frozen).state_dict()
    assert again["parked"].keys() == {"net.b.weight", "net.b.bias"}
    assert len(averages(loads(Layers(), again).state_dict())) == 6


@pytest.mark.parametrize(
    "model",
    [
        Holder(Layers(), loss_weight=nn.Parameter(torch.ones(3))),  # one is new
        Holder(Layers("ab")),  # some are gone
        Holder(Layers("abd")),  # one has another name
        Holder(Layers("abc"), other=Layers("abc")),  # two could be meant
        Holder(
            Layers("a"), b=nn.Linear(3, 3), c=nn.Linear(3, 3)
        ),  # one is held, the others are not
    ],
)
def test_where_not_all_fit_under_one_prefix_it_is_an_error_as_before(model: Any):
    _, state = saved()
    with pytest.raises(OptimizerError, match=r"missing \(here, and not in the state\)|unexpected"):
        loads(model, state)
    back = AdamWConfig().create_optimizer(model)
    with pytest.raises(OptimizerError, match=r"missing \(here, and not in the state\)|unexpected"):
        loads(Layers(), copy.deepcopy(back.state_dict()))


def test_a_layer_of_another_name_is_no_prefix():
    encoder, decoder = (nn.ModuleDict({name: nn.Linear(3, 3)}) for name in ("encoder", "decoder"))
    state = AdamWConfig().create_optimizer(encoder).state_dict()
    with pytest.raises(
        OptimizerError, match=r"'decoder.weight', .* \(was the first 'encoder.weight'"
    ):
        loads(decoder, state)


def test_a_prefix_that_could_be_either_of_two_is_none():
    model = Holder(Holder(nn.Module()))
    for holder in (model, model.net, model.net.net):
        holder.weight = nn.Parameter(torch.ones(1), requires_grad=holder is model.net)
    # One of these is net.weight: the first in one holder more, the second in two.
    state = saved(model=Layers("a"), times=0)[1]
    state["param_groups"][0]["param_names"] = ["other.net.weight", "other.net.net.weight"]
    with pytest.raises(OptimizerError, match=r"missing .*'net.weight'"):
        loads(model, state)


def test_shapes_are_looked_at_under_another_prefix_too():
    _, state = saved()
    with pytest.raises(OptimizerError, match=r"net.a.weight is \(4, 4\), and its saved exp_avg is"):
        loads(Holder(Layers(width=4)), state)


# -- the policy ------------------------------------------------------------------------------------


def test_fields_of_every_group_come_from_the_config():
    rule = {"name": "one", "select": "a", "lr_mult": 10}
    base = {"groups": [rule]}
    _, state = saved(AdamWConfig.model_validate({"lr": 0.1, "weight_decay": 0.3, **base}))
    config = AdamWConfig.model_validate({"lr": 0.2, "weight_decay": 0.4, "eps": 0.1, **base})
    fields = {"policy": "override", "fields": ["lr", "weight_decay"]}
    again = config.create_optimizer(Layers(), run=policy(**fields))
    again.load_state_dict(state)
    assert [group["lr"] for group in again.param_groups] == [2.0, 0.2]
    assert {group["weight_decay"] for group in again.param_groups} == {0.4}
    assert {group["eps"] for group in again.param_groups} == {1e-8}


@pytest.mark.parametrize("optimizer_first", [True, False])
@pytest.mark.parametrize("fields", [[], ["lr"], ["betas"]])
def test_a_schedule_multiplies_what_the_policy_says(fields: list[str], optimizer_first: bool):
    schedule = CosineScheduleConfig()
    model = Layers()
    optimizer = AdamWConfig(lr=0.1).create_optimizer(model)
    scheduler: Any = schedule.create_scheduler(optimizer, TEN)["scheduler"]
    for _ in range(4):
        step(model, optimizer)
        scheduler.step()
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))

    run = policy(policy="override", fields=fields) if fields else None
    again = AdamWConfig(lr=0.3, betas=(0.5, 0.6)).create_optimizer(Layers("cab"), run=run)
    resumed: Any = schedule.create_scheduler(again, TEN)["scheduler"]
    pairs = [(again, states[0]), (resumed, states[1])]
    for loads, state in pairs if optimizer_first else pairs[::-1]:
        loads.load_state_dict(state)
    base = 0.3 if fields == ["lr"] else 0.1
    curve = schedule.curve(TEN)
    for at in range(4, 10):
        assert again.param_groups[0]["lr"] == pytest.approx(base * curve(at))
        resumed.step()
    assert again.param_groups[0]["betas"][0] == (0.5 if fields == ["betas"] else 0.9)


def test_a_group_that_joined_late_takes_what_it_began_with():
    model, late = Layers("ab"), nn.Parameter(torch.ones(3))
    run = policy(policy="override", fields=["lr"])
    optimizer = AdamWConfig(lr=0.3).create_optimizer(model, run=run)
    scheduler: Any = CosineScheduleConfig().create_scheduler(optimizer, TEN)["scheduler"]
    optimizer.add_param_group({"params": late, "lr": 0.7})
    step(model, optimizer)
    scheduler.step(5)
    state = copy.deepcopy(optimizer.state_dict())
    for group in state["param_groups"]:
        group["lr"] = group["initial_lr"] = 1.0
    optimizer.load_state_dict(state)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.15, 0.35])


def test_an_option_that_there_is_not_is_refused():
    _, state = saved()
    again = AdamWConfig().create_optimizer(Layers(), run=policy(policy="override", fields=["lrr"]))
    text = r"resume: fields: unknown option of the optimizer 'lrr'; did you mean 'lr'\? \(known: "
    with pytest.raises(OptimizerError, match=text):
        again.load_state_dict(state)


def test_a_policy_says_one_thing():
    with pytest.raises(ValidationError, match="override takes nothing; list what it takes"):
        ResumeConfig(policy="override")
    with pytest.raises(ValidationError, match="keep takes no fields; write policy: override"):
        ResumeConfig(fields=("lr",))
    for bad in ({"policy": "extends"}, {"fields": "lr"}, {"fields": [""]}, {"allow_missing": 1}):
        with pytest.raises(ValidationError):
            ResumeConfig.model_validate(bad)


# -- beside other ways of saving -------------------------------------------------------------------


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("config", [AdamWConfig(), MuonWithAdamWConfig()])
def test_torchs_distributed_checkpoints_know_names_themselves(config: Any, flatten: bool):
    options = StateDictOptions(flatten_optimizer_state_dict=flatten)
    model = Layers("abc")
    optimizer = config.create_optimizer(model)
    step(model, optimizer)
    state = copy.deepcopy(get_optimizer_state_dict(model, optimizer, options=options))
    resumed = Layers("cab")
    again = config.create_optimizer(resumed)
    set_optimizer_state_dict(resumed, again, copy.deepcopy(state), options=options)
    resumed.load_state_dict(model.state_dict())
    step(model, optimizer)
    step(resumed, again)
    assert_equal(resumed.state_dict(), model.state_dict())


def test_torchs_own_optimizer_takes_the_state():
    model, state = saved()
    plain = torch.optim.AdamW(model.parameters())
    plain.load_state_dict(state)
    assert len(plain.state) == 6
    again = AdamWConfig().create_optimizer(Layers("cab"))
    again.load_state_dict(plain.state_dict())
    assert_equal(averages(again.state_dict()), averages(state))


def test_what_belongs_to_no_parameter_is_taken_as_it_is():
    _, state = saved()
    again = AdamWConfig().create_optimizer(Layers("cab"))
    again.load_state_dict({**state, "state": {**state["state"], "epoch": 3}})
    assert again.state["epoch"] == 3  # type: ignore[index]


def test_fabric_saves_and_loads_names(tmp_path: Any):
    fabric = Fabric(accelerator="cpu", devices=1)
    _, state = saved()
    model = fabric.setup_module(Layers("cab"))
    optimizer = fabric.setup_optimizers(AdamWConfig().create_optimizer(model))
    optimizer.load_state_dict(state)
    fabric.save(tmp_path / "state.ckpt", {"optimizer": optimizer})
    again = fabric.setup_optimizers(AdamWConfig().create_optimizer(Layers("bca")))
    fabric.load(tmp_path / "state.ckpt", {"optimizer": again})
    assert_equal(averages(again.state_dict()), averages(state))


def test_what_is_given_to_load_is_not_changed():
    _, state = saved()
    before = copy.deepcopy(state)
    AdamWConfig().create_optimizer(Layers("cab")).load_state_dict(state)
    assert state["param_groups"] == before["param_groups"]
    assert state["state"].keys() == before["state"].keys()


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
    for step in (count, torch.tensor(count)):
        state["state"][0]["step"] = step
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
