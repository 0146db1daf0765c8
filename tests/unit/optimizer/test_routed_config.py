"""Routes as a config: which parameter goes to which optimizer, and what is said when none does."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from nshtrainer import Config, RunLength
from nshtrainer.configs import (
    AdamWConfig,
    BatchScalingConfig,
    LayerDecayConfig,
    LBFGSConfig,
    MuonConfig,
    MuonWithAdamWConfig,
    ParameterGroupConfig,
    RouteConfig,
    RoutedOptimizerConfig,
    SelectorConfig,
    SGDConfig,
)
from nshtrainer.exceptions import ConfigError, OptimizerError
from nshtrainer.optimizer import OptimizerConfig, OptimizerConfigBase, optimizer_registry
from nshtrainer.optimizer.groups.parameters import ParameterSubset, inventory
from nshtrainer.optimizer.parameter_checks import watched


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.linear = nn.Linear(4, 4)


class Model(nn.Module):
    """A tied transformer in miniature, with a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.conv = nn.Conv1d(4, 4, 3)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embedding.weight


ALL = [name for name, _ in Model().named_parameters()]

sgd, adamw = SGDConfig(lr=0.1, momentum=0.9), AdamWConfig()


def route(name: str = "one", select: Any = "blocks.*", **options: Any) -> RouteConfig:
    return RouteConfig(**{"name": name, "select": select, "optimizer": sgd, **options})


def routed(*routes: RouteConfig, **options: Any) -> RoutedOptimizerConfig:
    return RoutedOptimizerConfig(routes=routes, **{"default": adamw, **options})


def names_in(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, list[str]]:
    name_of = {param: name for name, param in model.named_parameters()}
    return {g["name"]: [name_of[p] for p in g["params"]] for g in optimizer.param_groups}


# -- routing ---------------------------------------------------------------------------------------


def test_the_first_route_that_selects_a_parameter_takes_it():
    model = Model()
    config = routed(route("norms", SelectorConfig(module="LayerNorm")), route("blocks", "blocks.*"))
    assert config.routing(model) == {
        "embedding.weight": "default",
        "conv.weight": "default",
        "conv.bias": "default",
        "blocks.0.norm.weight": "norms",
        "blocks.0.norm.bias": "norms",
        "blocks.0.linear.weight": "blocks",
        "blocks.0.linear.bias": "blocks",
        "blocks.1.norm.weight": "norms",
        "blocks.1.norm.bias": "norms",
        "blocks.1.linear.weight": "blocks",
        "blocks.1.linear.bias": "blocks",
    }
    optimizer = config.create_optimizer(model)
    assert list(optimizer.routes) == ["norms", "blocks", "default"]  # type: ignore[attr-defined]
    built = {name: group for group, names in names_in(model, optimizer).items() for name in names}
    assert built == config.routing(model)


def test_a_tied_weight_counts_once_under_all_its_names():
    model = Model()
    config = routed(route("head", "head.weight"))
    assert config.routing(model)["embedding.weight"] == "head"
    assert names_in(model, config.create_optimizer(model))["head"] == ["embedding.weight"]


def test_frozen_parameters_are_left_out():
    model = Model()
    model.embedding.requires_grad_(False)
    model.blocks[0].requires_grad_(False)
    config = routed(route())
    assert "embedding.weight" not in config.routing(model)
    groups = names_in(model, config.create_optimizer(model))
    assert groups["one"] == [name for name in ALL if name.startswith("blocks.1")]
    assert groups["default"] == ["conv.weight", "conv.bias"]


def test_a_route_may_include_its_frozen_parameters():
    model = Model()
    model.blocks[0].requires_grad_(False)
    optimizer = SGDConfig(lr=0.1, include_frozen=True)
    config = routed(route(optimizer=optimizer))
    blocks = [name for name in ALL if name.startswith("blocks")]
    assert names_in(model, config.create_optimizer(model))["one"] == blocks
    assert config.routing(model)["blocks.0.norm.bias"] == "one"


def test_a_default_for_which_nothing_is_left_is_no_part():
    model = Model()
    optimizer = routed(route(select="*")).create_optimizer(model)
    assert list(names_in(model, optimizer)) == ["one"]
    with pytest.raises(OptimizerError, match="param group needs a 'route'"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})


def test_a_group_that_is_added_goes_to_the_default_route():
    optimizer = routed(route()).create_optimizer(Model())
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    assert optimizer.param_groups[-1]["name"] == "default/1"


def test_names_are_enough_where_no_module_is_asked_for():
    model = Model()
    optimizer = routed(route()).create_optimizer(model.named_parameters())
    assert [group["name"] for group in optimizer.param_groups] == ["one", "default"]
    assert optimizer.param_groups[1]["param_names"] == [
        "embedding.weight",
        "conv.weight",
        "conv.bias",
    ]


def test_the_groups_of_a_route_come_behind_its_name():
    model = Model()
    rule = ParameterGroupConfig(name="last", select="blocks.1", lr_mult=10)
    config = routed(
        route("blocks", optimizer=AdamWConfig(no_decay="bias_and_norm", groups=(rule,))),
        default=AdamWConfig(no_decay="ndim_below_2"),
    )
    groups = names_in(model, config.create_optimizer(model))
    assert groups == {
        "blocks/no_decay": ["blocks.0.norm.weight", "blocks.0.norm.bias", "blocks.0.linear.bias"],
        "blocks/default": ["blocks.0.linear.weight"],
        "blocks/last/no_decay": [
            "blocks.1.norm.weight",
            "blocks.1.norm.bias",
            "blocks.1.linear.bias",
        ],
        "blocks/last": ["blocks.1.linear.weight"],
        "default/default": ["embedding.weight", "conv.weight"],
        "default/no_decay": ["conv.bias"],
    }


def test_layers_are_counted_in_the_whole_model_not_in_the_route():
    decay = LayerDecayConfig(rate=0.5, layers="blocks.*")
    config = routed(route(optimizer=SGDConfig(lr=1.0, layer_decay=decay)))
    rates = {g["name"]: g["lr"] for g in config.create_optimizer(Model()).param_groups}
    whole = SGDConfig(lr=1.0, layer_decay=decay).create_optimizer(Model())
    alone = {f"one/{g['name']}": g["lr"] for g in whole.param_groups}
    assert rates.items() - {("default", 1e-3)} <= alone.items()
    assert len(rates) == 3


def test_a_rate_that_follows_the_batch_does_so_in_its_route():
    scaling = BatchScalingConfig(base_batch_size=256)
    config = routed(route(optimizer=SGDConfig(lr=0.1, lr_scaling=scaling)))
    optimizer = config.create_optimizer(Model(), run=RunLength(samples_per_step=1024))
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 1e-3]
    with pytest.raises(OptimizerError, match=r"route 'one': lr_scaling: the batch of one update"):
        config.create_optimizer(Model())


@pytest.mark.parametrize("named", [False, True])
def test_an_optimizer_of_your_own_gets_what_torch_takes(named: bool):
    with optimizer_registry.scoped():

        @optimizer_registry.register
        class MineConfig(OptimizerConfigBase):
            """Mine."""

            name: Literal["mine"] = "mine"

            def create_optimizer(self, params: Any) -> torch.optim.Optimizer:
                return torch.optim.SGD(params, lr=0.5)

        model = Model()
        config = routed(route(optimizer=MineConfig()))
        optimizer = config.create_optimizer(model.named_parameters() if named else model)
        assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1e-3]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("routes", "text"),
    [
        (
            [route("blocks", "block.*.linear")],
            r"route 'blocks': select 'block\.\*\.linear' matches no.*nearest.*'blocks\.0\.linear",
        ),
        (
            [route("all", "*"), route("head", ["head", SelectorConfig(role="head")])],
            r"route 'head': select \['head', {role: 'head'}\] comes too late.*went to 'all'; the",
        ),
        (
            [route("conv", "conv"), route()],
            r"route 'conv': select 'conv' matches frozen parameters only: 'conv.weight'",
        ),
    ],
)
def test_a_route_that_takes_nothing_is_an_error_that_says_why(routes: Any, text: str):
    model = Model()
    model.conv.requires_grad_(False)
    config = routed(*routes)
    for use in (config.create_optimizer, config.routing):
        with pytest.raises(OptimizerError, match=text):
            use(model)


def test_a_route_that_is_not_required_may_take_nothing():
    model = Model()
    config = routed(route("lora", "*.lora_a", required=False), route())
    assert list(names_in(model, config.create_optimizer(model))) == ["one", "default"]


def test_without_a_default_every_parameter_needs_a_route():
    text = r"no route takes 'embedding.weight', 'conv.weight', 'conv.bias'; give a default, or"
    with pytest.raises(OptimizerError, match=text):
        routed(route(), default=None).create_optimizer(Model())
    model = Model()
    model.embedding.requires_grad_(False)
    model.conv.requires_grad_(False)
    assert list(names_in(model, routed(route(), default=None).create_optimizer(model))) == ["one"]


def test_there_must_be_a_parameter_to_optimize():
    with pytest.raises(OptimizerError, match="there is no parameter to optimize"):
        routed(route(required=False)).create_optimizer(Model().requires_grad_(False))


def test_what_looks_at_modules_needs_the_module():
    config = routed(route("norms", SelectorConfig(role="norm")))
    text = r"route 'norms': select {role: 'norm'} looks at modules.*create_optimizer\(module\)"
    with pytest.raises(OptimizerError, match=text):
        config.create_optimizer(Model().named_parameters())
    inner = routed(route(optimizer=AdamWConfig(no_decay="bias_and_norm")))
    with pytest.raises(OptimizerError, match="route 'one': AdamWConfig: no_decay"):
        inner.create_optimizer(Model().named_parameters())


@pytest.mark.parametrize("given", [list(Model().parameters()), [{"params": [nn.Linear(1, 1)]}]])
def test_without_names_nothing_can_be_routed(given: Any):
    with pytest.raises(OptimizerError, match=r"give the module"):
        routed(route()).create_optimizer(given)


def test_what_an_optimizer_cannot_take_is_said_with_its_route():
    text = (
        r"route 'muon': MuonConfig takes parameters of 2 dimensions.*'blocks.0.norm.weight' \(4,\)"
    )
    with pytest.raises(OptimizerError, match=text):
        routed(route("muon", optimizer=MuonConfig())).create_optimizer(Model())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"routes": ()}, "there is no route"),
        ({"routes": (route(), route())}, "'one' is the name of two routes"),
        ({"routes": (route("default"),)}, "'default' is the name of two routes"),
    ],
)
def test_routes_have_names_of_their_own(options: Any, text: str):
    with pytest.raises(ValidationError, match=text):
        RoutedOptimizerConfig(**{"default": adamw, **options})


def test_the_name_of_a_route_has_no_slash():
    with pytest.raises(ValidationError, match="name"):
        route("a/b")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (LBFGSConfig(), "lbfgs computes the loss several times an update"),
        (routed(route()), "routed is routed itself; write its routes beside this one"),
        (MuonWithAdamWConfig(), "muon_with_adamw is routed itself"),
    ],
)
def test_what_cannot_work_beside_others_is_refused(config: Any, text: str):
    with pytest.raises(ValidationError, match=text):
        route(optimizer=config)
    with pytest.raises(ValidationError, match=text):
        routed(route(), default=config)


def test_in_a_file_what_is_wrong_has_its_place():
    class MyConfig(Config):
        optimizer: OptimizerConfig

    text = (
        "optimizer:\n"
        "  name: routed\n"
        "  routes:\n"
        "    - {name: one, select: {role: matrices}, optimizer: lbfgs}\n"
        "    - {name: two, select: head.*, optimizer: {name: sgd, lr: -1}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        MyConfig.from_yaml(text)
    role, closure, rate = str(caught.value).splitlines()
    assert role.startswith("<yaml>:4:34: optimizer.routes.0.select.role: must be 'bias', ")
    assert closure.startswith("<yaml>:4:56: optimizer.routes.0.optimizer: lbfgs computes the loss")
    assert rate == "<yaml>:5:62: optimizer.routes.1.optimizer.lr: must be >= 0 (got -1)"


def test_a_part_of_a_model_gets_routes_and_no_watch() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    every = tuple(inventory(model))
    route = RouteConfig(name="first", select="0", optimizer="sgd")
    config = RoutedOptimizerConfig(routes=[route], default="adamw")
    optimizer = config.create_optimizer(ParameterSubset(model, every, frozenset(every)))
    assert [group["name"] for group in optimizer.param_groups] == ["first", "default"]
    assert watched(optimizer) is None
