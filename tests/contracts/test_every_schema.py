"""The schema for editors and the one of pydantic say the same of every field."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import Any

import jsonschema
import pytest

from nshtrainer import Config
from nshtrainer.config.schema import for_editors, schema_text
from nshtrainer.lr_scheduler import LRSchedulerConfig, lr_scheduler_registry
from nshtrainer.optimizer import OptimizerConfig, optimizer_registry
from nshtrainer.project.run_file import AnyRunConfig
from nshtrainer.project.run_schema import READY_MADE

KINDS = {"OptimizerConfig": optimizer_registry, "LRSchedulerConfig": lr_scheduler_registry}
COMPONENTS = [
    pytest.param(kind, name, id=name) for kind, registry in KINDS.items() for name in registry
]
VALUES: list[Any] = [
    *(None, True, -1, 0, 0.5, 3, 1e99),
    *("", "10 steps", "10 stepz", "bias_and_norm", "none", "untuned"),
    *([], [1, 2, 3], [0.9, 0.999], ["a"]),
    *({}, {"name": "nope"}, {"name": "steps", "value": -1}, {"name": "epochs", "value": 2}),
]


@functools.cache
def raw() -> dict[str, Any]:
    """Return pydantic's schema for our own components, whatever other tests have registered."""
    with ExitStack() as stack:
        for registry in KINDS.values():
            stack.enter_context(registry.scoped())
            own = {
                name: cls
                for name, cls in registry.items()
                if cls.__module__.startswith("nshtrainer.")
            }
            registry._classes = own
        return AnyRunConfig.model_json_schema()


@functools.cache
def ours(kind: str) -> jsonschema.Draft202012Validator:
    defs = for_editors(raw())["$defs"]
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": defs})


def theirs(part: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**part, "$defs": raw()["$defs"]})


def class_of(kind: str, name: str) -> dict[str, Any]:
    reference = raw()["$defs"][kind]["discriminator"]["mapping"][name]
    return raw()["$defs"][reference.rpartition("/")[2]]


def keys_with_errors(kind: str, value: dict[str, Any]) -> set[str]:
    return {str(error.path[0]) for error in ours(kind).iter_errors(value) if error.path}


def assert_same_fields_are_refused(kind: str, name: str, shift: int):
    """Give each field a value that probably does not fit; all of them at once are fast."""
    fields: dict[str, Any] = class_of(kind, name)["properties"]
    values = {
        key: VALUES[(shift + place) % len(VALUES)]
        for place, key in enumerate(fields)
        if key != "name"
    }
    refused = {key for key, value in values.items() if not theirs(fields[key]).is_valid(value)}
    assert keys_with_errors(kind, {**values, "name": name}) == refused


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_the_same_values_of_fields_are_refused_as_by_pydantics_schema(kind: str, name: str):
    assert_same_fields_are_refused(kind, name, len(name))


@pytest.mark.slow
@pytest.mark.parametrize("shift", range(len(VALUES)))
@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_every_value_of_a_field_is_refused_as_by_pydantics_schema(kind: str, name: str, shift: int):
    assert_same_fields_are_refused(kind, name, shift)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_keys_and_names_are_refused(kind: str):
    for name in KINDS[kind]:
        errors = ours(kind).iter_errors({"name": name, "no_such_key": 1})
        assert sum("no_such_key" in error.message for error in errors) == 1, name
    for value in ({"name": "no_such_name"}, "no_such_name", {}, 1, None):
        assert not ours(kind).is_valid(value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_alone_stands_for_a_mapping_with_this_name(kind: str):
    for name in KINDS[kind]:
        assert ours(kind).is_valid(name) == ours(kind).is_valid({"name": name})
        assert ours(kind).is_valid(name) == ("required" not in class_of(kind, name))


# -- the file of the package ---------------------------------------------------------------------


def test_the_ready_made_schema_is_that_of_all_components():
    assert schema_text(for_editors(raw())) == READY_MADE.read_text("utf-8"), "run make format"


class Both(Config):
    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig


@pytest.mark.slow
def test_the_schema_is_small(monkeypatch: pytest.MonkeyPatch):
    assert len(schema_text(Both.json_schema()).encode()) <= 260_000
    core = {
        name: cls
        for name, cls in optimizer_registry.items()
        if ".third_party." not in cls.__module__
    }
    monkeypatch.setattr(optimizer_registry, "_classes", core)
    monkeypatch.setitem(vars(optimizer_registry), "_indexed", {})
    assert len(optimizer_registry) == len(core) > 15
    assert len(schema_text(Both.json_schema()).encode()) <= 150_000
