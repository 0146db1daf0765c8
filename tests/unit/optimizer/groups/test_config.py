"""Rules of groups, frozen and tied parameters, scaling with the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.models import Transformer, names_in, settings
from torch import nn

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    BatchScalingConfig,
    ParameterGroupConfig,
    SelectorConfig,
    SGDConfig,
)
from nshtrainer.exceptions import OptimizerError


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
