"""Laws of the options of the optimizers of other packages."""

from __future__ import annotations

import inspect
import math
import typing
from typing import Any

import pytest
import torch
from tests.contracts.test_every_package_optimizer import (
    EVERY,
    default,
    every_optimizer,
    make_model,
    modest,
    train,
)

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer import packages
from nshtrainer.optimizer.packages.base import PackageOptimizerConfigBase
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
    config, problem = modest(cls), "holds for all groups|give a number for this group"
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
