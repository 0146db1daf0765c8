"""Overrides: single values that win over a file, switches of components, their places."""

# ruff: noqa: RUF012, a default of a field is no class attribute
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from tests.unit.config.table_config import SGD, AdamW, Run

from nshtrainer.config import Config
from nshtrainer.configs import AdamWConfig, OptimizerConfig, SGDConfig
from nshtrainer.duration import DurationConfig, EpochsConfig, StepsConfig
from nshtrainer.exceptions import ConfigError


def run(*overrides: str, text: str = "") -> Run:
    return Run.from_yaml(text, overrides=overrides)


def test_a_missing_parent_starts_from_the_default_of_the_class() -> None:
    assert run("optimizer.lr=3e-4").optimizer == AdamW(lr=3e-4, amsgrad=True)


def test_a_parent_in_the_file_starts_from_the_file() -> None:
    file = "optimizer: {name: sgd, momentum: 0.5}"
    assert run("optimizer.lr=3", text=file).optimizer == SGD(lr=3, momentum=0.5)
    assert run("optimizer.lr=3", text="optimizer: sgd").optimizer == SGD(lr=3)


@pytest.mark.parametrize("switch", ["optimizer=sgd", "optimizer.name=sgd"])
@pytest.mark.parametrize("text", ["", "optimizer: adamw", "optimizer: {name: adamw, lr: 5}"])
def test_a_switch_drops_the_keys_of_the_other(switch: str, text: str) -> None:
    assert run(switch, text=text).optimizer == SGD()


@pytest.mark.parametrize("switch", ["optimizer=sgd", "optimizer.name=sgd"])
def test_a_switch_keeps_what_the_same_list_gives_in_any_order(switch: str) -> None:
    assert run(switch, "optimizer.lr=3").optimizer == SGD(lr=3)
    assert run("optimizer.lr=3", switch, "steps=4").optimizer == SGD(lr=3)
    assert run("optimizer.momentum=1", switch, "optimizer.lr=2").optimizer == SGD(lr=2, momentum=1)


@pytest.mark.parametrize("switch", ["optimizer=sgd", "optimizer.name=sgd"])
def test_the_same_name_is_no_switch(switch: str) -> None:
    assert run(switch, text="optimizer: {name: sgd, lr: 5}").optimizer == SGD(lr=5)
    assert run(switch, text="optimizer: sgd").optimizer == SGD()
    assert run("optimizer=adamw").optimizer == AdamW(lr=5e-4, amsgrad=True)


def test_the_last_of_two_switches_wins() -> None:
    assert run("optimizer.name=adamw", "optimizer=sgd").optimizer == SGD()
    assert run("optimizer=sgd", "optimizer.lr=3", "optimizer.name=adamw").optimizer == AdamW(lr=3)


def test_a_mapping_replaces_the_whole() -> None:
    whole = "optimizer={name: sgd, lr: 0.1}"
    assert run("optimizer.lr=7", whole).optimizer == SGD(lr=0.1)
    assert run(whole, "optimizer.lr=7").optimizer == SGD(lr=7)


def test_a_component_without_a_default_can_be_given() -> None:
    assert run("other=sgd", "other.lr=2").other == SGD(lr=2)
    assert run("other.name=sgd", text="other: null").other == SGD()


def test_a_closed_union_is_switched_too() -> None:
    file = "warmup: {name: steps, value: 5}"
    assert run("warmup.name=epochs", "warmup.value=2.5", text=file).warmup == EpochsConfig(
        value=2.5
    )
    assert run("warmup=7 steps", text=file).warmup == StepsConfig(value=7)


def test_items_of_a_list_are_reached_by_their_index() -> None:
    made = run("stages.1.lr=3", text="stages: [{lr: 1}, {lr: 2}]")
    assert [stage.lr for stage in made.stages] == [1, 3]
    assert made.override("stages.0.betas.1=0.5").stages[0].betas == (0.9, 0.5)


def test_text_is_what_a_text_field_gets() -> None:
    for raw in ("3", "true", "null", "1e-3", "[1", "", "a: b: c", "!!str x", "{a: 1}"):
        assert run(f"note={raw}").note == raw


def test_override_gives_a_changed_copy() -> None:
    base = Run()
    assert base.override("optimizer=sgd", "steps=3") == Run(optimizer=SGD(), steps=3)
    with pytest.raises(
        ConfigError, match=r"^stps=3: stps: unknown key 'stps'; did you mean 'steps'"
    ):
        base.override("stps=3")


class Keyed(Config):
    table: dict[str, dict[str, int]] = {}
    numbers: dict[int, str] = {}
    path: Path = Path()
    deep: dict[str, Run] = {}
    free: Any = None
    linked: dict[str, int] = Field(default_factory=lambda data: {"a": len(data)})


def test_mappings_are_reached_by_their_keys() -> None:
    made = Keyed.from_yaml("numbers: {1: one}", overrides=["numbers.1=uno", "table.a.b=3"])
    assert (made.numbers, made.table) == ({1: "uno"}, {"a": {"b": 3}})
    assert Keyed.from_mapping({}, overrides=["path=12"]).path == Path("12")
    deep = Keyed.from_mapping({"deep": {}}, overrides=["deep.x.optimizer.lr=2"]).deep["x"]
    assert deep.optimizer == AdamW(lr=2, amsgrad=True)
    assert Keyed.from_mapping({}, overrides=["free.x.y=1"]).free == {"x": {"y": 1}}
    assert Keyed.from_mapping({}, overrides=["linked.b=1"]).linked == {"b": 1}


def test_objects_in_a_mapping_are_reached_too() -> None:
    data = {"optimizer": SGD(lr=1), "stages": (AdamW(),)}
    made = Run.from_mapping(data, overrides=["optimizer.momentum=0.5", "stages.0.lr=9"])
    assert made.optimizer == SGD(lr=1, momentum=0.5)
    assert made.stages[0].lr == 9
    assert data["optimizer"] == SGD(lr=1)


def test_one_override_may_be_given_as_a_string() -> None:
    assert Run.from_mapping({}, overrides="steps=3").steps == 3


@pytest.mark.parametrize("wrong", [["steps=3"], {"steps": 3}, 3])
def test_an_override_that_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"is not an override; write 'path\.to\.key=value'"):
        Run().override(wrong)


def test_a_place_is_that_of_the_file_where_no_override_went() -> None:
    with pytest.raises(ConfigError) as caught:
        run("optimizer.lr=x", text="steps: -1\noptimizer: {name: sgd, momentum: y}")
    assert str(caught.value).splitlines() == [
        "optimizer.lr=x: optimizer.lr: must be a number (got 'x')",
        "<yaml>:2:34: optimizer.momentum: must be a number (got 'y')",
        "<yaml>:1:8: steps: must be >= 0 (got -1)",
    ]


def test_the_type_of_a_duration_is_known_for_overrides() -> None:
    class Warm(Config):
        warmup: DurationConfig = StepsConfig(value=3)

    assert Warm.from_mapping({}, overrides=["warmup.value=4"]).warmup == StepsConfig(value=4)


def test_a_component_deep_inside_is_switched() -> None:
    made = Keyed.from_mapping({"deep": {"x": {}}}, overrides=["deep.x.optimizer=sgd"])
    assert made.deep["x"].optimizer == SGD()


def test_a_word_of_a_union_is_that_word_and_no_component() -> None:
    class Choice(Config):
        optimizer: OptimizerConfig | Literal["none"] = AdamWConfig()

    assert Choice.from_yaml("", overrides=["optimizer=none"]).optimizer == "none"
    assert Choice.from_yaml("optimizer: none", overrides=["optimizer=sgd"]).optimizer == SGDConfig()


@pytest.mark.parametrize(
    "same", ["stages.0.name=adamw", "stages.0=adamw", "deep.x.optimizer=sgd", "deep.x.other=sgd"]
)
def test_naming_the_component_that_is_there_keeps_its_fields(same: str) -> None:
    class Nested(Config):
        stages: tuple[AdamW | SGD, ...] = ()
        deep: dict[str, Run] = {}

    data = {
        "stages": [{"name": "adamw", "lr": 5}],
        "deep": {"x": {"optimizer": {"name": "sgd", "lr": 5}, "other": {"name": "sgd", "lr": 5}}},
    }
    plain = Nested.from_mapping(data)
    assert plain.override(same) == plain


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (" ", " "),
        ("\t\n", "\t\n"),
        ("a #b", "a #b"),
        ("#b", "#b"),
        (" a ", " a "),
        ("a\nb\n", "a\nb\n"),
        ("'a ' #b", "a "),
        ('"a\\nb"', "a\nb"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_text_without_quotes_is_taken_as_it_was_typed(raw: str, value: str) -> None:
    assert run(f"note={raw}").note == value
    assert Keyed.from_mapping({}, overrides=[f"free={raw}"]).free == value
    assert Keyed.from_mapping({}, overrides=[f"numbers.1={raw}"]).numbers == {1: value}


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_quoted_text_comes_through_whatever_is_in_it(text: str) -> None:
    assert run(f"note={json.dumps(text)}").note == text


def test_blanks_around_the_name_of_a_component_mean_nothing() -> None:
    assert run("optimizer = sgd ").optimizer == SGD()


def test_no_number_of_overrides_is_too_large_for_text_fields() -> None:
    made = Keyed.from_mapping({}, overrides=[f"numbers.{key}={key}" for key in range(300)])
    assert made.numbers == {key: str(key) for key in range(300)}


def test_a_path_deeper_than_any_config_is_refused() -> None:
    with pytest.raises(ConfigError, match="has a path of more than 100 keys; shorten it"):
        run("free." + ".".join("x" * 5000) + "=1")


def calls_for(overrides: list[str]) -> int:
    """Return the number of calls and returns that applying the overrides takes."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        Keyed.from_mapping({"deep": {}, "table": {}}, overrides=overrides)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    "form", ["table.k{}.x=1", "deep.k{}.optimizer=sgd", "table={{a{}: {{b: 1}}}}", "numbers.{}=3"]
)
def test_the_cost_of_overrides_grows_with_their_number(form: str) -> None:
    few, many = ([form.format(index) for index in range(size)] for size in (100, 400))
    calls_for(few)
    assert calls_for(many) < 4.4 * calls_for(few)
