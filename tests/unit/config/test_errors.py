"""The table of bad input, and messages where unions and validators are in the way."""

# ruff: noqa: RUF012, a default of a field is no class attribute
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar, Union

import pytest
from pydantic import Field
from tests.unit.config.table_config import AdamW, Run
from typing_extensions import TypeAliasType

from nshtrainer import TrainerConfig
from nshtrainer.config import Config
from nshtrainer.config.field_types import hints_of, models_of, part_of
from nshtrainer.config.formats.yaml_reader import read_yaml
from nshtrainer.duration import DurationConfig
from nshtrainer.exceptions import ConfigError

TABLE = read_yaml((Path(__file__).parent / "bad_input.yaml").read_text()).data


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["what"])
def test_bad_input_says_what_the_table_says(case: dict[str, Any]) -> None:
    cls = TrainerConfig if case.get("of") == "trainer" else Run
    read = getattr(cls, f"from_{case['format']}")
    with pytest.raises(ConfigError) as caught:
        read(case["text"], overrides=case.get("overrides", ()))
    assert str(caught.value).splitlines() == case["says"]


class A(Config):
    name: Literal["a"] = "a"
    rate: float = 0.1


class B(Config):
    name: Literal["b"] = "b"
    rate: int = 1
    size: int = 1


T = TypeVar("T", bound=B)


class Box(Config, Generic[T]):
    content: T


Alias = TypeAliasType("Alias", Union[A, B])  # noqa: UP007


KNOWN = "(known: name, rate, size)"
SISE = f"unknown key 'sise'; did you mean 'size'? {KNOWN}"
UNTIL = "until: a bare number has no unit; write '5 steps' or '5 epochs', or 'never'"
NOT_A_SET = "step: must be a whole number (got a set)"


class Unions(Config):
    open: Union[A, B, None] = None  # noqa: UP007
    closed: Annotated[Union[A, B], Field(discriminator="name")] = A()  # noqa: UP007
    scalar: int | str | None = None
    many: list[Optional[A]] = []  # noqa: UP045
    either: list[int] | dict[str, int] = []
    box: Box[B] | None = None
    alias: Alias = A()
    sized: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    one: Annotated[list[int], Field(max_length=1)] = []
    step: Annotated[int, Field(multiple_of=4)] = 4
    exact: Annotated[float, Field(gt=0.5, lt=2.5)] = 1.0
    word: Annotated[str, Field(pattern="^a+$")] = "a"
    bag: set[int] = set()
    whole: tuple[int, int] | int = 1
    switch: bool | Annotated[int, Field(ge=0)] = False
    aliased: int = Field(1, alias="Aliased")
    until: Literal["never"] | DurationConfig = "never"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"open": {"name": "a", "rate": "x"}}, ["open.rate: must be a number (got 'x')"]),
        ({"open": {"name": "b", "rate": 1.5}}, ["open.rate: must be a whole number (got 1.5)"]),
        ({"open": {"name": "c", "size": 2}}, ["open.name: must be 'a' or 'b' (got 'c')"]),
        ({"open": {"name": "a", "x": 1}}, ["open.x: unknown key 'x' (known: name, rate)"]),
        ({"open": {"rate": "x"}}, ["open.rate: must be a number or a whole number (got 'x')"]),
        ({"open": {"size": "x"}}, ["open.size: must be a whole number (got 'x')"]),
        ({"closed": {"name": "c"}}, ["closed.name: unknown name 'c' (known: a, b)"]),
        ({"closed": {"rate": 1}}, ["closed.name: is required; add 'name: ...'"]),
        ({"closed": {"name": "b", "x": 1}}, [f"closed.x: unknown key 'x' {KNOWN}"]),
        ({"scalar": 1.5}, ["scalar: must be a whole number or text (got 1.5)"]),
        ({"many": [None, {"rate": None}]}, ["many.1.rate: must be a number (got null)"]),
        ({"many": 1}, ["many: must be a list (got 1); write it as [a, b]"]),
        ({"either": 1}, ["either: must be a list or a mapping (got 1)"]),
        ({"either": {"int": "x"}}, ["either.int: must be a whole number (got 'x')"]),
        ({"box": {}}, ["box.content: is required; add 'content: ...'"]),
        ({"box": {"content": {"sise": 1}}}, [f"box.content.sise: {SISE}"]),
        ({"alias": {"name": "b", "sise": 1}}, [f"alias.sise: {SISE}"]),
        ({"sized": []}, ["sized: must have at least 1 item (got 0)"]),
        ({"sized": [1, 2, 3]}, ["sized: must have at most 2 items (got 3)"]),
        ({"one": [1, 2]}, ["one: must have at most 1 item (got 2)"]),
        ({"step": 3}, ["step: must be a multiple of 4 (got 3)"]),
        ({"exact": 0.5}, ["exact: must be > 0.5 (got 0.5)"]),
        ({"exact": 3}, ["exact: must be < 2.5 (got 3)"]),
        ({"word": "b"}, ["word: must be text like the pattern '^a+$' (got 'b')"]),
        ({"bag": {1: 2}}, ["bag: must be a list (got a mapping); write it as [a, b]"]),
        ({"bag": ["x" * 80]}, [f"bag.0: must be a whole number (got '{'x' * 56}...)"]),
        ({"whole": [1]}, ["whole: must have 2 items (got 1)"]),
        ({"switch": "yes"}, ["switch: must be true or false or a whole number (got 'yes')"]),
        ({"Aliased": "1"}, ["Aliased: must be a whole number (got '1'); write it without quotes"]),
        ({"until": 5}, [UNTIL]),
        ({"open": A.model_construct(rate="x"), "step": {1, 2}}, [NOT_A_SET]),
    ],
)  # fmt: skip
def test_the_tags_of_unions_are_not_in_messages(data: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Unions.from_mapping(data)
    assert str(caught.value).splitlines() == says


def test_a_long_list_of_problems_is_cut() -> None:
    data = {f"k{at}": 1 for at in range(30)}
    with pytest.raises(ConfigError) as caught:
        A.from_mapping(data)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 10 more"


def test_what_a_validator_raises_otherwise_is_a_config_error_too() -> None:
    class Odd(Config):
        def model_post_init(self, context: Any) -> None:
            raise KeyError("x")

    with pytest.raises(ConfigError, match="KeyError while checking it as Odd: 'x'") as caught:
        Odd.from_mapping({})
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_mapping_is_wanted() -> None:
    with pytest.raises(ConfigError, match=r"^must be a mapping \(got 3\)"):
        A.from_mapping(3)


def test_plugins_are_forbidden_through_the_context() -> None:
    seen: list[Any] = []

    class Asks(Config):
        def model_post_init(self, context: Any) -> None:
            seen.append(context)

    Asks.from_mapping({}, plugins=False)
    Asks.from_yaml("")
    assert seen == [{"plugins": False}, None]


class StandIn(dict[str, Any]):
    kind = "thing"

    def find(self, name: str, *, plugins: bool) -> Any:
        assert not plugins
        return self.get(name)


def test_a_registry_is_known_by_its_looks() -> None:
    registry = StandIn(a=A)
    assert models_of(hints_of(Annotated[Config, registry]), {"name": "a"}) == [A]
    assert models_of(hints_of(Annotated[Config, registry]), {"name": "z"}) == []
    assert models_of(hints_of(Annotated[Config, registry]), {}) == []
    assert models_of((), AdamW()) == [AdamW]
    assert hints_of(T) == (B,)


def test_parts_of_a_config_object_are_its_fields() -> None:
    assert part_of(B(size=3), "size") == 3
    assert part_of(B(), 0) is None
    assert part_of([1], 5) is None


def test_an_error_of_pydantic_without_words_of_ours_keeps_its_own() -> None:
    class Raw(Config):
        content: bytes = b""
        table: dict[str, int] = {}

    with pytest.raises(ConfigError) as caught:
        Raw.from_mapping({"content": 3, "table": {1: 2}})
    assert str(caught.value).splitlines() == [
        "content: must be a valid bytes (got 3)",
        "table.1: a key must be text (got 1); put it in quotes",
    ]


def test_only_the_name_of_a_component_is_told_where_components_belong() -> None:
    with pytest.raises(ConfigError, match=r"put the fields of 'sgd' under 'optimizer'$"):
        Run.from_yaml("name: sgd")
    for name in ("mine", "5", "null"):
        with pytest.raises(ConfigError, match="unknown key 'name'") as caught:
            Run.from_yaml(f"name: {name}")
        assert "fields of" not in str(caught.value)
