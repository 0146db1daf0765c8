"""`Config` as a value: frozen, strict in numbers, comparable, described."""

# ruff: noqa: RUF012, a default of a field is no class attribute
from __future__ import annotations

import copy
import enum
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, field_validator
from typing_extensions import Doc

from nshtrainer.config import Config
from nshtrainer.config.docstrings import field_docs
from nshtrainer.config.named import FIRST, LAST, NamedConfig
from nshtrainer.config.validation import with_strict_numbers
from nshtrainer.exceptions import ConfigError
from nshtrainer.types import (
    Beta,
    Fraction,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
)


class Mode(enum.Enum):
    LOW = "min"
    HIGH = "max"


@dataclass
class Point:
    x: int = 0


class Plain(BaseModel):
    lenient: int = 0


class Inner(Config):
    rate: float = 0.1
    """How fast.

    A second paragraph.
    """
    sizes: tuple[int, ...] = ()
    type: int = 1


class Outer(Config):
    """An outer config."""

    number: float = 1.0
    count: int = 1
    flag: bool = False
    maybe: Optional[int] = None  # noqa: UP045 users write it so
    either: Union[int, str] = 1  # noqa: UP007 users write it so
    pair: tuple[float, float] = (1.0, 2.0)
    path: Path = Path()
    mode: Mode = Mode.LOW
    bounded: Annotated[int, Field(ge=0)] = 0
    lenient: Annotated[int, Field(strict=False)] = 0
    table: dict[str, float] = {}
    keyed: dict[int, str] = {}
    inner: Inner = Inner()
    choice: Literal[1, 2] = 1
    plain: Plain = Plain()
    point: Point = Point()


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": True},
        {"number": "0.1"},
        {"count": True},
        {"count": 1.0},
        {"count": "1"},
        {"flag": 1},
        {"flag": "yes"},
        {"maybe": "1"},
        {"maybe": True},
        {"either": 1.5},
        {"pair": ["1", 2]},
        {"bounded": False},
        {"table": {"a": "1"}},
        {"inner": {"rate": True}},
        {"inner": {"sizes": [1.0]}},
        {"inner": {"type": "1"}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_what_is_not_exactly_a_number_or_a_field_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Outer(**wrong)


def test_all_but_numbers_is_taken_as_a_file_can_write_it() -> None:
    made = Outer(
        number=1,
        pair=[1, 2],
        path="a/b",
        mode="max",
        keyed={"1": "one"},
        lenient="3",
        plain={"lenient": "4"},
        point={"x": "5"},
    )
    assert (made.number, made.pair, made.path) == (1.0, (1.0, 2.0), Path("a/b"))
    assert (made.mode, made.keyed, made.lenient) == (Mode.HIGH, {1: "one"}, 3)
    assert (made.plain.lenient, made.point.x) == (4, 5)


def test_a_recursive_config_is_strict_too() -> None:
    class Tree(Config):
        size: int = 0
        parts: tuple[Tree, ...] = ()

    assert Tree(parts=[{"size": 1}]).parts[0].size == 1
    with pytest.raises(ValidationError):
        Tree(parts=[{"size": True}])


def test_a_model_with_validators_of_its_own_is_strict_too() -> None:
    class Even(Config):
        count: int = 0

        @field_validator("count")
        @classmethod
        def _even(cls, value: int) -> int:
            assert value % 2 == 0
            return value

    assert Even(count=2).count == 2
    with pytest.raises(ValidationError):
        Even(count="2")


def test_a_default_is_validated() -> None:
    class Wrong(Config):
        rate: NonNegative = -1.0

    with pytest.raises(ValidationError):
        Wrong()


def test_a_config_is_frozen_and_hashes() -> None:
    config = Inner(sizes=(1, 2))
    with pytest.raises(ValidationError):
        config.rate = 2.0
    assert hash(config) == hash(Inner(sizes=(1, 2)))
    assert {config: 1}[Inner(sizes=(1, 2))] == 1


def test_a_list_in_a_config_makes_its_hash_a_type_error() -> None:
    class Listed(Config):
        values: list[int] = []

    with pytest.raises(TypeError, match="unhashable"):
        hash(Listed())


def test_a_config_pickles_copies_and_compares() -> None:
    config = Outer(count=3, inner=Inner(rate=0.5))
    assert pickle.loads(pickle.dumps(config)) == config
    assert copy.deepcopy(config) == config
    assert config != Outer()


def test_replace_validates_and_keeps_the_rest() -> None:
    config = Outer(count=3)
    changed = config.replace(number=2)
    assert (changed.number, changed.count, config.number) == (2.0, 3, 1.0)
    assert changed.model_fields_set == {"number", "count"}
    with pytest.raises(ValidationError):
        config.replace(number="2")
    with pytest.raises(ValidationError):
        config.replace(nmber=2)


def test_items_are_the_fields_as_plain_data() -> None:
    assert dict(Inner().items()) == {"rate": 0.1, "sizes": [], "type": 1}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (NonNegative, [0, 0.5], [-1e-9]),
        (Positive, [1e-9], [0, -1]),
        (Beta, [0, 0.999], [1, 1.0, -0.1]),
        (Fraction, [0, 1], [1.1, -0.1]),
        (NonNegativeInt, [0, 3], [-1, 1.0]),
        (PositiveInt, [1], [0, 0.5]),
    ],
)
def test_ranges_are_types(kind: Any, good: list[Any], bad: list[Any]) -> None:
    class Holder(Config):
        value: kind

    assert [Holder(value=value).value for value in good] == good
    for value in [*bad, True, "1", float("nan"), float("inf"), -float("inf"), None]:
        with pytest.raises(ValidationError):
            Holder(value=value)


@given(st.floats())
def test_beta_is_exactly_the_half_open_unit_interval(value: float) -> None:
    class Holder(Config):
        beta: Beta

    if 0 <= value < 1:
        assert Holder(beta=value).beta == value
    else:
        with pytest.raises(ValidationError):
            Holder(beta=value)


class Sub(Inner):
    rate: float = 0.2
    other: int = Field(1, alias="another", description="Said in Field.")
    """Not this."""
    bare: int = 0


def test_the_text_below_a_field_describes_it_and_its_subclasses() -> None:
    assert field_docs(Inner) == {"rate": "How fast.\n\nA second paragraph."}
    assert field_docs(Sub)["rate"] == field_docs(Inner)["rate"]
    assert field_docs(Sub)["other"] == "Said in Field."
    assert "bare" not in field_docs(Sub)


Speed = Annotated[float, Doc("How fast, said once.")]


class Shared(Inner):
    rate: Speed = 0.3
    first: Speed = 0.1
    second: Speed = 0.2
    """Said here."""


def test_a_type_describes_its_fields_unless_a_text_stands_below_one() -> None:
    once = {"rate": "How fast, said once.", "first": "How fast, said once."}
    assert field_docs(Shared) == {**once, "second": "Said here."}
    described = Shared.json_schema()["properties"]["first"]
    assert described["description"] == "How fast, said once."


class Upper(NamedConfig):
    plain: int = 0
    early: Annotated[int, FIRST] = 0


class Lower(Upper):
    late: Annotated[int, LAST] = 0
    own: int = 0
    name: Literal["lower"] = "lower"


def test_fields_of_bases_stand_behind_those_of_the_class_but_for_their_marks() -> None:
    assert [*Lower().to_dict()] == ["name", "own", "early", "plain", "late"]


T = TypeVar("T")


class Pair(Config, Generic[T]):
    first: T
    """The first."""


def test_a_parametrized_generic_has_the_texts_of_its_class() -> None:
    assert field_docs(Pair[int]) == {"first": "The first."}


def test_a_class_in_a_function_has_its_texts() -> None:
    if Inner:

        class Local(Config):
            here: int = 0
            """Found."""

    assert field_docs(Local) == {"here": "Found."}


def test_without_a_source_there_are_no_texts() -> None:
    space: dict[str, Any] = {"Config": Config, "__name__": "nowhere"}
    exec("class Made(Config):\n    a: int = 0\n    'Text.'\n", space)
    assert field_docs(space["Made"]) == {}
    assert space["Made"].json_schema()["properties"]["a"]["type"] == "integer"


def test_a_module_that_does_not_parse_has_no_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspect.getsource", lambda _: "class Sub(Inner:\n")
    assert field_docs(Sub) == {"other": "Said in Field."}


def test_a_class_that_only_has_a_source_of_its_own_has_its_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = "    class Alone(Config):\n        a: int = 0\n        'Text.'\n"

    def source(thing: object) -> str:
        if isinstance(thing, type):
            return own
        raise OSError

    class Alone(Config):
        a: int = 0

    monkeypatch.setattr("inspect.getsource", source)
    assert field_docs(Alone) == {"a": "Text."}


def test_the_schema_has_the_texts_and_the_ranges() -> None:
    class Deep(Config):
        """Deep."""

        sub: Sub = Sub()
        beta: Beta = 0.9
        """A running average's memory."""

    schema = Deep.json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    beta = schema["properties"]["beta"]
    assert (beta["minimum"], beta["exclusiveMaximum"]) == (0, 1)
    assert beta["description"] == "A running average's memory."
    inner = schema["$defs"]["Sub"]["properties"]
    assert inner["rate"]["description"].startswith("How fast.")
    assert inner["another"]["description"] == "Said in Field."
    assert schema["additionalProperties"] is False


def test_importing_config_imports_no_parser_and_no_torch() -> None:
    program = (
        "import sys, nshtrainer.config, nshtrainer.types\n"
        "heavy = {'torch', 'lightning', 'ruamel', 'tomllib', 'tomli', 'tomli_w', 'difflib'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_validation_calls_no_python() -> None:
    calls: list[str] = []

    class Nested(Config):
        inner: Inner = Inner()
        others: tuple[Inner, ...] = ()

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    validator = Nested.__pydantic_validator__
    sys.setprofile(note)
    try:
        validator.validate_python({"others": [{"rate": 1.0, "sizes": [1, 2]}]})
    finally:
        sys.setprofile(None)
    assert calls == []


def test_a_value_without_a_plain_form_cannot_be_written() -> None:
    class Holder(Config):
        value: Any = None

    with pytest.raises(ConfigError, match="Holder cannot be written"):
        Holder(value=object()).to_dict()
    with pytest.raises(ConfigError, match="Holder cannot be written"):
        Holder(value=10**5000).to_json()


def test_a_labelled_choice_of_a_union_is_made_strict() -> None:
    union = {"type": "union", "choices": [({"type": "int"}, "whole"), {"type": "str"}]}
    strict = with_strict_numbers(union, Config)
    assert strict["choices"][0] == ({"type": "int", "strict": True}, "whole")
    assert union["choices"][0] == ({"type": "int"}, "whole")
