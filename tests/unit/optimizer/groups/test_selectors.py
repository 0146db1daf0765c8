"""Selectors: what they match, how they are written, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.models import Transformer

from nshtrainer import Config
from nshtrainer.configs import ParameterGroupConfig, Selection, SelectorConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.optimizer.groups.assign import assign
from nshtrainer.optimizer.groups.parameters import inventory
from nshtrainer.optimizer.groups.selectors import described, needs_modules, selects


class Selecting(Config):
    select: Selection


def selection(text: str) -> Any:
    return Selecting.from_yaml(f"select: {text}").select


def names(text: str, model: Any = None) -> list[str]:
    parameters = inventory(model or Transformer(depth=2))
    return [p.name for p in parameters if selects(selection(text), p)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lm_head.bias", ["lm_head.bias"]),
        ("lm_head", ["lm_head.weight", "lm_head.bias"]),
        ("lm_*.bias", ["lm_head.bias"]),
        ("blocks.?.qkv.bias", ["blocks.0.qkv.bias", "blocks.1.qkv.bias"]),
        ("'blocks.[1-9].out'", ["blocks.1.out.weight", "blocks.1.out.bias"]),
        ("head", []),
        ("bias", []),
        ("norm", ["norm.weight", "norm.bias"]),
        (r"'re:blocks\.\d\.out\.bias'", ["blocks.0.out.bias", "blocks.1.out.bias"]),
        ("'re:lm_head'", []),
        ("{name: [pos_embed, scale]}", ["pos_embed", "scale"]),
        ("{module: Embedding}", ["embed.weight"]),
        ("{module: Transformer}", ["pos_embed", "scale"]),
        ("{ndim: 0}", ["scale"]),
        ("{ndim: [0, 3]}", ["pos_embed", "scale"]),
        ("{role: head}", ["lm_head.weight", "lm_head.bias"]),
        ("{role: [head, embedding], ndim: 2}", ["embed.weight", "lm_head.weight"]),
        ("{role: head, none_of: {role: bias}}", ["lm_head.weight"]),
        ("{role: head, none_of: ['*.bias', '*.weight']}", []),
        ("{any_of: [scale, {role: embedding}]}", ["pos_embed", "scale", "embed.weight"]),
        ("{all_of: [lm_head, {ndim: 1}]}", ["lm_head.bias"]),
        ("[scale, {name: lm_head, ndim: 1}]", ["scale", "lm_head.bias"]),
    ],
)
def test_a_selection_matches(text: str, expected: list[str]):
    assert names(text) == expected


def test_all_parameters_match_a_star():
    assert names("'*'") == [name for name, _ in Transformer(depth=2).named_parameters()]


def test_subclasses_count_by_the_name_of_their_base():
    assert names("{module: Module}") == names("'*'")


def test_a_tied_weight_matches_by_any_of_its_names():
    tied = Transformer(depth=1, tied=True)
    assert names("lm_head", tied) == names("embed", tied) == ["embed.weight"]
    assert names("{role: head}", tied) == ["embed.weight"]


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("'*.bias'", False),
        ("['*.bias', {ndim: 2}]", False),
        ("{role: norm}", True),
        ("{module: Linear}", True),
        ("{ndim: 1, none_of: [a, {any_of: {role: norm}}]}", True),
        ("[a, {all_of: [b, {module: Linear}]}]", True),
    ],
)
def test_it_is_known_whether_modules_are_needed(text: str, needed: bool):
    assert needs_modules(selection(text)) is needed


@pytest.mark.parametrize(
    "text", ["head.*", "[head, {role: norm}]", "{ndim: 2, none_of: {role: [head, embedding]}}"]
)
def test_it_is_written_as_compactly_as_it_was(text: str):
    config = Selecting(select=selection(text))
    assert Selecting.from_yaml(config.to_yaml()) == config
    assert "null" not in config.to_yaml()
    assert hash(config) == hash(Selecting.from_yaml(config.to_yaml()))
    assert described(config.select).replace("'", "") == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "selects nothing; give one of name, module, ndim, role, any_of"),
        ("''", "an empty pattern matches nothing; write '\\*'"),
        ("'re:('", "'re:\\(' is no regular expression: unclosed group"),
        ("{role: nrom}", "select.role: must be 'bias', 'norm', .* 'scalar' or a list"),
        ("{rol: norm}", "unknown key 'rol'; did you mean 'role'"),
        ("{module: torch.nn.Linear}", "select.module: must be text like the pattern"),
        ("{ndim: -1}", "select.ndim: must be >= 0"),
        ("[]", "must have 1 item"),
        ("3", "select: must be text or a mapping or a list"),
    ],
)
def test_what_selects_nothing_is_refused_with_its_place(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        selection(text)


def test_in_python_a_selector_is_a_value_like_any_other():
    one = SelectorConfig(role=("bias", "norm"))
    assert one == SelectorConfig.model_validate({"role": ["bias", "norm"]})
    with pytest.raises(ValidationError, match="frozen"):
        one.role = "bias"  # type: ignore[misc]


PARAMETERS = list(inventory(Transformer(depth=2)))
PATTERNS = st.sampled_from(
    [
        *(parameter.name for parameter in PARAMETERS),
        *("blocks", "blocks.1", "blocks.1.qkv", "blocks.*", "*.bias", "lm_*", "head"),
        *(r"re:.*\.weight", "blocks.[1-9].out", "embed.weigh?"),
    ]
)
SELECTIONS = PATTERNS | st.lists(PATTERNS, min_size=1, max_size=3) | st.just({"role": "norm"})


@given(st.lists(SELECTIONS, max_size=12))
def test_the_first_rule_is_found_as_if_all_were_tried_in_turn(selections: list[Any]):
    rules = [
        ParameterGroupConfig.model_validate({"name": f"rule{place}", "select": select})
        for place, select in enumerate(selections)
    ]
    assignment = assign(rules, PARAMETERS)
    for parameter in PARAMETERS:
        tried = (rule for rule in rules if selects(rule.select, parameter))
        assert assignment.taken.get(parameter) is next(tried, None)
        assert (parameter in assignment.unmatched) is (parameter not in assignment.taken)
    served = {rule.name for rule in assignment.taken.values()}
    assert assignment.reasons.keys() == {rule.name for rule in rules} - served
