"""`help`, the signature and the members of a config class describe its fields, shortly."""

from __future__ import annotations

import inspect
import pydoc
import sys
from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, Field

from nshtrainer import Config, configs
from nshtrainer.config.display.class_help import plain_docs
from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    DurationConfig,
    OptimizerConfig,
)
from nshtrainer.types import Beta, NonNegative

T = TypeVar("T")


def help_of(thing: Any) -> str:
    return pydoc.render_doc(thing, renderer=pydoc.plaintext)


@pytest.mark.parametrize(
    ("cls", "lines"), [(AdamWConfig, 120), (CosineScheduleConfig, 150), (Config, 120)]
)
def test_help_is_short_and_has_no_member_of_pydantic(cls: Any, lines: int) -> None:
    text = help_of(cls)
    # From 3.13 on a long signature has a line for each argument.
    assert text.count("\n") < lines + 60 * (sys.version_info >= (3, 13))
    assert "model_dump" not in text
    assert "parse_obj" not in text
    assert "create_optimizer(self" in text or cls is not AdamWConfig


def test_help_on_a_config_is_that_on_its_class() -> None:
    on_class, on_config = (help_of(each).splitlines() for each in (AdamWConfig, AdamWConfig()))
    assert on_config[1:] == on_class[1:]
    assert AdamWConfig().__doc__ == AdamWConfig.__doc__


def test_a_class_made_from_the_body_of_another_keeps_its_docstring() -> None:
    copy = type(NoDocs)("Copy", (Config,), {**vars(OwnArgs), "lr": 0.1})
    assert copy.__doc__ == OwnArgs.__doc__


def test_help_describes_every_field_with_its_type_range_and_default() -> None:
    text = help_of(AdamWConfig)
    assert "lr (float, >= 0, default 0.001): Learning rate: about the size of one" in text
    assert "betas (tuple[float, float], >= 0, < 1, default (0.9, 0.999)): Decay of" in text
    assert "layer_decay (LayerDecayConfig | None, default None): Layer-wise" in text
    for name in AdamWConfig.model_fields:
        assert f"    {name} (" in text


class Fields(Config):
    """Fields of many kinds."""

    needed: OptimizerConfig
    """The optimizer."""
    length: DurationConfig | Literal["auto"] = "10%"  # type: ignore[assignment]
    pair: tuple[NonNegative, Beta] | None = None
    made: dict[str, int] = Field(default_factory=dict)
    lazy: int = Field(default_factory=lambda: 1, description="Counted.")
    call: Callable[[int], str] | None = None
    big: Annotated[int, Field(ge=-3, le=10**18)] = 0
    other: BaseModel | Any = None


def test_types_are_shown_without_modules_and_constraints() -> None:
    assert inspect.cleandoc(Fields.__doc__ or "").split("Args:\n")[1].splitlines()[:-2] == [
        "    needed (OptimizerConfig, required): The optimizer.",
        "    length (DurationConfig | 'auto', default '10%')",
        "    pair (tuple[float, float] | None, >= 0 or >= 0, < 1, default None)",
        "    made (dict[str, int], default dict())",
        "    lazy (int, default computed): Counted.",
        "    call (Callable[[int], str] | None, default None)",
        "    big (int, >= -3, default 0)",
        "    other (BaseModel | Any, default None)",
    ]


class OwnArgs(Config):
    """A class that describes its fields.

    Args:
        lr: The rate.
    """

    lr: float = 0.1


class NoDocs(Config):
    lr: float = 0.1


class Box(Config, Generic[T]):
    item: T


def test_a_docstring_that_has_the_arguments_stays_as_it_is() -> None:
    assert OwnArgs.__doc__ == ("A class that describes its fields.\n\nArgs:\n    lr: The rate.")


def test_a_class_without_docstring_or_with_a_parameter_has_its_fields_in_it() -> None:
    assert (NoDocs.__doc__ or "").startswith("Args:\n    lr (float, default 0.1)\n")
    assert "    item (int, required)" in (Box[int].__doc__ or "")


def test_a_docstring_can_be_set() -> None:
    class Later(Config):
        lr: float = 0.1

    Later.__doc__ = "Set later."
    assert (Later.__doc__ or "").startswith("Set later.\n\nArgs:\n")


def test_a_schema_has_the_docstring_as_it_is_written() -> None:
    assert AdamWConfig.model_json_schema()["description"].endswith("(0.9, 0.95)")
    assert "description" not in NoDocs.model_json_schema()
    with plain_docs():
        assert NoDocs.__doc__ is None


def test_the_signature_has_plain_types_and_the_defaults() -> None:
    parameters = inspect.signature(AdamWConfig).parameters
    assert list(parameters) == list(AdamWConfig.model_fields)
    assert parameters["betas"].annotation == tuple[float, float]
    assert parameters["lr"].default == 1e-3
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_the_signature_of_a_class_with_a_constructor_is_the_constructors() -> None:
    class Own(Config):
        lr: float = 0.1

        def __init__(self, rate: float, **rest: Any) -> None:
            super().__init__(lr=rate, **rest)

    assert list(inspect.signature(Own).parameters) == ["rate", "lr"]
    assert Own(0.5).lr == 0.5


def test_the_signature_of_a_class_with_an_unknown_type_is_that_of_its_constructor() -> None:
    class Unknown(Config):
        later: NotYet  # type: ignore[name-defined] # noqa: F821

    assert "data" in inspect.signature(Unknown).parameters


def test_members_are_those_of_use_on_the_class() -> None:
    members = dir(AdamWConfig)
    assert {"create_optimizer", "from_yaml", "from_file"} <= {*members}
    assert not {"parse_obj", "model_dump", "to_yaml", "target", "at_batch"} & {*members}
    assert {"create_scheduler", "plot", "describe"} <= {*dir(CosineScheduleConfig)}
    assert {"to_yaml", "override", "replace"} <= {*dir(Config)}


def test_members_of_a_users_class_are_all_shown() -> None:
    class Base(Config):
        def helper(self) -> int:
            return 1

    class Mine(Base):
        def __call__(self) -> int:
            return 1

    assert {"helper", "__call__", "from_yaml"} <= {*dir(Mine)}


def test_every_config_describes_its_fields() -> None:
    found = [getattr(configs, name) for name in dir(configs)]
    classes = [cls for cls in found if isinstance(cls, type) and issubclass(cls, Config)]
    ours = [cls for cls in classes if ".third_party." not in cls.__module__]
    assert len(ours) > 80
    for cls in ours:
        for field in cls.model_fields:
            assert f"\n    {field} (" in (cls.__doc__ or ""), cls
    assert "StepsConfig" not in (CosineScheduleConfig.__doc__ or "")
