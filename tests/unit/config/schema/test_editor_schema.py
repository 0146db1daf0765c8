"""The schema for editors: what it says in few words, and what it accepts."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import Field

from nshtrainer import Config
from nshtrainer.config.named import NamedConfig
from nshtrainer.config.registry import Registry
from nshtrainer.config.schema import for_editors, schema_text, with_root
from nshtrainer.config.schema.simplify import simplify


class Common(Config):
    first: int = 1
    """The first."""

    second: tuple[float, ...] = (0.5, 1.0)
    third: dict[str, int] = Field(default={})


class Circle(Common):
    """A round shape.

    >>> Circle()
    """

    name: Literal["circle", "disk"] = "circle"
    radius: float = Field(default=1.0, ge=0)


class Square(Common):
    name: Literal["square"] = "square"
    side: float | None = None


class Triangle(Common):
    name: Literal["triangle"] = "triangle"
    sides: tuple[float, float, float]


Shape = Annotated[Circle | Square | Triangle, Field(discriminator="name")]


class Drawing(Config):
    shape: Shape
    note: Literal["none"] | Shape = "none"
    either: Shape | dict[str, int] = Field(default={})
    width: int | float | None = None
    length: float | str | None = None


SCHEMA = Drawing.json_schema()


def accepts(schema: dict[str, Any], value: Any) -> bool:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    "value",
    [
        {"shape": {"name": "circle"}},
        {"shape": {"name": "disk", "radius": 2}, "note": "none"},
        {"shape": {"name": "square", "third": {"a": 1}}, "note": {"name": "square"}},
        {"shape": {"name": "triangle", "sides": [3, 4, 5]}, "either": {"a": 1}},
        {"shape": {"name": "square", "side": None}, "width": 1.5, "length": "long"},
        {"shape": {"name": "disc"}},
        {"shape": {"name": "circle", "side": 1}},
        {"shape": {"name": "square", "side": "long"}},
        {"shape": {"name": "square", "first": 1.5}},
        {"shape": {"name": "triangle"}},
        {"shape": {}},
        {"shape": "circle"},
        {"shape": {"name": "circle"}, "note": "some"},
        {"shape": {"name": "circle"}, "note": {"name": "disk", "radius": -1}},
        {"shape": {"name": "circle"}, "either": {"a": "b"}},
        {"shape": {"name": "circle"}, "width": "long"},
        {},
    ],
    ids=str,
)
def test_the_same_values_are_accepted_as_by_pydantics_schema(value: Any):
    assert accepts(SCHEMA, value) == accepts(Drawing.model_json_schema(), value)


def test_plain_types_are_joined_but_not_integer_and_number():
    assert SCHEMA["properties"]["length"] == {"type": ["number", "string", "null"]}
    assert [each["type"] for each in SCHEMA["properties"]["width"]["anyOf"]] == [
        "integer", "number", "null",
    ]  # fmt: skip


def test_a_text_with_a_pattern_comes_first():
    members = [{"$ref": "#/$defs/A"}, {"type": "string", "pattern": "a"}, {"const": "b"}]
    assert simplify({"anyOf": members})["anyOf"][0] == members[1]


def test_properties_that_three_classes_share_are_written_once():
    text = schema_text(SCHEMA)
    assert text.count("The first.") == 1
    assert SCHEMA["$defs"]["Square"]["properties"]["first"] is True


def test_a_class_has_its_first_paragraph_at_its_name():
    text = schema_text(SCHEMA)
    assert '{"const":"disk","description":"A round shape."}' in text
    assert ">>>" not in text


def test_the_text_is_json_with_a_line_for_each_definition():
    assert json.loads(schema_text(SCHEMA)) == SCHEMA
    assert len(schema_text(SCHEMA).splitlines()) == len(SCHEMA["$defs"]) + 2
    alone = Common.json_schema()
    assert json.loads(schema_text(alone)) == {**alone, "$defs": {}}


class PetBase(NamedConfig):
    pass


pets = Registry(PetBase, kind="pet", entry_point_group="nshtrainer.no_pets")


@pets.register
class Dog(PetBase):
    name: Literal["dog"] = "dog"
    friend: PetBase | None = None
    """Another pet."""


@pets.register
class Fish(PetBase):
    name: Literal["fish"] = "fish"
    tank: str


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ({"name": "dog", "friend": {"name": "dog", "friend": "dog"}}, True),
        ("dog", True),
        ({"name": "fish", "tank": "large"}, True),
        ({"name": "dog", "friend": {"name": "dog", "friend": "cat"}}, False),
        ("fish", False),
        ("cat", False),
        (1, False),
    ],
)
def test_a_component_is_a_mapping_or_a_name(value: Any, fits: bool):
    class Home(Config):
        pet: PetBase

    assert accepts(Home.json_schema(), {"pet": value}) is fits


def test_a_component_that_only_the_union_needs_is_written_there():
    class Home(Config):
        pet: PetBase

    assert list(Home.json_schema()["$defs"]) == ["Pet"]


def test_a_recursive_class_has_its_keys_at_the_top():
    class Tree(Config):
        left: Tree | None = None

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    assert set(with_root(Tree.model_json_schema())["properties"]) == {"left"}
    assert accepts(Tree.json_schema(), {"left": {"left": None}})
    assert not accepts(Tree.json_schema(), {"left": {"right": None}})
    assert for_editors({"type": "integer"})["type"] == "integer"


class One(Config):
    kind: Literal["one"] = "one"
    size: int = Field(default=1, alias="a/b", description="A text that is written once.")


class Two(Config):
    kind: Literal["two", "zwei"] = "two"
    size: int = Field(default=1, alias="a/b", description="A text that is written once.")


class First(Config):
    number: Literal[1] = 1
    size: int = Field(default=1, alias="a/b", description="A text that is written once.")


class Second(Config):
    number: Literal[2] = 2


class Others(Config):
    """Unions by another key than `name`, and by a number."""

    by_kind: Annotated[One | Two, Field(discriminator="kind")] = One()
    by_number: Annotated[First | Second, Field(discriminator="number")] = First()


class Outer(Config):
    others: Others


@pytest.mark.parametrize(
    "value",
    [
        {"by_kind": {"kind": "one", "a/b": 2}, "by_number": {"number": 1}},
        {"by_kind": {"kind": "zwei", "a/b": 3}, "by_number": {"number": 2}},
        {"by_kind": {"kind": "three"}},
        {"by_kind": {"kind": "two", "a/b": "c"}},
        {"by_kind": {"name": "one"}},
        {"by_number": {"number": 3}},
        {"by_number": {"number": "1"}},
        {"by_number": {"number": 2, "a/b": 2}},
    ],
    ids=str,
)
def test_classes_may_be_told_apart_by_another_key(value: Any):
    assert schema_text(Outer.json_schema()).count("A text that is written once.") == 1
    value = {"others": value}
    assert accepts(Outer.json_schema(), value) == accepts(Outer.model_json_schema(), value)
