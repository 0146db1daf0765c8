"""Muon for hidden matrices and AdamW for the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.unit.optimizer.test_routed_config import ALL, Model, names_in, route, routed
from torch import nn

from nshtrainer.configs import (
    AdamWConfig,
    ClippedConfig,
    MuonConfig,
    MuonWithAdamWConfig,
    RouteConfig,
    RoutedOptimizerConfig,
    SelectorConfig,
    SGDConfig,
)
from nshtrainer.exceptions import OptimizerError

MATRICES = ["blocks.0.linear.weight", "blocks.1.linear.weight"]
matrices = SelectorConfig(role="matrix")


# -- Muon with AdamW -------------------------------------------------------------------------------


def test_muon_takes_no_layer_with_one_output() -> None:
    model: Any = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 1, bias=False))
    assert MuonWithAdamWConfig().routing(model) == {"0.weight": "muon", "1.weight": "adamw"}
    gated = nn.Sequential(nn.Linear(8, 1, bias=False), nn.Linear(1, 8, bias=False), *model)
    taken = MuonWithAdamWConfig().routing(gated)
    assert [name for name, route in taken.items() if route == "muon"] == ["2.weight"]
    for name in ("value", "score"):
        layers = nn.ModuleDict({"body": nn.Linear(8, 8, bias=False), name: nn.Linear(8, 1)})
        assert MuonWithAdamWConfig().routing(layers)[f"{name}.weight"] == "adamw"


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest():
    model = Model()
    config = MuonWithAdamWConfig()
    optimizer = config.create_optimizer(model)
    rest = [name for name in ALL if name not in MATRICES]
    assert names_in(model, optimizer) == {"muon": MATRICES, "adamw": rest}
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 3e-4]
    assert set(config.routing(model)) == set(ALL)
    assert isinstance(optimizer.routes["muon"], torch.optim.Muon)  # type: ignore[attr-defined]


def test_kernels_of_convolutions_are_muons_by_choice():
    model = Model()
    optimizer = MuonWithAdamWConfig(convolutions=True).create_optimizer(model)
    assert names_in(model, optimizer)["muon"] == ["conv.weight", *MATRICES]
    before = model.conv.weight.detach().clone()
    for param in model.parameters():
        param.grad = torch.randn_like(param)
    optimizer.step()
    assert not torch.equal(before, model.conv.weight)


def test_it_is_the_routes_that_one_would_write():
    preset = MuonWithAdamWConfig(
        muon=MuonConfig(lr=0.1), adamw=AdamWConfig(no_decay="bias_and_norm")
    )
    written = RoutedOptimizerConfig(
        routes=(
            RouteConfig(name="muon", select=matrices, optimizer=preset.muon),
            RouteConfig(name="adamw", select="*", optimizer=preset.adamw),
        )
    )
    one, other = Model(), Model()
    ours, theirs = preset.create_optimizer(one), written.create_optimizer(other)
    assert names_in(one, ours) == names_in(other, theirs)
    assert without_config(ours) == without_config(theirs)


def without_config(optimizer: Any) -> dict[str, Any]:
    return {key: value for key, value in optimizer.state_dict().items() if key != "config"}


def test_what_muon_takes_may_be_extended_and_narrowed():
    def muons(**options: Any) -> list[str]:
        model = Model()
        return names_in(model, MuonWithAdamWConfig(**options).create_optimizer(model))["muon"]

    assert muons(include="embedding") == ["embedding.weight", *MATRICES]
    assert muons(include=("embedding", "blocks.1.linear.weight")) == ["embedding.weight", *MATRICES]
    assert muons(exclude="blocks.0") == MATRICES[1:]
    assert muons(include="blocks.*.linear.weight", exclude=("conv", "blocks.1")) == MATRICES[:1]
    written = MuonWithAdamWConfig(include=("a", SelectorConfig(ndim=2)), exclude="b")
    assert MuonWithAdamWConfig.from_yaml(written.to_yaml()) == written


@pytest.mark.parametrize("field", ["include", "exclude"])
def test_an_exception_that_matches_nothing_is_an_error(field: str):
    text = rf"MuonWithAdamWConfig: {field}: 'embeding' matches no .*nearest are 'embedding'"
    with pytest.raises(OptimizerError, match=text):
        MuonWithAdamWConfig(**{field: "embeding"}).create_optimizer(Model())  # type: ignore[arg-type]


def test_muon_does_not_take_what_has_no_two_dimensions_even_when_included():
    with pytest.raises(OptimizerError, match=r"takes parameters of 2 dimensions.*'conv.weight'"):
        MuonWithAdamWConfig(include="conv.weight").create_optimizer(Model())


def test_a_wrapped_optimizer_of_a_route_may_include_what_is_frozen():
    model = Model()
    model.blocks.requires_grad_(False)
    wrapped = ClippedConfig(optimizer=SGDConfig(include_frozen=True), max_norm=1.0)
    groups = names_in(model, routed(route(optimizer=wrapped)).create_optimizer(model))
    assert groups["one"] == [name for name in ALL if name.startswith("blocks")]


def test_a_model_without_a_hidden_matrix_is_an_error_that_says_so():
    with pytest.raises(OptimizerError, match=r"route 'muon': select {role: 'matrix'} matches no"):
        MuonWithAdamWConfig().create_optimizer(nn.LayerNorm(3))
