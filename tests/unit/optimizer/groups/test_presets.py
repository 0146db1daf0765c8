"""Presets of options: weight-decay exemptions, options that a parameter carries, layer decay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models import Convnet, Transformer, names_in, settings
from tests.unit.optimizer.groups.test_config import config, groups
from torch import nn

from nshtrainer.configs import (
    AdamWConfig,
    LayerDecayConfig,
    ProdigyConfig,
    SelectorConfig,
)
from nshtrainer.exceptions import OptimizerError

# -- presets ---------------------------------------------------------------------------------------


def test_biases_and_norms_do_not_decay():
    spared = groups("no_decay: bias_and_norm", Convnet())["no_decay"]
    assert spared == [
        *("stem.1.weight", "stem.1.bias", "up.bias", "classifier.0.bias", "classifier.2.bias")
    ]


def test_what_has_fewer_than_two_dimensions_does_not_decay():
    model = Transformer(depth=1)
    spared = set(groups("no_decay: ndim_below_2", model)["no_decay"])
    below = {name for name, param in model.named_parameters() if param.ndim < 2}
    assert spared == below | {"pos_embed"}


@pytest.mark.parametrize("preset", ["bias_and_norm", "ndim_below_2"])
def test_what_the_model_lists_does_not_decay_wherever_the_model_is(preset: str):
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Transformer()

    assert "net.pos_embed" in groups(f"no_decay: {preset}", Outer())["no_decay"]
    assert "pos_embed" in groups(f"no_decay: {preset}", Transformer())["no_decay"]


class Marked(nn.Module):
    """What mamba-ssm, S4 and Swin leave for whoever makes the groups."""

    def __init__(self, **optim: Any) -> None:
        super().__init__()
        self.A_log = nn.Parameter(torch.ones(2, 3))
        self.A_log._no_weight_decay = True  # type: ignore[attr-defined]
        self.log_dt = nn.Parameter(torch.ones(2, 3))
        self.log_dt._optim = {"weight_decay": 0.0, "lr": 0.001} | optim  # type: ignore[attr-defined]
        self.B = nn.Parameter(torch.ones(2, 3))
        self.B._optim = {"betas": [0.5, 0.9], "weight_decay": 0.3}  # type: ignore[attr-defined]
        self.bias_table = nn.Parameter(torch.ones(2, 3))
        self.weight = nn.Parameter(torch.ones(2, 3))

    def no_weight_decay_keywords(self) -> set[str]:
        return {"_table"}


@pytest.mark.parametrize("preset", ["bias_and_norm", "ndim_below_2"])
@pytest.mark.parametrize("model", [Marked(), nn.ModuleDict({"net": Marked()})])
def test_options_that_a_parameter_carries_apply_to_it(preset: str, model: nn.Module):
    optimizer = config(f"no_decay: {preset}").create_optimizer(model)
    assert settings(optimizer, "lr", "weight_decay", "betas") == {
        "no_decay": (0.1, 0.0, (0.9, 0.999)),
        "no_decay/lr=0.001": (0.001, 0.0, (0.9, 0.999)),
        "betas=(0.5, 0.9),weight_decay=0.3": (0.1, 0.3, (0.5, 0.9)),
        "default": (0.1, 0.2, (0.9, 0.999)),
    }
    names = {
        key: [n.removeprefix("net.") for n in names]
        for key, names in names_in(optimizer, model).items()
    }
    assert list(names.values()) == [["A_log", "bias_table"], ["log_dt"], ["B"], ["weight"]]


def test_without_a_preset_options_that_a_parameter_carries_are_left_alone():
    (group,) = config("no_decay: none").create_optimizer(Marked()).param_groups
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.2)


def test_a_rule_wins_over_the_options_that_a_parameter_carries():
    rules = "{name: a, select: log_dt, lr_mult: 3, options: {weight_decay: 0.4}}"
    optimizer = config(
        f"no_decay: bias_and_norm, layer_decay: {{rate: 0.5, layers: [B]}}, groups: [{rules}]"
    ).create_optimizer(Marked())
    assert settings(optimizer, "lr", "weight_decay")["a"] == (pytest.approx(0.003), 0.4)


def test_an_option_of_a_parameter_that_the_optimizer_lacks_is_an_error():
    with pytest.raises(
        OptimizerError, match=r"log_dt: its _optim sets warmup, but adamw has no warm"
    ):
        config("no_decay: bias_and_norm").create_optimizer(Marked(warmup=3))


def test_a_rate_of_a_parameter_that_the_optimizer_does_not_read_is_an_error():
    prodigy = ProdigyConfig(no_decay="bias_and_norm", weight_decay=0.1)
    with pytest.raises(OptimizerError, match=r"log_dt: its _optim sets lr, but prodigy reads the"):
        prodigy.create_optimizer(Marked())


def test_a_factor_on_the_decay_leaves_none_where_there_is_none():
    optimizer = config(
        "no_decay: bias_and_norm, groups: [{name: head, select: lm_head, weight_decay_mult: 2}]"
    ).create_optimizer(Transformer())
    decays = settings(optimizer, "weight_decay")
    assert decays["head"] == (0.4,)
    assert decays["head/no_decay"] == (0.0,)


# -- layers ----------------------------------------------------------------------------------------


def test_the_rate_falls_with_each_layer_from_the_output():
    model = Transformer(depth=2)
    optimizer = config("layer_decay: 0.5").create_optimizer(model)
    assert settings(optimizer, "lr") == {
        "layer_0": (0.0125,),
        "layer_1": (0.025,),
        "layer_2": (0.05,),
        "layer_3": (0.1,),
    }
    found = names_in(optimizer, model)
    assert found["layer_0"] == ["pos_embed", "scale", "embed.weight"]
    assert found["layer_3"] == ["norm.weight", "norm.bias", "lm_head.weight", "lm_head.bias"]
    assert all(name.startswith("blocks.1.") for name in found["layer_2"])


def test_the_rates_of_layers_are_real_rates_that_any_scheduler_multiplies():
    optimizer = config("layer_decay: 0.5").create_optimizer(Transformer(depth=2))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
    optimizer.step()
    scheduler.step()
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([0.00125, 0.0025, 0.005, 0.01])


def test_a_head_that_stands_first_has_the_full_rate_all_the_same():
    class HeadFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 2)
            self.stem = nn.Linear(2, 2)
            self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
            self.tokens = nn.Embedding(2, 2)

    found = groups("layer_decay: 0.5", HeadFirst())
    assert found["layer_3"] == ["head.weight", "head.bias"]
    assert found["layer_0"] == ["stem.weight", "stem.bias", "tokens.weight"]


@pytest.mark.parametrize(
    "layers",
    ["blocks.*", r"'re:blocks\.(\d+)\..*'", "[blocks.0, {name: blocks.1}]"],
)
def test_layers_may_be_named(layers: str):
    model = Transformer(depth=2)
    assert groups(f"layer_decay: {{rate: 0.5, layers: {layers}}}", model) == groups(
        "layer_decay: 0.5", model
    )


def test_numbers_of_layers_need_no_order_without_gaps():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    assert groups("layer_decay: {rate: 0.5, layers: '*'}", model) == {
        "layer_1": ["0.weight", "0.bias"],
        "layer_2": ["2.weight", "2.bias"],
    }


def test_one_selection_may_be_a_layer():
    model = Transformer(depth=1)
    layers = SelectorConfig(name="blocks", ndim=2)
    decay = AdamWConfig(layer_decay=LayerDecayConfig(rate=0.5, layers=layers))
    assert "blocks.0.fc.weight" in names_in(decay.create_optimizer(model), model)["layer_1"]


def test_a_stack_that_is_the_model_itself_is_found():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(2)))
    assert list(groups("layer_decay: 0.5", model)) == ["layer_1", "layer_2"]


def test_a_stack_within_something_of_another_kind_is_found():
    model = nn.Sequential(Transformer(depth=2))
    assert list(groups("layer_decay: 0.5", model)) == ["layer_0", "layer_1", "layer_2", "layer_3"]


@pytest.mark.parametrize(
    ("decay", "model", "message"),
    [
        ("0.5", nn.Linear(2, 2), "has no stack of layers; say what its layers are"),
        (
            "0.5",
            nn.ModuleDict({"a": Transformer(), "b": Transformer()}),
            r"several stacks of layers \(a.blocks.\*, b.blocks.\*\); say",
        ),
        (
            "0.5",
            nn.ModuleDict({"one": Transformer(depth=1), "two": Transformer(depth=2)}),
            r"several stacks of layers \(one.blocks.\*, two.blocks.\*\); say",
        ),
        (
            "{rate: 0.5, layers: block.*}",
            Transformer(),
            r"layers 'block.\*' matches no parameter; the first of the model are 'pos_embed'",
        ),
        ("{rate: 0.5, layers: [blocks.0, blocks.7]}", Transformer(), "layers 'blocks.7' matches"),
    ],
)
def test_layers_that_are_not_there_are_an_error(decay: str, model: nn.Module, message: str):
    with pytest.raises(OptimizerError, match=f"layer_decay: .*{message}"):
        groups(f"layer_decay: {decay}", model)
