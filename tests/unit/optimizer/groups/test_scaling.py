"""Width transfer: the factors on the rates, and that activations then change alike at any width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.models import Transformer, names_in, settings
from torch import Tensor, nn

from nshtrainer.configs import (
    AdamConfig,
    AdamWConfig,
    MuonConfig,
    OptimizerConfig,
    RMSpropConfig,
    SGDConfig,
    WidthTransferConfig,
)
from nshtrainer.exceptions import ConfigError, OptimizerError
from nshtrainer.optimizer.groups.scaling import coordinate_check

WIDTHS = (32, 64, 128, 256, 512)


class Network(nn.Module):
    """A first layer of fixed inputs, two hidden layers, and a head of fixed outputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Linear(8, width)
        self.hidden = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.head = nn.Linear(width, 4)
        self.inputs, self.targets = torch.randn(16, 8), torch.randn(16, 4)

    def loss(self) -> Tensor:
        x = torch.tanh(self.stem(self.inputs))
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return nn.functional.mse_loss(self.head(x), self.targets)


def transfer(width: int) -> WidthTransferConfig:
    hidden = {"role": "matrix", "none_of": "stem"}
    return WidthTransferConfig.model_validate({"base_width": 32, "width": width, "hidden": hidden})


def start(config: Any, transfers: bool) -> Callable[[int], Any]:
    def model_of(width: int) -> Any:
        model, optimizer = Network(width), config
        if transfers:
            transfer(width).initialize_(model)
            optimizer = config.replace(width_transfer=transfer(width))
        return model, optimizer.create_optimizer(model), model.loss

    return model_of


CONFIGS = [AdamConfig(lr=3e-3), AdamWConfig(lr=3e-3), RMSpropConfig(lr=1e-3), SGDConfig(lr=0.1)]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)


@every_config
@pytest.mark.parametrize("steps", [1, 4])
def test_every_layer_changes_alike_at_every_width(config: OptimizerConfig, steps: int):
    powers = coordinate_check(start(config, True), WIDTHS, steps=steps)
    assert set(powers) == {"stem", "hidden.0", "hidden.1", "head"}
    assert all(abs(power) < 0.15 for power in powers.values()), powers


@every_config
def test_without_it_the_change_grows_with_the_width(config: OptimizerConfig):
    powers = coordinate_check(start(config, False), WIDTHS, steps=1)
    assert powers["hidden.0"] > 0.3
    assert powers["head"] > 0.5


@pytest.mark.parametrize(
    ("cls", "rates"),
    [
        (AdamWConfig, {"input": 0.1, "hidden": 0.025, "output": 0.025}),
        (SGDConfig, {"input": 0.4, "hidden": 0.1, "output": 0.025}),
    ],
)
def test_each_part_has_its_factor(cls: Any, rates: dict[str, float]):
    model = Network(128)
    optimizer = cls(lr=0.1, width_transfer=transfer(128)).create_optimizer(model)
    found = names_in(optimizer, model)
    part = {name: group for group, names in found.items() for name in names}
    rate = settings(optimizer, "lr")
    expected = {"stem.weight": "input", "hidden.0.weight": "hidden", "head.weight": "output"}
    for name, kind in expected.items():
        assert rate[part[name]] == (pytest.approx(rates[kind]),)
    assert rate[part["head.bias"]] == (0.1,)
    assert rate[part["stem.bias"]] == (pytest.approx(rates["input"]),)


def test_a_model_of_the_base_width_is_left_as_it_is():
    model, plain = Network(32), Network(32)
    transfer(32).initialize_(model)
    assert all(map(torch.equal, model.parameters(), plain.parameters()))
    optimizer = AdamWConfig(width_transfer=transfer(32)).create_optimizer(model)
    assert len(optimizer.param_groups) == 1


def test_it_multiplies_with_layers_and_rules():
    config = AdamWConfig.model_validate(
        {
            "lr": 1.0,
            "layer_decay": 0.3,
            "width_transfer": {"base_width": 2, "width": 4},
            "groups": [{"name": "top", "select": "blocks.1", "lr_mult": 3}],
        }
    )
    rates = settings(config.create_optimizer(Transformer(depth=2)), "lr")
    assert rates["layer_1/hidden"] == (pytest.approx(0.045),)
    assert rates["top/hidden"] == (pytest.approx(0.45),)
    assert rates["top"] == (pytest.approx(0.9),)
    assert rates["layer_3/output"] == (0.5,)


def test_a_head_that_is_tied_to_the_embedding_has_no_one_rate():
    config = AdamWConfig(width_transfer=WidthTransferConfig(base_width=2, width=4))
    with pytest.raises(OptimizerError, match=r"'embed.weight' and 'lm_head.weight' are one tied"):
        config.create_optimizer(Transformer(tied=True))


def test_it_needs_the_modules():
    config = AdamWConfig(width_transfer=WidthTransferConfig(base_width=2, width=4))
    with pytest.raises(OptimizerError, match="width_transfer: parameters are selected"):
        config.create_optimizer(Transformer().named_parameters())


def test_an_optimizer_whose_rule_is_not_known_is_refused():
    with pytest.raises(ConfigError, match="how the rate of muon follows the width is not known"):
        MuonConfig.from_yaml("width_transfer: {base_width: 2, width: 4}")


def test_outputs_that_are_no_tensors_are_left_out_of_the_check():
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    def pair(width: int) -> Any:
        layers = nn.ModuleList([nn.Linear(width, width), Pair()])
        optimizer = torch.optim.SGD(layers.parameters(), lr=0.1)
        return layers, optimizer, lambda: layers[1](layers[0](torch.ones(width)))[0].square().mean()

    assert set(coordinate_check(pair, [2, 4], steps=1)) == {"0"}
