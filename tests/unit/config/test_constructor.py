"""The constructor of a config: what it refuses, and its signature."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from nshtrainer.config import Config
from nshtrainer.exceptions import ArgumentError


class Inner(Config):
    rate: float = 0.1


class Outer(Config):
    inner: Inner = Inner()
    size: int = 1


class Larger(Outer):
    size: int = 2


def test_a_value_without_a_name_is_refused_with_the_way_to_write_it() -> None:
    arguments: Any = (1.0, 2.0)
    text = r"Inner: takes its fields by name \(got a float without one\); write Inner\(rate=...\)"
    with pytest.raises(ArgumentError, match=text):
        Inner(*arguments)
    with pytest.raises(TypeError):
        Inner(*arguments)


def test_a_field_of_a_config_is_not_assigned() -> None:
    config: Any = Outer()
    with pytest.raises(ValidationError) as caught:
        config.size = 2
    (error,) = caught.value.errors()
    assert (error["loc"], error["type"]) == (("size",), "frozen_instance")
    assert error["msg"] == "is frozen; make a changed copy with replace(size=...)"


def test_a_config_within_another_is_built_without_a_call() -> None:
    assert not any(cls.__pydantic_custom_init__ for cls in (Config, Inner, Outer))


def test_the_signature_of_the_constructor_has_the_fields() -> None:
    for cls in (Larger, Outer):
        for constructor in (cls, cls.__init__):
            parameters = inspect.signature(constructor).parameters
            assert [name for name in parameters if name != "self"] == ["inner", "size"]
            assert parameters["size"].default == cls().size
    assert [*inspect.signature(Outer().__init__).parameters] == ["inner", "size"]
    assert Outer.__init__.__qualname__ == "Outer.__init__"


def test_a_class_may_have_a_constructor_of_its_own() -> None:
    class Own(Config):
        size: int = 1

        def __init__(self, size: int = 3, **others: Any) -> None:
            super().__init__(**{"size": size, **others})

    class Below(Own):
        rate: float = 0.1

    assert (Own().size, Below(rate=0.5).size) == (3, 3)
    assert Below.__init__ is Own.__init__
    with pytest.raises(ValidationError, match="must be a whole number"):
        Own(size="x")  # pyright: ignore[reportArgumentType]


def test_a_validator_that_returns_another_object_is_warned_of() -> None:
    class Other(Config):
        size: int = 1

        @model_validator(mode="after")
        def _other(self) -> Any:
            return Other.model_construct(size=2)

    with pytest.warns(UserWarning, match="returning a value other than `self`"):
        assert Other().size == 1


def test_an_error_of_a_users_validator_keeps_its_words() -> None:
    class Even(Config):
        model_config = ConfigDict(extra="allow")
        size: int = 0

        @field_validator("size")
        @classmethod
        def _even(cls, size: int) -> int:
            if size % 2:
                raise ValueError(f"{size} {{is}} odd; double it")
            return size

    with pytest.raises(ValidationError) as caught:
        Even(size=3)
    (error,) = caught.value.errors()
    assert (error["msg"], error["type"]) == ("3 {is} odd; double it", "value_error")


def test_a_config_within_a_model_of_pydantic_keeps_the_words_of_pydantic() -> None:
    class Theirs(BaseModel):
        inner: Inner

    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Theirs.model_validate({"inner": {"rat": 1}})
