"""What Hydra gives to a program: containers of OmegaConf, and what hydra-zen builds of a class."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hydra.errors import InstantiationException
from hydra_zen import builds, instantiate
from omegaconf import OmegaConf
from pydantic import ValidationError

from nshtrainer import Config
from nshtrainer.config.validation import plain_containers
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig
from nshtrainer.exceptions import ConfigError

FILE: dict[str, Any] = {
    "base": {"lr": 0.1},
    "run": {
        "optimizer": {
            "name": "adamw",
            "lr": "${base.lr}",
            "betas": [0.9, 0.95],
            "groups": [{"name": "head", "select": "head*", "options": {"betas": [0.8, 0.9]}}],
        },
        "lr_scheduler": {
            "name": "linear_warmup_cosine_decay",
            "warmup_duration": {"name": "steps", "value": 3},
            "max_duration": "10 steps",
        },
        "parts": [{"sizes": [1, 2]}],
    },
}


class Part(Config):
    sizes: tuple[int, ...] = ()


class Run(Config):
    optimizer: OptimizerConfig = AdamWConfig()
    lr_scheduler: LRSchedulerConfig | None = None
    parts: tuple[Part, ...] = ()


def plain_run() -> Run:
    data = {**FILE["run"], "optimizer": {**FILE["run"]["optimizer"], "lr": 0.1}}
    return Run.model_validate(data)


READERS = [
    Run.model_validate,
    Run.from_mapping,
    lambda data: Run(**data),
    lambda data: Run.model_validate(dict(data)),
    lambda data: Run(optimizer=data.optimizer, lr_scheduler=data.lr_scheduler, parts=data.parts),
]


@pytest.mark.parametrize("read", READERS)
def test_a_dictconfig_is_a_config(read: Any) -> None:
    run = read(OmegaConf.create(FILE).run)
    assert run == plain_run()
    assert hash(run) == hash(plain_run())
    assert Run.from_yaml(run.to_yaml()) == run


def test_overrides_reach_into_a_listconfig() -> None:
    run = Run.from_mapping(OmegaConf.create(FILE).run, overrides=["parts.0.sizes.1=7"])
    assert run.parts == (Part(sizes=(1, 7)),)


def test_no_container_of_omegaconf_stays_in_a_config() -> None:
    class Loose(Config):
        anything: Any
        sequence: Sequence[float]
        mapping: Mapping[str, Any]
        listed: list[Any]

    data = {"anything": {"a": [1]}, "sequence": [1.0], "mapping": {"a": [1]}, "listed": [[1]]}
    read = Loose.model_validate(OmegaConf.create(data))
    assert read.to_dict() == data
    kinds = {type(value) for value in (read.anything["a"], read.sequence, read.listed[0])}
    assert kinds == {list}


def test_what_is_not_of_omegaconf_is_left_as_it_is() -> None:
    value = {"a": object()}
    assert plain_containers(value) is value


MISSING = "optimizer.lr: is missing ('???'); give it a value"


def test_a_missing_value_is_named() -> None:
    data = OmegaConf.create({"optimizer": {"name": "adamw", "lr": "???"}})
    with pytest.raises(ValidationError) as error:
        Run.model_validate(data)
    assert MISSING in str(error.value)
    with pytest.raises(ConfigError) as read:
        Run.from_mapping(data)
    assert str(read.value) == MISSING


def test_an_interpolation_that_leads_nowhere_is_named() -> None:
    data = OmegaConf.create({"optimizer": {"name": "adamw", "lr": "${bse.lr}"}})
    with pytest.raises(ConfigError, match=r"optimizer\.lr: Interpolation key 'bse.lr' not found"):
        Run.from_mapping(data)


def test_a_target_below_a_component_is_an_unknown_key_and_imports_nothing() -> None:
    data = OmegaConf.create({"optimizer": {"name": "adamw", "_target_": "this.Antigravity"}})
    with pytest.raises(ConfigError, match="unknown key '_target_'"):
        Run.from_mapping(data)
    assert "this" not in sys.modules


# -- hydra-zen -------------------------------------------------------------------------------------


def test_hydra_zen_builds_an_optimizer() -> None:
    built = instantiate(builds(AdamWConfig, lr=0.1, betas=[0.9, 0.95]))
    assert built == AdamWConfig(lr=0.1, betas=(0.9, 0.95))


@pytest.mark.parametrize(
    "optimizer", [builds(AdamWConfig, lr=0.1), {"name": "adamw", "lr": 0.1}, AdamWConfig(lr=0.1)]
)
def test_hydra_zen_builds_a_config_with_an_optimizer_in_it(optimizer: Any) -> None:
    assert instantiate(builds(Run, optimizer=optimizer)) == Run(optimizer=AdamWConfig(lr=0.1))


def test_hydra_zen_knows_the_whole_signature() -> None:
    adamw = builds(AdamWConfig, populate_full_signature=True)
    assert instantiate(adamw(lr=0.3)) == AdamWConfig(lr=0.3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'lrr'"):
        adamw(lrr=0.3)


def test_a_value_out_of_range_fails_where_it_is_instantiated() -> None:
    with pytest.raises(InstantiationException, match="lr\n  must be >= 0"):
        instantiate(builds(AdamWConfig, lr=-1.0))
