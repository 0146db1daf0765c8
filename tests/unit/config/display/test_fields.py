"""A repr has what is required and what differs from the defaults, whatever the values are."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from pydantic import ConfigDict, Field
from rich.pretty import pretty_repr

from nshtrainer import Config
from nshtrainer.configs import ParameterGroupConfig, SGDConfig


class Odd:
    """A value that cannot be compared, like an array."""

    def __eq__(self, other: object) -> Any:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Odd()"


def fail() -> int:
    raise RuntimeError("no default")


class Values(Config):
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="allow")

    required: int
    same: float = 0
    flag: Any = 0
    odd: Any = Odd()
    made: list[int] = Field(default_factory=lambda: [1])
    computed: int = Field(default_factory=lambda data: data["required"] + 1)
    now: datetime = Field(default_factory=lambda: datetime.now(timezone.utc))
    hidden: str = Field("", repr=False)


def shown(**values: Any) -> str:
    time = datetime(2020, 1, 1, tzinfo=timezone.utc)
    return repr(Values.model_validate({"required": 1, "now": time, **values})).replace(
        f", now={time!r}", ""
    )


def test_a_value_equal_to_the_default_is_left_out() -> None:
    assert shown(same=0.0, made=[1], odd=0) == "Values(required=1, odd=0, computed=2)"


def test_a_flag_is_not_the_number_that_it_equals() -> None:
    assert shown(flag=False, odd=0) == "Values(required=1, flag=False, odd=0, computed=2)"


def test_a_value_that_cannot_be_compared_is_shown() -> None:
    assert shown() == "Values(required=1, odd=Odd(), computed=2)"


def test_a_field_with_a_default_that_fails_is_shown() -> None:
    class Failing(Config):
        number: int = Field(default_factory=fail)

    assert repr(Failing(number=1)) == "Failing(number=1)"


def test_hidden_fields_are_left_out_and_further_keys_shown() -> None:
    text = shown(hidden="secret", odd=0, more="x")
    assert text == "Values(required=1, odd=0, computed=2, more='x')"


def test_str_is_the_repr() -> None:
    config = Values(required=1, odd=0)
    assert str(config) == repr(config)


def test_rich_prints_a_config_as_python_that_makes_it() -> None:
    config = SGDConfig(lr=0.1, groups=({"name": "head", "select": "head"},))  # type: ignore[arg-type]
    text = pretty_repr(config, max_width=40)
    assert len(text.splitlines()) > 3
    assert eval(text, {each.__name__: each for each in (SGDConfig, ParameterGroupConfig)}) == config


def test_a_table_shows_a_number_of_thousands_of_digits_by_its_size() -> None:
    class Huge(Config):
        number: int

    assert "a number of thousands of digits" in Huge(number=10**5000)._repr_html_()
