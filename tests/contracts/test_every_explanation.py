"""Laws of `explain`: it agrees with what is built, on any device, and changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts import test_every_optimizer as of_torch
from tests.contracts import test_every_package_optimizer as of_packages
from tests.support import configs_of
from torch import nn

from nshtrainer import Config, create, explain
from nshtrainer.analysis.summary import GroupRow
from nshtrainer.configs import OptimizerConfig
from nshtrainer.exceptions import NshtrainerError

pytestmark = pytest.mark.usefixtures("_as_written")
_as_written = of_packages._as_written

PACKAGES = [cls for cls in of_packages.EVERY if not cls.instead_on_cpu]
FIRST = {cls.extra: cls for cls in reversed(PACKAGES)}.values()
every_optimizer = pytest.mark.parametrize(
    ("of", "cls"),
    [
        *((of_torch, cls) for cls in of_torch.EVERY),
        *(
            pytest.param(of_packages, cls, marks=[] if cls in FIRST else pytest.mark.slow)
            for cls in PACKAGES
        ),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
HOW = {"capturable", "differentiable", "foreach", "fused"}


def facts(row: GroupRow) -> dict[str, Any]:
    """Return what does not depend on the device."""
    options = {key: value for key, value in row.options.items() if key not in HOW}
    return {**vars(row), "options": options, "implementation": None, "optimizer": None}


def snapshot(model: nn.Module) -> list[Any]:
    """Return all that might change in a model, and the generators of random numbers."""
    modules = [(id(module), _copied(vars(module))) for module in model.modules()]
    params = [
        (id(p), p.requires_grad, id(p.grad), p._version, _copied(vars(p)), p._backward_hooks)
        for p in model.parameters()
    ]
    return [modules, params, torch.random.get_rng_state().tolist(), random.getstate()]


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    return {key: dict(v) if isinstance(v, dict) else v for key, v in values.items()}


@every_optimizer
def test_it_agrees_with_what_is_built_and_changes_nothing(of: Any, cls: Any) -> None:
    model = of.make_model(cls)
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    config = of_packages.modest(cls) if of is of_packages else cls()
    before = snapshot(model)
    found = explain(model, config)
    assert snapshot(model) == before
    built = explain(model, config.create_optimizer(model))
    assert found == built

    on_meta = explain(of.make_model(cls).to("meta"), config)
    assert list(map(facts, on_meta.groups)) == list(map(facts, built.groups))


def outcome(call: Callable[[], Any]) -> Any:
    """Return the result, or the message of an error."""
    try:
        return call()
    except NshtrainerError as error:
        return str(error)


@pytest.mark.parametrize("cls", of_torch.EVERY, ids=lambda cls: cls.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_any_config_is_explained_as_it_is_built_or_refused_alike(
    cls: Any, data: st.DataObject
) -> None:
    config = data.draw(configs_of(cls)).replace(lr_scaling=None)
    model = of_torch.make_model(cls)
    found = outcome(lambda: explain(model, config))
    assert found == outcome(lambda: explain(model, config.create_optimizer(model)))


class Holder(Config):
    optimizer: OptimizerConfig


CLIPPED = {"name": "clipped", "max_norm": 1, "optimizer": "adamw"}
CONFIGS: dict[str, dict[str, Any]] = {
    "presets": {"name": "adamw", "no_decay": "bias_and_norm", "layer_decay": {"rate": 0.5}},
    "rules": {
        "name": "sgd",
        "momentum": 0.9,
        "groups": [
            {"name": "stem", "select": "0", "freeze": True},
            {"name": "norms", "select": {"role": "norm"}, "lr_mult": 2},
        ],
    },
    "frozen": {"name": "sgd", "include_frozen": True},
    "rates in tensors": {"name": "adamw", "tensor_lr": True},
    "a hook on the rate": {"name": "rprop", "tensor_lr": True},
    "routes": {"name": "muon_with_adamw"},
    "wrapped": {
        "name": "lookahead",
        "optimizer": {"name": "clipped", "max_norm": 1, "optimizer": "adamw"},
    },
    "wrapped route": {
        "name": "routed",
        "default": "adagrad",
        "routes": [
            {"name": "a", "select": "1.*", "optimizer": {"name": "lookahead", "optimizer": "adam"}}
        ],
    },
}


def make_stack() -> nn.Module:
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(3)]
    model = nn.Sequential(*blocks)
    model[2][0].bias.requires_grad_(requires_grad=False)
    return model


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_rules_routes_presets_and_wrappers_agree_with_what_is_built(name: str, device: str) -> None:
    model = make_stack().to(device)
    before = snapshot(model)
    found = explain(model, CONFIGS[name])
    assert snapshot(model) == before
    config = Holder.from_mapping({"optimizer": CONFIGS[name]}).optimizer
    built = explain(model, create(config, None, model)[0])
    assert list(map(facts, found.groups)) == list(map(facts, built.groups))
    assert (found.frozen, found.uncovered) == (built.frozen, built.uncovered)
