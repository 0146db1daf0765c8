"""Rules that take nothing, parameters without names, options that make no sense: all refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.models import Transformer, settings
from tests.unit.optimizer.groups.test_config import config, groups
from torch import nn

from nshtrainer.configs import (
    AdamWConfig,
    LayerDecayConfig,
    LBFGSConfig,
    MuonConfig,
    RpropConfig,
)
from nshtrainer.exceptions import ConfigError, OptimizerError

# -- strictness ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            "{name: a, select: lm_hed.weight}",
            (
                "AdamWConfig: groups.0 ('a'): select 'lm_hed.weight' matches no parameter; "
                "the nearest are 'lm_head.weight'"
            ),
        ),
        (
            "{name: a, select: {module: LayerNrm}}",
            "select {module: 'LayerNrm'} matches no parameter; the nearest are 'LayerNorm'",
        ),
        (
            "{name: a, select: ['re:x+', {any_of: zzz, ndim: 9}]}",
            (
                "select ['re:x+', {ndim: 9, any_of: 'zzz'}] matches no parameter; the model has "
                "'pos_embed', 'scale', 'embed.weight', 'blocks.0.norm1.weight', "
                "'blocks.0.norm1.bias' and 14 more, with the roles bias, embedding, head, matrix, "
                "norm, scalar"
            ),
        ),
        (
            "{name: a, select: lm_head}, {name: b, select: lm_head.bias}",
            (
                "groups.1 ('b'): select 'lm_head.bias' comes too late: 'lm_head.bias' went to 'a'; "
                "the first that matches wins, so put it before"
            ),
        ),
        (
            "{name: a, select: embed}",
            (
                "select 'embed' matches frozen parameters only: 'embed.weight'; unfreeze them, set "
                "include_frozen, leave it out, or write required: false"
            ),
        ),
    ],
)
def test_a_rule_that_takes_nothing_is_an_error(rules: str, message: str):
    model = Transformer(depth=1)
    model.embed.requires_grad_(False)
    with pytest.raises(OptimizerError) as caught:
        groups(f"groups: [{rules}]", model)
    assert message in str(caught.value)


def test_a_rule_may_be_there_for_other_models():
    assert list(groups("groups: [{name: a, select: nothing, required: false}]")) == ["default"]


GROUPED = [
    ("groups: [{name: a, select: lm_head}]", "groups"),
    ("no_decay: bias_and_norm", "no_decay: bias_and_norm"),
    ("no_decay: ndim_below_2, layer_decay: 0.5", "no_decay: ndim_below_2, layer_decay"),
]


@pytest.mark.parametrize(("text", "asked"), GROUPED)
def test_parameters_without_names_are_refused(text: str, asked: str):
    model = Transformer()
    for params, what in [
        (model.parameters(), "bare tensors"),
        (model.scale, "bare tensors"),
        (None, "bare tensors"),
        ([{"params": model}], "group dicts"),
    ]:
        message = (
            f"AdamWConfig: {asked}: parameters are selected by name, and these are "
            rf"{what}; give the module: create_optimizer\(module\)"
        )
        with pytest.raises(OptimizerError, match=message):
            config(text).create_optimizer(params)  # type: ignore[arg-type]
    with pytest.raises(OptimizerError, match="'a' is a int, not a parameter"):
        config(text).create_optimizer([("a", 1)])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "text",
    [
        "no_decay: bias_and_norm",
        "groups: [{name: a, select: {role: norm}}]",
        "layer_decay: {rate: 0.5, layers: {module: Linear}}",
    ],
)
def test_names_are_not_enough_where_modules_are_asked_for(text: str):
    with pytest.raises(OptimizerError, match=r"selected by the modules that hold them.*give the"):
        config(text).create_optimizer(Transformer().named_parameters())


def test_names_are_enough_for_names_and_dimensions():
    model = Transformer(depth=2)
    text = (
        "no_decay: ndim_below_2, layer_decay: {rate: 0.5, layers: blocks.*},"
        " groups: [{name: head, select: {name: lm_head, ndim: 2}}]"
    )
    optimizer = config(text).create_optimizer(model.named_parameters())
    by_module = config(text).create_optimizer(model)
    assert optimizer.param_groups[0]["param_names"] == ["pos_embed", "embed.weight"]
    assert settings(optimizer, "lr") == settings(by_module, "lr")
    with pytest.raises(OptimizerError, match="to find the layers takes the module"):
        config("layer_decay: 0.5").create_optimizer(model.named_parameters())


def test_optimizers_keep_their_own_needs():
    split = {"groups": ({"name": "a", "select": "bias"},)}
    with pytest.raises(OptimizerError, match="takes all parameters in one"):
        LBFGSConfig.model_validate(split).create_optimizer(nn.Linear(2, 2))
    with pytest.raises(OptimizerError, match="dimensions only"):
        MuonConfig.model_validate(split).create_optimizer(nn.Linear(2, 2))


# -- the config ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("groups: [{select: a}]", "groups.0.name: is required"),
        ("groups: [{name: a}]", "groups.0.select: is required"),
        (
            "groups: [{name: a, select: x}, {name: a, select: y}]",
            ":1:68: groups.1.name: 'a' is the name of two groups",
        ),
        (
            "groups: [{name: a, select: x, options: {beta: 1}}]",
            ":1:76: groups.0.options.beta: unknown option 'beta'; did you mean 'betas'? (known: am",
        ),
        (
            "groups: [{name: a, select: x, options: {tensor_lr: true}}]",
            "groups.0.options.tensor_lr: applies to all groups; set it in the AdamWConfig",
        ),
        (
            "groups: [{name: a, select: x, options: {betas: [0.9, 1.0]}}]",
            "groups.0.options.betas.1: must be < 1 (got 1.0)",
        ),
        (
            "groups: [{name: a, select: x, options: {lr: 1}, lr_mult: 2}]",
            "groups.0: options.lr and lr_mult are both given; leave one out",
        ),
        (
            "groups: [{name: a, select: x, lr_mult: 2, freeze: true}]",
            "groups.0.freeze: a group that is frozen for good cannot set other options. Remove th",
        ),
        ("groups: [{name: layer_3, select: x}]", "group name 'layer_3' is reserved"),
        ("groups: [{name: a/b, select: x}]", "groups.0.name: group name 'a/b' is reserved"),
        ("no_decay: biases", "no_decay: must be 'none', 'bias_and_norm' or 'ndim_below_2'"),
        ("layer_decay: 1.5", "layer_decay.rate: must be <= 1"),
        ("layer_decay: true", "layer_decay: must be a mapping"),
        ("layer_decay: {rate: 0.5, layers: blocks}", "a pattern for layers has one '*'"),
        ("layer_decay: {rate: 0.5, layers: 're:b(.)(.)'}", "a pattern for layers has one '*'"),
        ("lr_scaling: {base_batch_size: 0}", "lr_scaling.base_batch_size: must be > 0"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        config(text)
    assert message in str(caught.value)


class NoRateConfig(AdamWConfig.__base__):  # type: ignore[misc, name-defined]
    """An optimizer without a rate."""

    target = "torch.optim:SGD"
    name: Any = "no_rate"


@pytest.mark.parametrize(
    ("cls", "text", "message"),
    [
        (RpropConfig, "no_decay: ndim_below_2", "rprop has no weight_decay, so no_decay has no"),
        (
            RpropConfig,
            "groups: [{name: a, select: x, weight_decay_mult: 0}]",
            "groups.0.weight_decay_mult: rprop has no weight_decay, so it has no effect",
        ),
        (NoRateConfig, "layer_decay: 0.5", "no_rate has no lr, so layer_decay has no effect"),
        (NoRateConfig, "lr_scaling: {base_batch_size: 1}", "no lr, so lr_scaling has no effect"),
    ],
)
def test_an_option_that_this_optimizer_cannot_follow_is_refused(cls: Any, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        cls.from_yaml(text)


def test_a_config_with_all_of_it_is_a_value():
    whole = config(
        "no_decay: bias_and_norm, layer_decay: 0.5, lr_scaling: {base_batch_size: 8},"
        " groups: [{name: a, select: [x, {ndim: 1}], options: {betas: [0.5, 0.6]}}]"
    )
    assert AdamWConfig.from_yaml(whole.to_yaml()) == whole
    assert hash(copy.deepcopy(whole)) == hash(whole)
    assert whole.layer_decay == LayerDecayConfig(rate=0.5)
