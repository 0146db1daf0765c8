"""Configs drawn from the types of their fields, whole and with parts of them changed at random.

What is right builds, drives and takes steps; what is wrong gives the documented error; no other
exception comes out of either. `make fuzz` draws many more.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.contracts.test_every_optimizer import make_model
from tests.support import configs_of, torchs_optimizers, train

from nshtrainer import Config, RunLength, configs
from nshtrainer.config.formats.yaml_writer import write_yaml
from nshtrainer.configs import lr_scheduler_registry
from nshtrainer.exceptions import ConfigError, NshtrainerError
from nshtrainer.metric import MetricConfig
from nshtrainer.run_context import RunContext

OPTIMIZERS = torchs_optimizers()
SCHEDULES = list(lr_scheduler_registry.values())
OTHERS = [
    cls
    for cls in (getattr(configs, name) for name in dir(configs))
    if isinstance(cls, type)
    and issubclass(cls, Config)
    and not cls.__name__.endswith("Base")
    and not cls.__module__.startswith("nshtrainer.optimizer.third_party.")
]

SETTINGS = RunContext(primary_metric=MetricConfig(monitor="loss", mode="min"))

few = settings(max_examples=settings.default.max_examples // 3)  # type: ignore[union-attr]
slow = pytest.mark.slow


def every(classes: list[Any]) -> Any:
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


# -- changing a part -------------------------------------------------------------------------------

WRONG: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, 10**400),
    *(0.5, -0.0, 1e308, 5e-324, math.nan, math.inf),
    *("", "no", "0.1", "1e3", "adamw", "cosine", "10%", "-1 steps", "1e999 steps", "*", "re:("),
    *("\0", "\ud800", "x" * 1000),
    *([], {}, [[]], {"name": "sgd"}, {"name": []}, {"": None}, [1, "a", None]),
]
JUNK = st.sampled_from(WRONG).map(copy.deepcopy)
"""What is often wrong, and right in some places."""


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every container in plain data with each of its keys or indices."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    inner = [
        place
        for key in keys
        if isinstance(value[key], (dict, list))
        for place in places_in(value[key])
    ]
    return [*((value, key) for key in keys), *inner]


@st.composite
def changed(draw: st.DrawFn, cls: Any) -> dict[str, Any]:
    """A valid config as plain data, in which up to three parts are replaced, removed or added."""
    data = copy.deepcopy(draw(configs_of(cls, longest=100)).to_dict())
    for _ in range(draw(st.integers(1, 3))):
        places = places_in(data)
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if how == "remove":
            del container[key]
        elif how == "add" and isinstance(container, dict):
            container[draw(st.sampled_from(["", "lr", "name", "_target_", "x"]))] = draw(JUNK)
        else:
            container[key] = draw(JUNK)
    return data


def config_or_none(read: Callable[[], Any], refusal: type[Exception]) -> Any:
    try:
        return read()
    except refusal as error:
        said = str(error)
    assert said.strip()
    return None


@slow
@every(OTHERS)
@few
@given(data=st.data())
def test_what_is_changed_is_taken_or_refused_as_documented(cls: Any, data: st.DataObject):
    taken_or_refused(cls, data)


@few
@given(data=st.data(), cls=st.sampled_from(OTHERS))
def test_what_is_changed_in_some_config_is_taken_or_refused(cls: Any, data: st.DataObject):
    taken_or_refused(cls, data)


def taken_or_refused(cls: Any, data: st.DataObject) -> None:
    """All ways in agree on a changed config, and what they take comes back."""
    values = data.draw(changed(cls))
    taken = config_or_none(lambda: cls.model_validate(values), ValidationError)
    assert config_or_none(lambda: cls.from_mapping(values), ConfigError) == taken
    assert config_or_none(lambda: cls.from_json(json.dumps(values)), ConfigError) == taken
    text = config_or_none(lambda: write_yaml(values), ValueError)  # more digits than Python writes
    if text is not None:
        assert config_or_none(lambda: cls.from_yaml(text), ConfigError) == taken
    if taken is not None:
        assert cls.from_yaml(taken.to_yaml()) == cls.from_json(taken.to_json()) == taken


# -- building --------------------------------------------------------------------------------------


def drawn(data: st.DataObject, cls: Any) -> Any:
    """A config as it is, or a changed one that is still taken."""
    if data.draw(st.booleans()):
        return data.draw(configs_of(cls, longest=100))
    return config_or_none(lambda: cls.model_validate(data.draw(changed(cls))), ValidationError)


@slow
@every(OPTIMIZERS)
@few
@given(data=st.data())
def test_an_optimizer_takes_a_step_or_says_why_there_is_none(cls: Any, data: st.DataObject):
    steps_or_says_why(cls, data)


@few
@given(data=st.data(), cls=st.sampled_from(OPTIMIZERS))
def test_some_optimizer_takes_a_step_or_says_why_there_is_none(cls: Any, data: st.DataObject):
    steps_or_says_why(cls, data)


def steps_or_says_why(cls: Any, data: st.DataObject) -> None:
    """It is built and trains a tiny model for a step, or the error is ours."""
    config = drawn(data, cls)
    model = make_model(cls)
    # The one flag is for a GPU, the other for parameters that are no leaves of a graph.
    elsewhere = any(getattr(config, flag, False) for flag in ("capturable", "differentiable"))
    if config is not None and not elsewhere:
        optimizer = config_or_none(lambda: config.create_optimizer(model), NshtrainerError)
        if optimizer is not None:
            train(model, optimizer, 1)


@slow
@every(SCHEDULES)
@few
@given(data=st.data())
def test_a_schedule_drives_or_says_why_it_does_not(cls: Any, data: st.DataObject):
    drives_or_says_why(cls, data)


@few
@given(data=st.data(), cls=st.sampled_from(SCHEDULES))
def test_some_schedule_drives_or_says_why_it_does_not(cls: Any, data: st.DataObject):
    drives_or_says_why(cls, data)


def drives_or_says_why(cls: Any, data: st.DataObject) -> None:
    """It is built and drives an optimizer, or the error is ours."""
    config = drawn(data, cls)
    run = RunLength(total_steps=12, steps_per_epoch=3, samples_per_step=8, tokens_per_step=64)
    run = run.replace(base_lr=0.1, beta2=0.999, context=SETTINGS)
    if config is not None:
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        made = config_or_none(lambda: config.create_scheduler(optimizer, run), NshtrainerError)
        if made is not None:
            drive(optimizer, made)


def drive(optimizer: Any, made: Any) -> None:
    """Three updates; every rate is a finite number that is not negative."""
    for _ in range(3):
        optimizer.step()
        made["scheduler"].step(*[1.0] * bool(made.get("reduce_on_plateau")))
        rate = optimizer.param_groups[0]["lr"]
        assert math.isfinite(rate)
        assert rate >= 0
