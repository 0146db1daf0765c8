"""Laws of the options of the optimizers of other packages."""

from __future__ import annotations

import inspect
import math
import typing
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.contracts.test_every_package_optimizer import (
    EVERY,
    default,
    every_optimizer,
    make_model,
    modest,
    train,
)
from tests.support import assert_ranges_are_checked

from nshtrainer import RunLength
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer import third_party as packages
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase, target_class

Config = type[PackageOptimizerConfigBase]


def arguments(cls: Config) -> dict[str, inspect.Parameter]:
    """The constructor's arguments that are fields."""
    parameters = inspect.signature(target_class(cls.target)).parameters
    shared = TorchOptimizerConfigBase.model_fields
    return {
        key: parameters[key] for key in cls.model_fields if key in parameters and key not in shared
    }


# -- none ------------------------------------------------------------------------------------------

NULLABLE = [
    (cls, key)
    for cls in EVERY
    for key in arguments(cls)
    if type(None) in typing.get_args(cls.model_fields[key].annotation)
]
every_nullable_option = pytest.mark.parametrize(
    ("cls", "key"), NULLABLE, ids=[f"{cls.__name__}.{key}" for cls, key in NULLABLE]
)

HAS_NUMBERS = {(packages.POAdaFactorConfig, "lr"), (packages.POAdaFactorConfig, "betas")}
"""A rate that is not read where it may be None, and a pair of which the first may be None."""


@every_nullable_option
def test_an_explicit_none_reaches_the_constructor(cls: Config, key: str) -> None:
    config = default(cls).replace(**{key: None})
    unbounded = arguments(cls)[key].default == math.inf
    assert config.options()[key] == (math.inf if unbounded else None)


@every_optimizer
def test_a_field_takes_none_where_the_constructor_does(cls: Config) -> None:
    takes_none = {key for of, key in NULLABLE if of is cls}
    for key, argument in arguments(cls).items():
        documented = argument.default is None or "None" in str(argument.annotation)
        documented |= "Optional" in str(argument.annotation) or argument.default == math.inf
        # Its rate is not read where it may be None, and a schedule needs a number.
        is_exception = f"{cls.__name__}.{key}" in {
            "POAdaFactorConfig.lr",
            "POAdaFactorConfig.betas",
        }
        assert documented == (key in takes_none) or is_exception, key


# AdaHessian and SophiaH differentiate the loss twice, as they are made to.
pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")

GIVEN = [
    (cls, key)
    for cls, key in NULLABLE
    if not cls.instead_on_cpu and (cls.model_fields[key].default is not None or key == "lr")
]


@pytest.mark.parametrize(("cls", "key"), GIVEN, ids=lambda each: getattr(each, "__name__", each))
def test_a_none_of_one_group_is_obeyed_or_refused(cls: Config, key: str) -> None:
    model = make_model(cls)
    groups: list[Any] = [{"params": model.parameters(), key: None}]
    built = default(cls).replace(**{key: None}).create_optimizer(make_model(cls))
    replaced = key in built.defaults and built.defaults[key] not in {None, math.inf}
    assert replaced == (key in cls.fills_none)
    config, problem = modest(cls), "applies to all groups|give a number for this group"
    if key in cls.fills_none or (key not in built.defaults and not cls.splits_by_dimensions):
        with pytest.raises(OptimizerError, match=problem):
            config.create_optimizer(groups)
        return
    optimizer = config.create_optimizer(groups)
    assert all(map(math.isfinite, train(cls, model, optimizer, 3)))


def test_prodigy_without_eps_takes_the_arctangent() -> None:
    ours, theirs = make_model(packages.ProdigyConfig), make_model(packages.ProdigyConfig)
    train(packages.ProdigyConfig, ours, packages.ProdigyConfig(eps=None).create_optimizer(ours), 3)
    target: Any = target_class(packages.ProdigyConfig.target)
    train(packages.ProdigyConfig, theirs, target(theirs.parameters(), eps=None), 3)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    divided = make_model(packages.ProdigyConfig)
    train(packages.ProdigyConfig, divided, packages.ProdigyConfig().create_optimizer(divided), 3)
    assert not torch.equal(ours.layers[0].weight, divided.layers[0].weight)


def test_the_first_rate_of_apollodqn_is_a_thousandth_where_none_is_given() -> None:
    config = packages.ApolloDQNConfig(lr=0.5, init_lr=None)
    (group,) = config.create_optimizer(make_model(packages.ApolloDQNConfig)).param_groups
    assert group["init_lr"] == 0.0005


@pytest.mark.parametrize(("key", "dtype"), [("compute_dtype", torch.float32)])
def test_a_number_format_of_one_group_is_what_the_name_says(key: str, dtype: torch.dtype) -> None:
    model = make_model(packages.ROSEConfig)
    groups: list[Any] = [{"params": model.parameters(), key: "float32"}]
    (group,) = packages.ROSEConfig().create_optimizer(groups).param_groups
    assert group[key] is dtype


# -- what a step reads of a group ------------------------------------------------------------------


NOT_BITSANDBYTES = [cls for cls in EVERY if cls.extra != "bitsandbytes"]
"""Its base class reads the options of all of its optimizers, and its kernels a few of them."""


@pytest.mark.parametrize("cls", NOT_BITSANDBYTES, ids=lambda cls: cls.__name__)
def test_each_key_that_a_step_reads_of_a_group_can_be_given(cls: Config, tools: Any) -> None:
    target = target_class(cls.target)
    keys = tools.sources.read_keys(target) - tools.sources.written_keys(target)
    reasons = {**tools.classes.NOT_OPTIONS, **tools.arguments.OMITTED}
    for key in keys - cls.group_options() - {"params", "step"}:
        assert f"{target.__name__}.{key}" in reasons or key in reasons, key


@pytest.mark.parametrize("cls", NOT_BITSANDBYTES, ids=lambda cls: cls.__name__)
def test_each_option_that_a_group_may_have_is_read_of_it(cls: Config, tools: Any) -> None:
    if cls.instead_on_cpu:
        return
    read = tools.sources.read_keys(target_class(cls.target))
    optimizer = default(cls).create_optimizer(make_model(cls))
    kept = {*optimizer.defaults, *cls.group_keys} & cls.group_options()
    renamed = {"adamw_lr", "adamw_betas", "adamw_eps", "adamw_wd"}
    assert kept - renamed <= read


@every_optimizer
def test_a_saved_option_out_of_the_range_of_its_field_is_refused(cls: Config) -> None:
    assert_ranges_are_checked(cls, make_model(cls), modest(cls))


@every_optimizer
def test_an_option_for_all_groups_is_refused_in_one(cls: Config) -> None:
    for key in cls.for_all:
        value = getattr(default(cls), key)
        rule = {"name": "all", "select": "*", "options": {key: value}}
        with pytest.raises(ValidationError, match=rf"{key}\n +applies to all groups; set it in"):
            default(cls).replace(groups=[rule])
        groups: list[Any] = [{"params": make_model(cls).parameters(), key: value}]
        with pytest.raises(OptimizerError, match=r"applies to all groups|parameters"):
            default(cls).create_optimizer(groups)


KEYWORDS = [
    (cls, key)
    for cls in EVERY
    for key in cls.group_keys
    if key in {"adam_debias", "adanorm", "cautious", "stable_adamw", "use_gc", "sn"}
]


ALONG: dict[Any, dict[str, Any]] = {
    "adanorm": {"adanorm_r": 0.1},
    (packages.LionConfig, "adanorm"): {"adanorm_r": 0.1, "lr": 0.05},
    (packages.ADOPTConfig, "stable_adamw"): {"lr": 0.5},
}
"""What else has to be set for an option to have an effect."""


@pytest.mark.parametrize(
    ("cls", "key"), KEYWORDS, ids=[f"{cls.__name__}.{key}" for cls, key in KEYWORDS]
)
def test_a_keyword_option_changes_the_weights(cls: Config, key: str) -> None:
    plain, changed, grouped = (make_model(cls) for _ in range(3))
    config = modest(cls).replace(**ALONG.get((cls, key), ALONG.get(key, {})))
    train(cls, plain, config.create_optimizer(plain), 8)
    train(cls, changed, config.replace(**{key: True}).create_optimizer(changed), 8)
    rule = {"name": "all", "select": "*", "options": {key: True}}
    train(cls, grouped, config.replace(groups=[rule]).create_optimizer(grouped), 8)
    ways = zip(plain.parameters(), changed.parameters(), strict=True)
    assert any(not torch.equal(some, others) for some, others in ways)
    torch.testing.assert_close(changed.state_dict(), grouped.state_dict(), rtol=0, atol=0)


def test_the_decay_of_a_normalized_group_falls_with_the_square_of_the_rate() -> None:
    model = make_model(packages.AdamCConfig)
    rule = {"name": "normalized", "select": "layers.0", "options": {"normalized": True}}
    config = packages.AdamCConfig(lr=0.5, weight_decay=0.1, groups=[rule])
    optimizer = config.create_optimizer(model)
    before = {name: param.detach().clone() for name, param in model.named_parameters()}
    for group in optimizer.param_groups:
        group["lr"] = 0.25
        for param in group["params"]:
            param.grad = torch.zeros_like(param)
    optimizer.step()
    for name, param in model.named_parameters():
        rate = 0.25**2 / 0.5 if name.startswith("layers.0") else 0.25
        torch.testing.assert_close(param.detach(), before[name] * (1 - rate * 0.1))


def test_muonclip_clips_the_projections_of_the_attention_that_is_named() -> None:
    model = make_model(packages.MuonClipConfig)
    options = {"qk_clip": "query", "attention_name": "first", "use_muon": False}
    rule = {"name": "query", "select": "layers.0.weight", "options": options}
    config = packages.MuonClipConfig(adamw_lr=0.0, groups=[rule])
    optimizer: Any = config.create_optimizer(model)
    before = model.layers[0].weight.detach().clone()
    model.loss().backward()
    optimizer.step(attention_max_logits={"first": torch.tensor([400.0, 50.0])})
    clipped = torch.cat([before[:8] * 0.5, before[8:]])
    torch.testing.assert_close(model.layers[0].weight.detach(), clipped)
    with pytest.raises(ValidationError, match="qk_clip is given without attention_name"):
        config.replace(groups=[{**rule, "options": {"qk_clip": "query"}}])


def test_subsets_share_a_second_moment_where_a_group_asks_for_it() -> None:
    model = make_model(packages.AdamWSNConfig)
    rule = {"name": "matrices", "select": {"ndim": 2}, "options": {"sn": True}}
    optimizer = packages.AdamWSNConfig(groups=[rule]).create_optimizer(model)
    train(packages.AdamWSNConfig, model, optimizer, 1)
    state = optimizer.state[model.layers[0].weight]
    assert state["exp_avg"].shape == (16, 2)
    assert state["exp_avg_sq"].shape == (8, 1)


def test_the_muons_read_the_options_of_adamw_where_adamw_is() -> None:
    model = make_model(packages.POMuonConfig)
    options = {"adamw_lr": 0.5, "adamw_betas": (0.5, 0.6), "adamw_eps": 0.1, "adamw_wd": 0.2}
    rule = {"name": "biases", "select": "*.bias", "options": options}
    config = packages.POMuonConfig(groups=[rule])
    biases = next(g for g in config.create_optimizer(model).param_groups if g["name"] == "biases")
    assert [biases[key] for key in ("lr", "betas", "eps", "weight_decay")] == [*options.values()]
    matrices = [{**rule, "select": "*.weight"}]
    with pytest.raises(OptimizerError, match="has no effect on matrices"):
        config.replace(groups=matrices).create_optimizer(model)


MUONS = [cls for cls in EVERY if cls.splits_by_dimensions]


@pytest.mark.parametrize("cls", MUONS, ids=lambda cls: cls.__name__)
def test_factors_and_presets_of_the_muons_are_on_the_rate_that_is_used(cls: Config) -> None:
    half = {"name": "all", "select": "*", "lr_mult": 0.5, "weight_decay_mult": 0.5}
    config: Any = default(cls).replace(
        lr=0.2, adamw_lr=0.02, weight_decay=0.4, adamw_wd=0.04, groups=[half]
    )
    optimizer = config.create_optimizer(make_model(cls))
    values = {g["use_muon"]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups}
    assert values == {True: (0.1, 0.2), False: (0.01, 0.02)}
    spared = config.replace(groups=[], no_decay="bias_and_norm", weight_decay=0.0)
    optimizer = spared.create_optimizer(make_model(cls))
    assert {g["weight_decay"] for g in optimizer.param_groups} == {0.0}
    doubled = config.replace(groups=[], lr_scaling={"base_batch_size": 8})
    optimizer = doubled.create_optimizer(make_model(cls), run=RunLength(samples_per_step=16))
    assert {g["use_muon"]: g["lr"] for g in optimizer.param_groups} == {True: 0.4, False: 0.04}


def test_a_group_that_is_given_to_adamw_has_the_rate_of_adamw() -> None:
    rule = {"name": "some", "select": "layers.2", "options": {"use_muon": False}}
    config = packages.POMuonConfig(groups=[{**rule, "lr_mult": 0.5}])
    groups = config.create_optimizer(make_model(packages.POMuonConfig)).param_groups
    assert next(g["lr"] for g in groups if g["name"] == "some") == 1.5e-4
