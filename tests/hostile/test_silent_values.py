"""What torch takes without a word and what breaks training is refused, wherever it is written."""

from __future__ import annotations

import math
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from tests.support import torchs_optimizers
from torch.optim import lr_scheduler as torchs

from nshtrainer import Config, RunLength, configs
from nshtrainer.config.formats.yaml_reader import read_yaml
from nshtrainer.configs import AdamWConfig, lr_scheduler_registry, optimizer_registry
from nshtrainer.exceptions import OptimizerError, ScheduleError
from nshtrainer.optimizer.torch_config import target_class

TABLE = read_yaml(Path(__file__).with_name("silent.yaml").read_text(encoding="utf-8")).data

# -- by the kind of a field ------------------------------------------------------------------------

EVERY = [
    cls
    for cls in (getattr(configs, name) for name in dir(configs))
    if isinstance(cls, type) and issubclass(cls, Config) and not cls.__name__.endswith("Base")
]


def kinds_in(annotation: Any) -> set[Any]:
    """The plain types that a field may hold, itself or in a tuple."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kinds_in(arguments[0])
    if origin is Literal:
        return {type(each) for each in arguments}
    if origin in {Union, types.UnionType, tuple}:
        return set[Any]().union(*map(kinds_in, arguments))
    return {origin or annotation}


def wrong_for(kinds: set[Any]) -> Iterator[Any]:
    """What no field of these types takes."""
    numeric = bool(kinds & {int, float})
    if numeric:
        yield from (math.nan, math.inf, -math.inf)
    if numeric and bool not in kinds:
        yield True
    if numeric and str not in kinds:
        yield from ("0.1", "1", "one")
    if int in kinds and float not in kinds:
        yield from (1.0, 10**400)
    if bool in kinds and str not in kinds:
        yield from ("no", "yes", "false", "on")
    if bool in kinds and not numeric:
        yield from (0, 1, 1.0)


def written(value: Any) -> Iterator[Any]:
    """A value by itself and as the items of short lists."""
    yield value
    yield from ([value] * size for size in range(1, 5))


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_a_number_is_finite_and_no_text_and_a_choice_is_true_or_false(cls: Any):
    for name, field in cls.model_fields.items():
        for wrong in wrong_for(kinds_in(field.annotation)):
            for value in written(wrong):
                with pytest.raises(ValidationError) as caught:
                    cls.model_validate({name: value})
                assert any(name in error["loc"][:1] for error in caught.value.errors())


def test_the_law_looks_at_many_fields():
    looked_at = [
        wrong
        for cls in EVERY
        for field in cls.model_fields.values()
        for wrong in wrong_for(kinds_in(field.annotation))
    ]
    assert len(looked_at) > 5000


# -- optimizers ------------------------------------------------------------------------------------

OPTIMIZERS = {cls.model_fields["name"].default: cls for cls in torchs_optimizers()}


class Row(NamedTuple):
    """One optimizer with options of the table."""

    name: str
    options: dict[str, Any]
    only_in_groups: bool

    def __str__(self) -> str:
        return f"{self.name}-{self.options}"

    @property
    def config(self) -> Any:
        return OPTIMIZERS[self.name]

    @property
    def torchs(self) -> Any:
        return target_class(self.config.target)


def named(row: dict[str, Any]) -> list[str]:
    if row["of"] != "all":
        return row["of"]
    return [name for name, cls in OPTIMIZERS.items() if cls.group_options() >= set(row["options"])]


ROWS = [
    Row(name, row["options"], row.get("only_in_groups", False))
    for row in TABLE["optimizers"]
    for name in named(row)
]
every_row = pytest.mark.parametrize("row", ROWS, ids=str)


def matrix() -> list[Any]:
    return [torch.nn.Parameter(torch.ones(3, 3))]


def places(error: ValidationError) -> list[str]:
    return [".".join(map(str, each["loc"])) for each in error.errors()]


@every_row
def test_torch_takes_it_without_a_word(row: Row):
    if row.only_in_groups:
        row.torchs([{"params": matrix(), **row.options}])
    else:
        row.torchs(matrix(), **row.options)


@every_row
def test_the_config_refuses_it_by_name(row: Row):
    with pytest.raises(ValidationError) as caught:
        row.config(**row.options)
    first = places(caught.value)[0]
    assert not first or first.startswith(tuple(row.options))  # a rule over several has no place


@every_row
def test_a_rule_refuses_it(row: Row):
    if row.config.needs_one_group:
        return
    rule = {"name": "some", "select": "*", "options": row.options}
    with pytest.raises(ValidationError) as caught:
        row.config(groups=[rule])
    assert places(caught.value)[0].startswith("groups.0.options")


@every_row
def test_a_group_refuses_it(row: Row):
    with pytest.raises(OptimizerError, match=r"^parameter group 0"):
        row.config().create_optimizer([{"params": matrix(), **row.options}])


@every_row
def test_what_is_around_an_optimizer_refuses_it(row: Row):
    inner = {"name": row.name, **row.options}
    for outer in AROUND:
        with pytest.raises(ValidationError) as caught:
            optimizer_registry[outer["name"]].model_validate(filled(outer, inner))
        assert any("optimizer" in place for place in places(caught.value))


def filled(outer: Any, inner: dict[str, Any]) -> Any:
    """The optimizer around another one, where `inner` stands."""
    if isinstance(outer, list):
        return [filled(each, inner) for each in outer]
    if isinstance(outer, dict):
        return {key: filled(value, inner) for key, value in outer.items()}
    return inner if outer == "inner" else outer


AROUND: list[dict[str, Any]] = [
    {"name": "routed", "routes": [{"name": "a", "select": "*", "optimizer": "inner"}]},
    {"name": "lookahead", "optimizer": "inner"},
    {"name": "sam", "optimizer": "inner"},
    {"name": "clipped", "max_norm": 1.0, "optimizer": "inner"},
    {"name": "skipping", "max_norm": 1.0, "optimizer": "inner"},
]


def test_what_is_around_an_optimizer_takes_one_without_it():
    for outer in AROUND:
        assert optimizer_registry[outer["name"]].model_validate(filled(outer, {"name": "adamw"}))


@pytest.mark.parametrize("fields", TABLE["grouping"], ids=str)
def test_a_factor_of_a_rule_and_a_preset_refuse_it(fields: dict[str, Any]):
    with pytest.raises(ValidationError) as caught:
        AdamWConfig.model_validate(fields)
    assert places(caught.value)[0].startswith(tuple(fields))


def test_a_rate_that_a_factor_makes_far_too_large_is_refused():
    rule = {"name": "some", "select": "*", "lr_mult": 1e12}
    with pytest.raises(OptimizerError, match=r"'some': lr: must be <= 10{15}"):
        AdamWConfig(lr=1e10, groups=[rule]).create_optimizer(torch.nn.Linear(2, 1))
    scaled = AdamWConfig(lr=1e14, lr_scaling={"base_batch_size": 1})
    with pytest.raises(ValidationError, match=r"must be <= 10{15}"):
        scaled.at_batch(1000)


# -- schedules -------------------------------------------------------------------------------------


def schedules(*parts: str) -> Any:
    rows = [row for part in parts for row in TABLE[part]]
    return pytest.mark.parametrize("row", rows, ids=lambda row: f"{row['of']}-{row['options']}")


@schedules("schedulers")
def test_a_scheduler_of_torch_takes_it_without_a_word(row: dict[str, Any]):
    name = lr_scheduler_registry[row["of"]].__name__.removesuffix("Config")
    cls = torch.optim.swa_utils.SWALR if name == "SWALR" else getattr(torchs, name)
    cls(torch.optim.SGD(matrix(), lr=0.1, momentum=0.9), **row["options"])


@schedules("schedulers", "ours")
def test_a_schedule_refuses_it(row: dict[str, Any]):
    cls = lr_scheduler_registry[row["of"]]
    if not row.get("run"):
        with pytest.raises(ValidationError) as caught:
            cls.model_validate(row["options"])
        assert not {"extra_forbidden", "missing"} & {each["type"] for each in caught.value.errors()}
        return
    config = cls.model_validate(row["options"])
    with pytest.raises(ScheduleError):
        config.create_scheduler(torch.optim.SGD(matrix(), lr=0.1), RunLength(total_steps=100))
