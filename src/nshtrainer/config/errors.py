"""Short messages from a pydantic `ValidationError`: place, key, problem and remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, TypeAlias, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from nshtrainer.config.document import Document, Keys
from nshtrainer.config.field_types import (
    Hints,
    Sections,
    field_of,
    hints_at,
    hints_below,
    models_of,
    part_at,
    part_of,
)
from nshtrainer.config.messages import (
    describe_unknown,
    dotted,
    format_value,
    lower_first,
    truncate,
)
from nshtrainer.escaping import printable
from nshtrainer.short_traceback import short_traceback

__all__ = ["Problem", "describe", "explained", "paths_of", "problems_of"]


_MOST = 20
"""The most problems that one message lists."""

_MOST_READ = 200
"""The most pydantic errors that are examined; several of them may be one problem."""


_Text: TypeAlias = tuple[str, str, str]
"""The problem, the value that was found, and the remedy."""


@dataclass(frozen=True)
class Problem:
    """One problem in the data of a config.

    Args:
        path: The path of the value in the data.
        text: The problem.
        got: The value in the data, formatted; empty if it would not help.
        advice: The remedy, if the text does not include it.
        kinds: pydantic's names of the error, one for each member of a union.
        tagged: pydantic's location went through a member of a union.
        value: The value in the data, or its mapping where it is missing.
    """

    path: Keys
    text: str
    got: str = ""
    advice: str = ""
    kinds: frozenset[str] = frozenset()
    tagged: bool = False
    value: Any = None

    def __str__(self) -> str:
        got = f" (got {self.got})" if self.got else ""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.text}{got}{advice}"


def describe(error: ValidationError, model: type[BaseModel], document: Document) -> str:
    """Return one line for each problem: `place: path.to.key: problem; remedy`.

    Args:
        error: What validating the document's data as `model` raised.
        model: The class at the root.
        document: The data and its source positions.
    """
    problems = problems_of(error, model, document.data)
    lines = [line(problem, document) for problem in problems[:_MOST]]
    more = len(problems) - len(lines) + max(error.error_count() - _MOST_READ, 0)
    return "\n".join([*lines, f"... and {more} more"] if more else lines)


def explained(error: ValidationError, model: type[BaseModel], data: Any) -> ValidationError:
    """Return the error of a constructor with the messages that a file gets, and no other parts.

    Paths have no tags of unions, pydantic's types of errors are kept, and values are not dumped.

    Args:
        error: What validating the data as `model` raised.
        model: The class at the root.
        data: The data.
    """
    details = [_details(problem) for problem in problems_of(error, model, data)]
    made: Any = ValidationError.from_exception_data(error.title, details, hide_input=True)
    made._render_traceback_ = short_traceback  # which IPython calls
    return made


def _details(problem: Problem) -> InitErrorDetails:
    parts = {name: printable(getattr(problem, name)) for name in _PARTS}
    template: Any = str(replace(problem, **{name: parts[name] and f"{{{name}}}" for name in parts}))
    kind: Any = min(problem.kinds)
    error = PydanticCustomError(kind, template, parts)
    return InitErrorDetails(type=error, loc=problem.path, input=problem.value)


_PARTS = ("text", "got", "advice")
"""The parts of a message, which its error keeps for the messages of a class around it."""


def line(problem: Problem, document: Document) -> str:
    """Return a problem with its place in front."""
    place = document.place(problem.path, of_key="extra_forbidden" in problem.kinds)
    parts = (place, dotted(problem.path), str(problem))
    return printable(": ".join(part for part in parts if part))


def problems_of(error: ValidationError, model: type[BaseModel], data: Any) -> list[Problem]:
    """List the problems in an error, with the errors of the members of one union merged."""
    items = cast("Any", error.errors(include_url=False))[:_MOST_READ]
    meant = [item for item in items if not _is_other_member(item["loc"], model, data)]
    sections = Sections(model, data)
    found = [_problem(item, model, data, sections) for item in meant or items]
    deepest = [problem for problem in found if not _has_deeper(problem, found)]
    merged: dict[Keys, Problem] = {}
    for problem in deepest:
        merged[problem.path] = _merge(merged.get(problem.path), problem)
    return [problem for problem in merged.values() if not _is_after_name(problem, merged)]


def paths_of(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    is_meant: Callable[[dict[str, Any]], bool],
) -> list[Keys]:
    """List the paths of the pydantic errors that satisfy a condition."""
    items = cast("Any", error.errors(include_url=False))
    return [
        _real_path(item["loc"], item["type"], model, data)
        for item in items
        if is_meant(item) and not _is_other_member(item["loc"], model, data)
    ]


def _is_other_member(location: Keys, model: type[BaseModel], data: Any) -> bool:
    """Return True if the data's name or shape rules out the union member that pydantic tried."""
    hints: Hints = (model,)
    for key in location:
        if _is_real(hints, data, key):
            hints, data = hints_below(hints, data, key), part_of(data, key)
            continue
        tried = [hint for hint in hints if isinstance(hint, type) and hint.__name__ == key]
        if tried and not any(_may_be_meant(hint, hints, data) for hint in tried):
            return True
    return False


def _may_be_meant(hint: type, hints: Hints, data: Any) -> bool:
    """Return True if the data may be meant as this member of a union."""
    if issubclass(hint, BaseModel):
        return hint in models_of(hints, data)
    return isinstance(data, hint) or not isinstance(data, (Mapping, list, tuple, set, frozenset))


def _is_after_name(problem: Problem, others: Mapping[Keys, Problem]) -> bool:
    """Return True if the name beside the value is wrong, so that the value's own error is moot."""
    names = (others.get((*problem.path[:size], "name")) for size in range(len(problem.path)))
    wrong = (name for name in names if name and name.tagged and "literal_error" in name.kinds)
    return any(name is not problem for name in wrong)


def _has_deeper(problem: Problem, others: list[Problem]) -> bool:
    """Return True if another member of the union matched more, or an item of a list is wrong."""
    size = len(problem.path)
    is_moot = problem.tagged or "too_short" in problem.kinds  # wrong items are not counted
    return is_moot and any(
        len(other.path) > size and other.path[:size] == problem.path for other in others
    )


def _merge(first: Problem | None, second: Problem) -> Problem:
    if first is None or first.text == second.text:
        return second if first is None else first
    unknown_keys = [one for one in (first, second) if "extra_forbidden" in one.kinds]
    if len(unknown_keys) == 1:  # another member of the union has this key
        return second if unknown_keys[0] is first else first
    if first.text.startswith("must be ") and not second.text.startswith("must be "):
        first, second = second, first  # a sentence with its remedy, then a further possibility
    comma = "" if first.text.startswith("must be ") else ","
    joined = f"{comma} or {second.text.removeprefix('must be ')}"
    kinds = first.kinds | second.kinds
    return replace(first, text=first.text + joined, advice="", kinds=kinds)


def _problem(
    item: dict[str, Any], model: type[BaseModel], data: Any, sections: Sections
) -> Problem:
    location, kind, value = item["loc"], item["type"], item["input"]
    path = _real_path(location, kind, model, data)
    holder = path[:-1] if kind == "unknown_name" and path[-1:] == ("name",) else path
    if _is_nothing(value) and NoneType in hints_at(model, holder, data):
        path = holder
        text, got, advice = f"{value!r} is text", "", "write null (in Python None)"
    elif kind == "missing" and path and isinstance(path[-1], int):
        path = path[:-1]
        sizes = [len(get_args(h)) for h in hints_at(model, path, data) if get_origin(h) is tuple]
        text, got, advice = f"must have {sizes[0] if sizes else 'more'} items", str(len(value)), ""
    else:
        text, got, advice = _said(item, path, model, data, sections)
    if location[-1:] == ("[key]",):
        text = f"a key {text}"
    tagged = len(location) > len(path)
    return Problem(path, text, got, advice, frozenset({kind}), tagged=tagged, value=value)


def _said(
    item: dict[str, Any], path: Keys, model: type[BaseModel], data: Any, sections: Sections
) -> _Text:
    """Return the message for pydantic's type of error."""
    kind = item["type"]
    context: dict[str, Any] = {"path": path, "input": item["input"], "msg": item["msg"]}
    context.update(item.get("ctx", {}))
    is_unknown = kind == "extra_forbidden"
    of_component = sections.home_of_component(path) if is_unknown else None
    if of_component:
        advice = f"put the fields of {item['input']!r} under {dotted(of_component)!r}"
        return "unknown key 'name'", "", advice
    homes = sections.homes(path) if is_unknown else []
    if homes:
        under = " or ".join(repr(dotted(home)) for home in homes[:3])
        where = f"under {under}" if homes[0] else "at the top of the file"
        return f"unknown key {truncate(str(path[-1]))!r}", "", f"put it {where}"
    if context.keys() >= {*_PARTS}:  # of a class within, which has found its words
        text, got, advice = (context[name] for name in _PARTS)
        return text, got, advice
    if kind == "extra_forbidden":
        return _unknown_key(path, model, data), "", ""
    return _TEXTS.get(kind, _other)(context)


def _real_path(location: Keys, kind: str, model: type[BaseModel], data: Any) -> Keys:
    """Return the location without the tags of unions and functions that pydantic inserts."""
    path: list[Any] = []
    hints: Hints = (model,)
    for at, key in enumerate(location):
        last = at == len(location) - 1
        if _is_real(hints, data, key) or (last and kind == "missing"):
            hints, data = hints_below(hints, data, key), part_of(data, key)
            path.append(key)
    return (*path, "name") if kind in _ABOUT_NAMES else tuple(path)


def _is_real(hints: Hints, data: Any, key: Any) -> bool:
    """Return True if a part of a location is a key of the data or a field, and not a tag."""
    if any(field_of(model, key) for model in models_of(hints, data)):
        return True
    if isinstance(data, Mapping):
        return key in cast("Mapping[Any, Any]", data)
    return isinstance(data, (list, tuple, set, frozenset)) and isinstance(key, int)


def _unknown_key(path: Keys, model: type[BaseModel], data: Any) -> str:
    models = models_of(hints_at(model, path[:-1], data), part_at(data, path[:-1]))
    known = list(dict.fromkeys(field for each in models for field in each.model_fields))
    return describe_unknown("key", path[-1], known)


def _is_nothing(value: Any) -> bool:
    """Return True for a word that is not YAML's for no value, but is meant as it."""
    return isinstance(value, str) and value.lower() in ("none", "null", "nil")


def _must(what: str, advice: str = "") -> Callable[[dict[str, Any]], _Text]:
    """Return a formatter that needs only the value, and the context's values by `{name}`."""

    def text(context: dict[str, Any]) -> _Text:
        # A bound without a needless `.0`.
        values = {
            key: int(value) if isinstance(value, float) and value.is_integer() else value
            for key, value in context.items()
        }
        return f"must be {what.format(**values)}", format_value(context["input"]), advice

    return text


def _number(what: str) -> Callable[[dict[str, Any]], _Text]:
    def text(context: dict[str, Any]) -> _Text:
        quoted = isinstance(context["input"], str) and _is_number(context["input"])
        advice = "write it without quotes" if quoted else ""
        return f"must be {what}", format_value(context["input"]), advice

    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _length(context: dict[str, Any]) -> _Text:
    least, most = context.get("min_length"), context.get("max_length")
    if context.get("field_type") == "Tuple":
        bound = str(most if least is None else least)
    else:
        bound = f"at most {most}" if least is None else f"at least {least}"
    plural = "" if bound.endswith(" 1") or bound == "1" else "s"
    return f"must have {bound} item{plural}", str(context["actual_length"]), ""


def _key(context: dict[str, Any]) -> _Text:
    return "a key must be text", format_value(context["input"]), "put it in quotes"


def _text(context: dict[str, Any]) -> _Text:
    scalar = isinstance(context["input"], (int, float))
    return "must be text", format_value(context["input"]), "put it in quotes" if scalar else ""


def _raised(context: dict[str, Any]) -> _Text:
    return str(context["error"]) or "is not valid", "", ""


def _missing(context: dict[str, Any]) -> _Text:
    return "is required", "", f"add '{context['path'][-1]}: ...'"


def _frozen(context: dict[str, Any]) -> _Text:
    return "is frozen", "", f"make a changed copy with replace({dotted(context['path'])}=...)"


def _unknown_name(context: dict[str, Any]) -> _Text:
    tags = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
    return describe_unknown("name", context["tag"], tags), "", ""


def _other(context: dict[str, Any]) -> _Text:
    text = context["msg"]
    if text.startswith("Input should "):
        text = text.replace("Input should be ", "must be ").replace("Input should ", "must ")
        return text, format_value(context["input"]), ""
    return lower_first(text), "", ""


_A_NUMBER, _AN_INTEGER = _number("a number"), _number("a whole number")
_TRUE_OR_FALSE, _MAPPING = _must("true or false"), _must("a mapping", "write 'key: value' lines")
_A_LIST = _must("a list", "write it as [a, b]")
_TEXTS: dict[str, Callable[[dict[str, Any]], _Text]] = {
    "missing": _missing,
    "float_type": _A_NUMBER,
    "float_parsing": _A_NUMBER,
    "int_type": _AN_INTEGER,
    "int_parsing": _AN_INTEGER,
    "int_from_float": _AN_INTEGER,
    "int_parsing_size": _must("a whole number of at most 64 bits"),
    "bool_type": _TRUE_OR_FALSE,
    "bool_parsing": _TRUE_OR_FALSE,
    "string_type": _text,
    "invalid_key": _key,
    "list_type": _A_LIST,
    "tuple_type": _A_LIST,
    "set_type": _A_LIST,
    "frozen_set_type": _A_LIST,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "greater_than": _must("> {gt}"),
    "greater_than_equal": _must(">= {ge}"),
    "less_than": _must("< {lt}"),
    "less_than_equal": _must("<= {le}"),
    "multiple_of": _must("a multiple of {multiple_of}"),
    "string_pattern_mismatch": _must("text like the pattern {pattern!r}"),
    "finite_number": _must("a finite number"),
    "literal_error": _must("{expected}"),
    "enum": _must("{expected}"),
    "none_required": _must("null"),
    "too_short": _length,
    "too_long": _length,
    "value_error": _raised,
    "assertion_error": _raised,
    "union_tag_invalid": _unknown_name,
    "union_tag_not_found": _missing,
    "frozen_instance": _frozen,
}
_ABOUT_NAMES = ("union_tag_invalid", "union_tag_not_found")
