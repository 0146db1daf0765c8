"""Which parameter gets what: rules, presets, layers, frozen and tied parameters."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.models import Convnet, Transformer, names_in, settings
from torch import nn

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    BatchScalingConfig,
    LayerDecayConfig,
    LBFGSConfig,
    MuonConfig,
    ParameterGroupConfig,
    ProdigyConfig,
    RpropConfig,
    SelectorConfig,
    SGDConfig,
)
from nshtrainer.exceptions import ConfigError, OptimizerError


def config(text: str) -> AdamWConfig:
    return AdamWConfig.from_yaml(f"{{lr: 0.1, weight_decay: 0.2, {text}}}")


def groups(text: str, model: nn.Module | None = None) -> dict[str, list[str]]:
    model = model or Transformer(depth=1)
    return names_in(config(text).create_optimizer(model), model)


# -- rules -----------------------------------------------------------------------------------------


def test_the_first_rule_that_matches_takes_a_parameter():
    found = groups(
        "groups: [{name: bias, select: lm_head.bias}, {name: head, select: lm_head},"
        " {name: small, select: {ndim: [0, 1]}}]"
    )
    assert found["bias"] == ["lm_head.bias"]
    assert found["head"] == ["lm_head.weight"]
    assert found["small"][0] == "scale"
    assert list(found) == ["default", "small", "head", "bias"]


def test_a_rule_sets_options_and_factors():
    optimizer = config(
        "groups: [{name: a, select: scale, options: {lr: 0.5, betas: [0.5, 0.6]}},"
        " {name: b, select: norm, lr_mult: 2, weight_decay_mult: 0.5},"
        " {name: c, select: embed, options: {lr: 0.1, amsgrad: true}}]"
    ).create_optimizer(Transformer())
    assert settings(optimizer, "lr", "weight_decay", "betas", "amsgrad") == {
        "default": (0.1, 0.2, (0.9, 0.999), False),
        "a": (0.5, 0.2, (0.5, 0.6), False),
        "b": (0.2, 0.1, (0.9, 0.999), False),
        "c": (0.1, 0.2, (0.9, 0.999), True),
    }


def test_groups_of_equal_settings_are_merged_unless_a_rule_names_them():
    found = groups("no_decay: ndim_below_2, groups: [{name: a, select: norm, lr_mult: 1}]")
    assert list(found) == ["no_decay", "default", "a"]
    merged = AdamWConfig(no_decay="ndim_below_2", weight_decay=0).create_optimizer(Transformer())
    assert [group["name"] for group in merged.param_groups] == ["default"]


def test_a_rule_splits_where_its_parameters_differ():
    found = groups("no_decay: bias_and_norm, groups: [{name: head, select: lm_head, lr_mult: 2}]")
    assert found["head"] == ["lm_head.weight"]
    assert found["head/no_decay"] == ["lm_head.bias"]
    whole = groups("no_decay: bias_and_norm, groups: [{name: head, select: lm_head.bias}]")
    assert whole["head"] == ["lm_head.bias"]


def test_what_a_rule_says_outright_wins():
    optimizer = config(
        "no_decay: bias_and_norm, layer_decay: 0.5,"
        " groups: [{name: all, select: '*', options: {lr: 0.3, weight_decay: 0.4}}]"
    ).create_optimizer(Transformer())
    assert settings(optimizer, "lr", "weight_decay") == {"all": (0.3, 0.4)}


def test_nothing_asked_for_is_torchs_one_group():
    (group,) = AdamWConfig().create_optimizer(Transformer()).param_groups
    assert "name" not in group


def test_each_group_gets_the_fastest_implementation_of_its_own():
    optimizer = SGDConfig(
        groups=(ParameterGroupConfig(name="m", select="norm", options={"momentum": 0.9}),)
    ).create_optimizer(Transformer())
    assert settings(optimizer, "fused") == {"default": (None,), "m": (True,)}


def test_rates_may_be_tensors_in_each_group():
    optimizer = AdamWConfig(tensor_lr=True, layer_decay=0.5).create_optimizer(Transformer(depth=2))
    rates = [group["lr"] for group in optimizer.param_groups]
    assert [rate.item() for rate in rates] == pytest.approx([1e-3 / 8, 1e-3 / 4, 1e-3 / 2, 1e-3])


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


# -- frozen and tied -------------------------------------------------------------------------------


def test_a_frozen_parameter_is_left_out_unless_it_is_asked_for():
    model = Transformer(depth=1)
    model.embed.requires_grad_(False)
    assert "embed.weight" not in str(groups("no_decay: ndim_below_2", model))
    assert "embed.weight" in str(groups("no_decay: ndim_below_2, include_frozen: true", model))
    (group,) = AdamWConfig().create_optimizer(model).param_groups
    (with_frozen,) = AdamWConfig(include_frozen=True).create_optimizer(model).param_groups
    assert len(with_frozen["params"]) == len(group["params"]) + 1
    (given,) = AdamWConfig().create_optimizer([{"params": model.embed.parameters()}]).param_groups
    assert given["params"] == [model.embed.weight]


def test_a_rule_freezes_and_freezing_twice_is_no_error():
    model = Transformer(depth=2)
    rule = "groups: [{name: body, select: blocks, freeze: true}]"
    for _ in range(2):
        assert not any("blocks" in name for name in groups(rule, model)["default"])
    assert not any(param.requires_grad for param in model.blocks.parameters())
    assert model.norm.weight.requires_grad


def test_what_is_frozen_may_be_kept_for_later():
    model = Transformer(depth=1)
    rule = "include_frozen: true, groups: [{name: body, select: blocks, freeze: true}]"
    optimizer = config(rule).create_optimizer(model)
    body = next(group for group in optimizer.param_groups if group["name"] == "body")
    before = [param.clone() for param in body["params"]]
    model.loss().backward()
    optimizer.step()
    assert all(map(torch.equal, before, body["params"]))
    model.blocks.requires_grad_(True)
    optimizer.zero_grad()
    model.loss().backward()
    optimizer.step()
    assert not any(map(torch.equal, before, body["params"]))


def test_a_group_that_is_frozen_first_is_trained_later_at_its_own_rate():
    model = Transformer(depth=1)
    rule = "{name: body, select: blocks, freeze: true, lr_mult: 0.5, options: {betas: [0.5, 0.6]}}"
    text = f"no_decay: bias_and_norm, include_frozen: true, groups: [{rule}]"
    optimizer = config(text).create_optimizer(model)
    assert settings(optimizer, "lr", "weight_decay", "betas") == {
        "default": (0.1, 0.2, (0.9, 0.999)),
        "no_decay": (0.1, 0.0, (0.9, 0.999)),
        "body": (0.05, 0.2, (0.5, 0.6)),
        "body/no_decay": (0.05, 0.0, (0.5, 0.6)),
    }
    model.blocks.requires_grad_(True)
    weight = model.blocks[0].fc.weight
    before = weight.detach().clone()
    model.loss().backward()
    optimizer.step()
    moved = (weight - before * (1 - 0.05 * 0.2)).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.05), rtol=1e-3, atol=1e-6)


def test_a_model_that_is_all_frozen_has_nothing_to_optimize():
    with pytest.raises(OptimizerError, match=r"no parameters .* that is not frozen"):
        groups("no_decay: ndim_below_2", nn.Linear(2, 2).requires_grad_(False))


def test_a_tied_weight_is_in_one_group():
    model = Transformer(depth=1, tied=True)
    assert groups("groups: [{name: head, select: lm_head}]", model)["head"] == ["embed.weight"]


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
            f"AdamWConfig: {asked}: parameters are told apart by their names, and these are "
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
    with pytest.raises(OptimizerError, match=r"told apart by the modules that hold them.*give the"):
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
            "groups.0.options.tensor_lr: holds for all groups; give it to the AdamWConfig",
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
        ("groups: [{name: layer_3, select: x}]", "'layer_3' is the name of a group that nobody"),
        ("groups: [{name: a/b, select: x}]", "groups.0.name: 'a/b' is the name of a group"),
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


# -- the batch -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "factor"), [("linear", 4), ("sqrt", 2)])
def test_every_rate_follows_the_batch(rule: Any, factor: float):
    scaling = BatchScalingConfig(base_batch_size=64, rule=rule)
    text = "layer_decay: 0.5, groups: [{name: a, select: norm, options: {lr: 0.3}}]"
    model = Transformer(depth=2)
    run = RunLength(samples_per_step=256)
    optimizer = config(text).replace(lr_scaling=scaling).create_optimizer(model, run=run)
    assert optimizer.defaults["lr"] == pytest.approx(0.1 * factor)
    for name, rate in {"layer_0": 0.0125, "layer_1": 0.025, "layer_2": 0.05, "a": 0.3}.items():
        assert settings(optimizer, "lr")[name] == (pytest.approx(rate * factor),)


def test_a_rate_that_does_not_follow_the_batch_stays():
    plain = config("groups: [{name: a, select: norm, lr_mult: 2}]")
    assert plain.at_batch(8) == plain
    scaled = plain.replace(lr_scaling=BatchScalingConfig(base_batch_size=4)).at_batch(8)
    assert scaled == plain.replace(lr=0.2)


def test_parameters_without_names_will_do_for_the_batch():
    scaled = SGDConfig(lr=0.1, lr_scaling=BatchScalingConfig(base_batch_size=1))
    optimizer = scaled.create_optimizer(
        nn.Linear(2, 2).parameters(), run=RunLength(samples_per_step=3)
    )
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3)


def test_a_batch_that_nobody_knows_is_an_error_that_says_what_to_do():
    scaled = SGDConfig(lr_scaling=BatchScalingConfig(base_batch_size=1))
    for run in (None, RunLength(total_steps=3)):
        with pytest.raises(OptimizerError, match=r"unknown; .* run=RunLength\(samples_per_step"):
            scaled.create_optimizer(nn.Linear(2, 2), run=run)


# -- laws ------------------------------------------------------------------------------------------

SELECTIONS = st.sampled_from(
    ["blocks", "*.bias", "blocks.1", "lm_head", "embed", SelectorConfig(ndim=1)]
    + [SelectorConfig(role=role) for role in ("norm", "head", "embedding", "matrix", "scalar")]
)
RULES = st.lists(
    st.builds(
        dict,
        select=SELECTIONS,
        lr_mult=st.sampled_from([None, 0.0, 1.0, 2.0]),
        weight_decay_mult=st.sampled_from([None, 3.0]),
    ),
    max_size=4,
)


@given(
    rules=RULES,
    frozen=st.lists(st.booleans(), min_size=45, max_size=45),
    no_decay=st.sampled_from(["none", "bias_and_norm", "ndim_below_2"]),
    layer_decay=st.sampled_from([None, 0.5, 1.0]),
    include_frozen=st.booleans(),
    tied=st.booleans(),
)
def test_every_parameter_that_is_trained_is_in_exactly_one_group(
    rules: list[dict[str, Any]], frozen: list[bool], tied: bool, **options: Any
):
    model = Transformer(tied=tied)
    for param, is_frozen in zip(model.parameters(), frozen, strict=False):
        param.requires_grad_(not is_frozen)
    numbered = [
        {"name": f"rule {place}", "required": False, **rule} for place, rule in enumerate(rules)
    ]
    grouped = AdamWConfig.model_validate({"groups": numbered, **options})
    wanted = [p for p in model.parameters() if options["include_frozen"] or p.requires_grad]
    optimizer = grouped.create_optimizer(model)
    found = [param for group in optimizer.param_groups for param in group["params"]]
    assert sorted(map(id, found)) == sorted(map(id, wanted))
    if grouped.asks_for_groups:
        names = [group["name"] for group in optimizer.param_groups]
        assert len(set(names)) == len(names)
    assert all(group["params"] for group in optimizer.param_groups)
