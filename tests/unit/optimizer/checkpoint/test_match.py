"""Saved states matched by place, under prefixes, and under each policy."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from pydantic import ValidationError
from tests.support import CONFIG_CHANGED
from tests.unit.optimizer.checkpoint.test_hooks import (
    TEN,
    Layers,
    assert_equal,
    averages,
    policy,
    saved,
    step,
)
from tests.unit.optimizer.checkpoint.test_whole_state import routed
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    MuonWithAdamWConfig,
    ResumeConfig,
)
from nshtrainer.exceptions import OptimizerError

pytestmark = pytest.mark.filterwarnings(CONFIG_CHANGED)


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
