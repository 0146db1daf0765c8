"""Walks over configs and plain data."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ConfigDict

from nshtrainer import Config
from nshtrainer.config.field_types import hints_of_constructor
from nshtrainer.config.overrides import with_default_prefix
from nshtrainer.config.parts import find_configs, find_fields, leaves_of, nested_parts, parts_of
from nshtrainer.exceptions import ConfigError


class Leaf(Config):
    number: int = 1


class Branch(Config):
    model_config = ConfigDict(extra="allow")

    one: Leaf = Leaf()
    more: tuple[Leaf, ...] = ()
    number: int = 2


def test_parts_are_keys_and_values() -> None:
    assert parts_of({"a": 1}) == [("a", 1)]
    assert parts_of(["a"]) == [(0, "a")]
    assert parts_of("text") == parts_of({1}) == []
    assert parts_of(Branch(extra=3)) == [("one", Leaf()), ("more", ()), ("number", 2), ("extra", 3)]


def test_a_list_of_scalars_is_one_value() -> None:
    assert nested_parts({"a": 1}) == {"a": 1}
    assert nested_parts([{"a": 1}]) == {0: {"a": 1}}
    assert nested_parts([0.9, 0.99]) is None


def test_configs_are_found_with_their_paths() -> None:
    tree = {"x": Branch(more=(Leaf(number=3),)), "y": [1, Leaf()]}
    found = {path: leaf.number for path, leaf in find_configs(tree, Leaf)}
    assert found == {("x", "one"): 1, ("x", "more", 0): 3, ("y", 1): 1}
    assert [path for path, _ in find_configs(tree, Leaf, closed=(Branch,))] == [("y", 1)]
    assert find_fields(Branch(), Leaf) == {"one": Leaf()}


def test_hints_that_cannot_be_resolved_are_left_out() -> None:
    class Known:
        def __init__(self, lr: float) -> None: ...

    class Unresolved:
        def __init__(self, lr: Missing, width: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert hints_of_constructor(Known) == {"lr": float, "return": type(None)}
    assert hints_of_constructor(Unresolved) == {"width": int, "return": type(None)}


@pytest.mark.parametrize(
    ("text", "inside", "whole"),
    [
        ("lr=1", ["lr"], "model.lr=1"),
        ("lr=1", None, "model.lr=1"),
        ("trainer.max_epochs=1", ["lr"], "trainer.max_epochs=1"),
        ("lr", ["lr"], "lr"),
    ],
)
def test_a_path_may_leave_out_its_prefix(text: str, inside: Any, whole: str) -> None:
    assert with_default_prefix(text, ["model", "trainer"], inside) == whole


def test_an_unknown_first_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown key 'lrr'"):
        with_default_prefix("lrr=1", ["model"], ["lr"])


def test_leaves_are_values_and_lists_of_values() -> None:
    data = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": None}], "f": {}}
    assert dict(leaves_of(data)) == {
        ("a", "b"): 1,
        ("a", "c"): [1, 2],
        ("d", 0, "e"): None,
        ("f",): {},
    }


def test_a_key_of_another_section_is_refused_with_its_path() -> None:
    others = {"trainer": ["max_steps"]}
    with pytest.raises(ConfigError, match=r"unknown key 'max_steps'; write trainer.max_steps=1$"):
        with_default_prefix("max_steps=1", ["model"], ["lr"], others=others)
    assert with_default_prefix("max_steps=1", ["model"], None, others=others)[:6] == "model."
