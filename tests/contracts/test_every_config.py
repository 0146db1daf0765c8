"""Laws of every config class in `nshtrainer.configs`; a new one is tested without an edit here."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import re
from typing import Any

import jsonschema
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support import configs_of, that_add_something

from nshtrainer import Config, configs
from nshtrainer.config.docstrings import field_docs, own_docs
from nshtrainer.config.named import NamedConfig
from nshtrainer.configs import (
    callback_registry,
    logger_registry,
    lr_scheduler_registry,
    optimizer_registry,
)
from nshtrainer.exceptions import ConfigError

NAMED = {name: getattr(configs, name) for name in dir(configs)}
CLASSES = [
    cls
    for name, cls in NAMED.items()
    if isinstance(cls, type)
    and issubclass(cls, Config)
    and not name.endswith("Base")
    # Those of other packages, more than all others: test_every_package_optimizer.py has them.
    and not cls.__module__.startswith("nshtrainer.optimizer.third_party.")
]
REGISTRIES = (optimizer_registry, lr_scheduler_registry, logger_registry, callback_registry)
CONCRETE = [cls for cls in CLASSES if cls is not Config]
every_config = pytest.mark.parametrize("cls", CONCRETE, ids=lambda cls: cls.__name__)


def test_every_registered_class_is_exported_under_its_own_name():
    for registry in REGISTRIES:
        for cls in registry.values():
            assert NAMED[cls.__name__] is cls


def test_a_star_brings_every_name():
    namespace: dict[str, Any] = {}
    exec("from nshtrainer.configs import *", namespace)
    assert set(NAMED) <= set(namespace)


def test_a_config_has_at_most_six_of_our_classes_above_it():
    above = {name: getattr(cls, "__mro__", ())[1:] for name, cls in NAMED.items()}
    ours = {
        name: sum(cls.__module__.startswith("nshtrainer.") for cls in classes)
        for name, classes in above.items()
    }
    assert [name for name, number in ours.items() if number > 6] == []


def test_a_field_stands_in_the_class_itself_or_in_a_config_above_it():
    for cls in NAMED.values():
        for field in getattr(cls, "model_fields", {}):
            home = next(each for each in cls.__mro__ if field in inspect.get_annotations(each))
            assert home is cls or re.search("Config(Base)?$", home.__name__), (cls, field)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'nshtrainer\.configs' has no attribute 'NoConfig'"):
        configs.NoConfig  # noqa: B018 - the lookup is the test


# -- values ----------------------------------------------------------------------------------------


def assert_round_trips_through_every_format(cls: Any, config: Any):
    assert cls.from_yaml(config.to_yaml()) == config
    assert cls.from_json(config.to_json()) == config
    assert cls.model_validate(config.model_dump(exclude_defaults=True)) == config
    assert cls.model_validate_json(config.model_dump_json(exclude_unset=True)) == config


def assert_is_a_frozen_value(cls: Any, config: Any):
    twin = pickle.loads(pickle.dumps(config))
    assert twin == config == copy.deepcopy(config) == config.replace()
    assert hash(twin) == hash(config)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, next(iter(cls.model_fields)), None)


def assert_schema_accepts_it(cls: Any, config: Any):
    assert list(validator_of(cls).iter_errors(config.to_dict())) == []


def assert_unknown_key_is_refused_by_name(cls: Any, config: Any):
    with pytest.raises(ConfigError, match="unknown key 'no_such_key'"):
        cls.from_mapping({**config.to_dict(), "no_such_key": 1})


def assert_name_comes_first_in_a_file(cls: Any, config: Any):
    assert not issubclass(cls, NamedConfig) or next(iter(config.to_dict())) == "name"


def assert_its_repr_evaluates_to_it(cls: Any, config: Any):
    assert eval(repr(config), {**NAMED}) == config


def assert_its_repr_has_what_is_required_and_what_differs(cls: Any, config: Any):
    fields, shown = cls.model_fields, dict(config.__repr_args__())
    required = {name for name, field in fields.items() if field.is_required()}
    assert required <= shown.keys()
    for name in shown.keys() - required:
        default = fields[name].get_default(call_default_factory=True)
        assert shown[name] != default or isinstance(shown[name], bool)


LAWS = (
    assert_its_repr_evaluates_to_it,
    assert_its_repr_has_what_is_required_and_what_differs,
    assert_round_trips_through_every_format,
    assert_is_a_frozen_value,
    assert_schema_accepts_it,
    assert_unknown_key_is_refused_by_name,
    assert_name_comes_first_in_a_file,
)
"""What is true of every config; all of them see one config, since drawing it costs the most."""


def assert_laws_hold(cls: Any, data: st.DataObject):
    config = data.draw(configs_of(cls))
    for law in LAWS:
        law(cls, config)


@pytest.mark.parametrize("cls", that_add_something(CONCRETE), ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_what_is_drawn_from_its_fields_keeps_the_laws(cls: Any, data: st.DataObject):
    assert_laws_hold(cls, data)


@every_config
@settings(max_examples=settings.default.max_examples // 10)
@given(data=st.data())
def test_what_is_drawn_from_fields_of_known_kinds_keeps_the_laws(cls: Any, data: st.DataObject):
    assert_laws_hold(cls, data)


# -- schemas ---------------------------------------------------------------------------------------

schema_of = functools.cache(lambda cls: cls.json_schema())


@functools.cache
def validator_of(cls: Any) -> jsonschema.Draft202012Validator:
    schema = schema_of(cls)
    # What the registries have is looked at once, below.
    own = {key: value for key, value in schema.items() if key != "$defs"}
    jsonschema.Draft202012Validator.check_schema(own)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("registry", REGISTRIES)
def test_the_names_in_a_schema_tell_its_classes_apart(registry: Any):
    schema = pydantic.TypeAdapter(registry.base).json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    definitions = schema["$defs"]
    (union,) = (each for each in definitions.values() if len(each.get("oneOf", ())) > 3)
    mapping = union["discriminator"]["mapping"]
    assert set(registry) <= set(mapping)
    assert {branch["$ref"] for branch in union["oneOf"]} == set(mapping.values())
    for name, branch in mapping.items():
        field = definitions[branch.rpartition("/")[2]]["properties"]["name"]
        assert name in field.get("enum", [field.get("const")])


@every_config
def test_its_name_ends_in_config_and_its_docstring_says_what_it_is(cls: Any):
    assert cls.__name__.endswith("Config")
    assert cls.__doc__
    assert cls.__doc__.splitlines()[0].rstrip().endswith(".")


@every_config
def test_every_field_is_described(cls: Any):
    described = field_docs(cls)
    missing = [name for name in cls.model_fields if name != "name" and not described.get(name)]
    assert missing == []


def test_the_text_of_a_field_is_below_it_where_editors_find_it():
    # Not so in the classes for bitsandbytes, torchao and schedulefree: there types have the text.
    for cls in CONCRETE:
        homes = [each for each in cls.__mro__ if issubclass(each, Config)]
        for name in cls.model_fields.keys() - {"name"}:
            home = next(each for each in homes if name in inspect.get_annotations(each))
            assert name in own_docs(home), (home, name)


@every_config
def test_every_field_is_described_in_the_schema(cls: Any):
    for name, schema in schema_of(cls)["properties"].items():
        assert name == "name" or schema.get("description")


@pytest.mark.parametrize(
    "cls", [cls for cls in CONCRETE if issubclass(cls, NamedConfig)], ids=lambda cls: cls.__name__
)
def test_a_component_has_an_example_that_runs_and_a_lower_case_name(cls: Any):
    assert ">>>" in cls.__doc__
    assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.model_fields["name"].default)
