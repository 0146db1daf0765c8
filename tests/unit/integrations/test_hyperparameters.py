"""Configs as plain data and back, without a trainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from torch import nn

from nshtrainer import Config
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig, SGDConfig
from nshtrainer.exceptions import CheckpointError
from nshtrainer.integrations.hyperparameters import plain, restored

SGD = SGDConfig(lr=0.5)


class Odd(Config):
    value: Any


class Attributes(dict[str, Any]):
    """A dict like that of Lightning."""


@dataclass
class Options:
    optimizer: OptimizerConfig
    parent: Options | None = None


@dataclass
class Opaque:
    optimizer: SGDConfig
    net: nn.Module = field(default_factory=nn.Identity)


class Base:
    CHECKPOINT_HYPER_PARAMS_KEY = "hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "hparams_name"

    def __init__(self, optimizer: SGDConfig, width: int = 3) -> None: ...


class Child(Base):
    def __init__(
        self,
        either: AdamWConfig | SGDConfig | None = None,
        schedule: LRSchedulerConfig | None = None,
        many: dict[str, list[OptimizerConfig]] | None = None,
        noted: Annotated[SGDConfig, "noted"] | None = None,
        options: Options | None = None,
        opaque: Opaque | None = None,
        **more: Any,
    ) -> None: ...


def restore(**saved: Any) -> dict[str, Any]:
    return restored(Child, {"hyper_parameters": saved}, {})


# -- plain data ------------------------------------------------------------------------------------


def test_configs_in_containers_and_dataclasses_become_plain_data() -> None:
    data = SGD.to_dict()
    assert plain(SGD) == data
    assert plain({"a": [SGD, 1], "b": (SGD,)}) == {"a": [data, 1], "b": (data,)}
    assert plain(Options(SGD)) == {"optimizer": data, "parent": None}
    nested = plain(Attributes(x=1, y=SGD))
    assert type(nested) is Attributes
    assert nested == {"x": 1, "y": data}


@pytest.mark.parametrize("same", [3, "a", [1, (2,)], {"a": {1}}, Options, Odd(value=print)])
def test_what_has_no_config_or_no_plain_form_stays_itself(same: Any) -> None:
    assert plain(same) is same


# -- and back --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", SGD),
        ("either", AdamWConfig(lr=0.1)),
        ("either", SGD),
        ("many", {"a": [SGD, AdamWConfig()]}),
        ("noted", SGD),
        ("options", Options(AdamWConfig(), parent=Options(SGD))),
    ],
)
def test_an_annotated_argument_is_restored(name: str, value: Any) -> None:
    assert restore(**{name: plain(value)}) == {name: value}


def test_the_rest_is_left_to_lightning() -> None:
    opaque = plain(Opaque(SGD))
    assert restore(width="3", other={"name": "sgd"}, either=None, optimizer=SGD) == {}
    assert restore(opaque=opaque) == {"opaque": opaque}  # pydantic has no schema for a module
    assert restore(_instantiator="cli", optimizer=SGD.to_dict()) == {}
    assert restored(Child, {}, {}) == restored(Child, {"hyper_parameters": None}, {}) == {}


def test_arguments_of_the_caller_come_first_and_a_whole_argument_may_be_saved() -> None:
    saved = {"hyper_parameters": SGD.to_dict(), "hparams_name": "optimizer"}
    assert restored(Base, saved, {}) == {"optimizer": SGD}
    assert restored(Base, saved, {"optimizer": {"lr": 0.1}}) == {"optimizer": SGDConfig(lr=0.1)}


def test_an_invalid_value_is_named_with_its_place() -> None:
    with pytest.raises(CheckpointError, match=r"path, many=\.\.\.\)\nmany\.a\.0\.lr: must be >= 0"):
        restore(many={"a": [{"name": "sgd", "lr": -1}]})
