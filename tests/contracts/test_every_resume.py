"""Laws of a state that is loaded into a changed optimizer, for every optimizer of torch's."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch
from tests.contracts.test_every_optimizer import EVERY, Config, Table, every_optimizer, make_model
from tests.support import CONFIG_CHANGED, assert_ranges_are_checked, saved_and_loaded, train
from torch import Tensor, nn

from nshtrainer import RunLength
from nshtrainer.configs import AdamWConfig, ResumeConfig, RoutedOptimizerConfig, SGDConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.checkpoint.hooks import resume_by_name

pytestmark = pytest.mark.filterwarnings(CONFIG_CHANGED)


def turned(model: Any) -> list[tuple[str, Any]]:
    """The parameters of a model from the last to the first."""
    return list(model.named_parameters())[::-1]


def trained(cls: Config, **fields: Any) -> tuple[Any, Any, dict[str, Any]]:
    """A model, its optimizer after 3 updates, and what was saved of both then."""
    model = make_model(cls)
    optimizer = cls.model_validate({"lr": 0.01, **fields}).create_optimizer(model)
    train(model, optimizer, 3)
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    return model, optimizer, saved_and_loaded(states)


trained_once = functools.cache(trained)


def saved_states(cls: Config) -> dict[str, Any]:
    """A copy, for a test to change, of what is saved after the same 3 updates each time."""
    return copy.deepcopy(trained_once(cls)[2])


def assert_same_steps(cls: Config, model: Any, optimizer: Any, resumed: Any, again: Any) -> None:
    train(model, optimizer, 3)
    train(resumed, again, 3)
    # One state for all is a row, and the sum of another row is rounded otherwise.
    tolerance = 1e-5 if cls.needs_one_group else 0.0
    others = dict(resumed.named_parameters())
    for name, param in model.named_parameters():
        torch.testing.assert_close(others[name], param, rtol=tolerance, atol=tolerance)


@every_optimizer
def test_parameters_in_another_order_keep_their_own_state(cls: Config):
    model, optimizer, saved = trained(cls)
    resumed = make_model(cls, seed=1)
    resumed.load_state_dict(saved["model"])
    again = cls(lr=0.5).create_optimizer(turned(resumed))  # type: ignore[call-arg]
    again.load_state_dict(saved["optimizer"])
    assert_same_steps(cls, model, optimizer, resumed, again)


@every_optimizer
def test_parameters_in_other_groups_keep_their_own_state(cls: Config):
    model, optimizer, saved = trained(cls)
    resumed = make_model(cls, seed=1)
    resumed.load_state_dict(saved["model"])
    select = "*" if cls.needs_one_group else turned(resumed)[0][0]
    rule = {"name": "one", "select": select}
    again = cls.model_validate({"lr": 0.01, "groups": [rule]}).create_optimizer(resumed)
    again.load_state_dict(saved["optimizer"])
    assert_same_steps(cls, model, optimizer, resumed, again)


@every_optimizer
def test_of_a_state_without_names_the_order_counts(cls: Config):
    model, optimizer, saved = trained(cls)
    resumed = make_model(cls, seed=1)
    resumed.load_state_dict(saved["model"])
    for group in saved["optimizer"]["param_groups"]:
        del group["param_names"]
    again = cls(lr=0.5).create_optimizer(resumed)  # type: ignore[call-arg]
    again.load_state_dict(saved["optimizer"])
    assert_same_steps(cls, model, optimizer, resumed, again)


@every_optimizer
def test_switches_that_an_older_state_does_not_have_are_filled_in(cls: Config):
    saved = saved_states(cls)["optimizer"]
    for group in saved["param_groups"]:
        for key in [key for key, value in group.items() if value is None or value is False]:
            del group[key]
    model = make_model(cls)
    again = cls(lr=0.01).create_optimizer(model)  # type: ignore[call-arg]
    before = [set(group) for group in again.param_groups]
    again.load_state_dict(saved)
    assert all(keys <= set(group) for keys, group in zip(before, again.param_groups, strict=True))
    train(model, again, 1)


class Holder(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def loss(self) -> Tensor:
        return self.net.loss()


@every_optimizer
def test_a_state_goes_into_a_module_that_holds_the_model_and_out_of_it(cls: Config):
    model, optimizer, saved = trained(cls)
    held = Holder(make_model(cls, seed=1))
    held.net.load_state_dict(saved["model"])
    inside = cls(lr=0.5).create_optimizer(list(held.named_parameters())[::-1])  # type: ignore[call-arg]
    inside.load_state_dict(saved["optimizer"])
    resumed = make_model(cls, seed=1)
    resumed.load_state_dict(saved["model"])
    outside = cls(lr=0.5).create_optimizer(resumed)  # type: ignore[call-arg]
    outside.load_state_dict(saved_and_loaded(inside.state_dict()))
    assert_same_steps(cls, model, optimizer, resumed, outside)


@every_optimizer
def test_a_state_of_other_names_is_refused_unless_it_is_allowed(cls: Config):
    saved = saved_states(cls)
    names = saved["optimizer"]["param_groups"][0]["param_names"]
    was, names[0] = names[0], "elsewhere"
    model = make_model(cls)
    with pytest.raises(OptimizerError, match=f"missing .*'{was}'.*unexpected .*'elsewhere'"):
        cls().create_optimizer(model).load_state_dict(saved["optimizer"])


@every_optimizer
def test_what_may_be_missing_starts_afresh(cls: Config):
    model, _, saved = trained(cls)
    saved["optimizer"]["param_groups"][0]["param_names"][0] = "elsewhere"
    policy = ResumeConfig(allow_missing=True, allow_unexpected=True)
    again = cls().create_optimizer(model, run=RunLength(resume=policy))
    fresh = cls().create_optimizer(make_model(cls))
    again.load_state_dict(saved["optimizer"])
    first, *_ = model.parameters()
    other = fresh.param_groups[0]["params"][0]
    assert again.state.get(first, {}).keys() == fresh.state.get(other, {}).keys()
    train(model, again, 2)


@every_optimizer
def test_an_unchanged_optimizer_goes_on_without_a_word_under_every_policy(cls: Config):
    model, _, saved = trained(cls)
    for policy in (
        ResumeConfig(),
        ResumeConfig(policy="extend"),
        ResumeConfig(policy="error"),
        ResumeConfig(policy="override", fields=("lr",)),
    ):
        again = cls(lr=0.01).create_optimizer(model, run=RunLength(resume=policy))  # type: ignore[call-arg]
        again.load_state_dict(saved["optimizer"])  # a warning would be an error
        assert again.state_dict()["config"] == saved["optimizer"]["config"]


@every_optimizer
def test_the_options_that_a_policy_names_come_from_the_config(cls: Config):
    model, _, saved = trained(cls)
    policy = ResumeConfig(policy="override", fields=("lr",))
    for in_tensor in (False, True):
        config = cls(lr=0.25, tensor_lr=in_tensor)  # type: ignore[call-arg]
        again = config.create_optimizer(model, run=RunLength(resume=policy))
        again.load_state_dict(saved["optimizer"])
        assert [float(group["lr"]) for group in again.param_groups] == [0.25]


@pytest.mark.parametrize("cls", [cls for cls in EVERY if not cls.needs_one_group])
def test_a_group_without_names_may_join(cls: Config):
    model, other = make_model(cls), make_model(cls, seed=1)
    optimizer = cls().create_optimizer(model)
    optimizer.add_param_group({"params": list(other.parameters())})
    again = cls().create_optimizer(model)
    again.add_param_group({"params": list(other.parameters())})
    train(model, optimizer, 1)
    train(other, optimizer, 1)
    again.load_state_dict(saved_and_loaded(optimizer.state_dict()))
    for param in (*model.parameters(), *other.parameters()):
        ours, theirs = again.state.get(param, {}), optimizer.state.get(param, {})
        torch.testing.assert_close(dict(ours), dict(theirs), rtol=0, atol=0)


# -- states that do not fit ------------------------------------------------------------------------


def edited(state: Any, change: Any, turn: int) -> Iterator[Any]:
    """The state with one value of a parameter changed, for each of its tensors with dimensions."""
    of_tensors = {
        key: [name for name, value in held.items() if torch.is_tensor(value) and value.numel() > 1]
        for key, held in state["state"].items()
    }
    keys = [key for key, names in of_tensors.items() if names]
    key = keys[turn % len(keys)]
    for name in of_tensors[key]:
        held = state["state"][key]
        other = {**held, name: change(held[name])}
        yield {**state, "state": {**state["state"], key: other}}


BAD_VALUES = {
    "one row": lambda value: value[:1] if len(value) > 1 else value[:, :1],
    "one number": lambda value: value.new_zeros((1,) * value.ndim),
    "a scalar": lambda value: value.sum(),
    "no dimension": lambda value: value.flatten()[:1],
    "whole numbers": lambda value: value.long(),
    "sparse": lambda value: value.to_sparse(),
    "no memory": lambda value: value.to("meta"),
    "text": lambda _: "text",
    "a number": lambda _: 0.5,
    "a list": lambda value: value.tolist(),
}


@every_optimizer
def test_a_state_of_another_shape_or_kind_is_refused_and_changes_nothing(cls: Config):
    fields = {"momentum": 0.9} if "momentum" in cls.model_fields else {}
    _, _, saved = trained(cls, **fields)
    model = make_model(cls)
    again = cls.model_validate({"lr": 0.01, **fields}).create_optimizer(model)
    before = saved_and_loaded(again.state_dict()["state"])
    for turn, change in enumerate(BAD_VALUES.values()):  # each parameter has its turn
        states = list(edited(saved["optimizer"], change, turn))
        assert states
        for state in states:
            with pytest.raises(OptimizerError, match="does not fit"):
                again.load_state_dict(state)
            assert again.state_dict()["state"].keys() == before.keys()
    again.load_state_dict(saved["optimizer"])


@every_optimizer
def test_the_state_of_another_optimizer_trains_or_is_refused(cls: Config):
    for other in EVERY:
        model = Table()
        model.table.sparse = other.needs_sparse_gradients
        first = other().create_optimizer(model)
        train(model, first, 2)
        model.table.sparse = cls.needs_sparse_gradients
        again = cls().create_optimizer(model)
        with suppress(OptimizerError):
            again.load_state_dict(saved_and_loaded(first.state_dict()))
        train(model, again, 2)


@every_optimizer
def test_an_option_of_another_kind_is_refused(cls: Config):
    saved = saved_states(cls)
    again = cls().create_optimizer(make_model(cls))
    numbers: tuple[Any, ...] = (
        math.nan,
        math.inf,
        torch.tensor(math.nan),
        torch.ones((), device="meta"),
    )
    for bad in ("text", {"lr": 1}, torch.ones(2), *numbers, None):
        group = {**saved["optimizer"]["param_groups"][0], "lr": bad}
        with pytest.raises(OptimizerError, match="does not fit: the option lr is "):
            again.load_state_dict({**saved["optimizer"], "param_groups": [group]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {**state, "state": None}, "state is none, not a mapping"),
        (lambda state: {**state, "state": {**state["state"], 0: [1]}}, "state.0 is a list"),
        (lambda state: {**state, "param_groups": {}}, "param_groups is a mapping, not a list"),
        (lambda state: {**state, "param_groups": ["text"]}, "param_groups.0 is text"),
        (lambda state: {**state, "param_groups": [{}]}, "param_groups.0.params is missing"),
        (lambda state: {**state, "param_groups": [{"params": [[]]}]}, "params has a list in it"),
        (lambda state: {**state, "parked": "text"}, "parked is text, not a mapping"),
        (lambda state: {**state, "parked": {"a": 1}}, "parked is a number, not a mapping"),
    ],
)
@every_optimizer
def test_what_is_no_state_of_an_optimizer_is_refused(cls: Config, change: Any, message: str):
    saved = saved_states(cls)
    again = cls().create_optimizer(make_model(cls))
    with pytest.raises(OptimizerError, match=f"does not fit: .*{message}"):
        again.load_state_dict(change(saved["optimizer"]))


@every_optimizer
def test_an_option_out_of_the_range_of_its_field_is_refused(cls: Config):
    assert_ranges_are_checked(cls, make_model(cls), cls())


def test_options_of_a_route_are_checked_against_the_fields_of_its_optimizer() -> None:
    route = {"name": "all", "select": "*", "optimizer": {"name": "sgd", "momentum": 0.9}}
    config = RoutedOptimizerConfig.from_mapping({"name": "routed", "routes": [route]})
    assert_ranges_are_checked(SGDConfig, make_model(SGDConfig), config)


def test_a_base_value_within_a_tuple_is_checked_as_a_part_of_it() -> None:
    model = make_model(AdamWConfig)
    optimizer = AdamWConfig().create_optimizer(model)
    saved = optimizer.state_dict()
    group = saved["param_groups"][0]
    saved["param_groups"] = [{**group, 3: 4, "initial_betas.0": 1.5}]
    with pytest.raises(OptimizerError, match=r"initial_betas\.0 is 1\.5: input should"):
        optimizer.load_state_dict(saved)
    saved["param_groups"] = [{**group, "lr": 0.0, "betas": [0.5, 0.9], "initial_betas.0": 0.7}]
    optimizer.load_state_dict(saved)


def test_without_a_config_only_rates_have_a_range() -> None:
    model = make_model(SGDConfig)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    resume_by_name(optimizer, model)
    saved = optimizer.state_dict()
    group = saved["param_groups"][0]
    for bad in ({"initial_lr": -1.0}, {"lr": -1.0}, {"initial_momentum": math.nan}):
        with pytest.raises(OptimizerError, match=f"does not fit: the option {min(bad)} is "):
            optimizer.load_state_dict({**saved, "param_groups": [{**group, **bad}]})
    optimizer.load_state_dict({**saved, "param_groups": [{**group, "initial_x": -1.0}]})
