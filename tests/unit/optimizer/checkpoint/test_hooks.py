"""Resume by name, in plain torch: what a changed optimizer finds of itself in a saved state."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from tests.support import CONFIG_CHANGED
from torch import Tensor, nn

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    ResumeConfig,
)
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer_record import record_of

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


def test_the_config_in_force_has_the_values_of_the_checkpoint() -> None:
    config = AdamWConfig(lr=0.5, weight_decay=0.5)
    optimizer = config.create_optimizer(Layers())
    hooks = record_of(optimizer).state_hooks
    assert (hooks.config, hooks.in_force) == (config, config.to_dict())
    optimizer.load_state_dict(saved(AdamWConfig(lr=0.1))[1])
    assert hooks.config == config
    assert hooks.in_force == AdamWConfig(lr=0.1).to_dict()
