"""Write what a JSON Schema repeats once, as a definition."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import count

from nshtrainer.config.schema.walk import DEFS, Schema, dumps, map_parts

__all__ = ["share_parts", "share_properties"]

_TEXTS = {"default", "description", "examples", "title"}
_CONDITIONS = {"else", "if", "then"}
_REFERENCE = len('{"$ref":"#/$defs/weight_decay"}')
_FEWEST = 3
"""The fewest properties that are shared together, and the fewest classes that share them."""


def share_properties(schema: Schema) -> Schema:
    """Return an equal schema; properties that the same classes have are written once."""
    defs = {name: {**part} for name, part in schema.get("$defs", {}).items()}
    bundles = [each for each in _bundles(defs).items() if min(map(len, each)) >= _FEWEST]
    for number, (homes, keys) in enumerate(bundles, 1):
        name = f"shared{number}"
        first = defs[homes[0]]["properties"]
        for home in homes:
            part = defs[home]
            part["allOf"] = [*part.get("allOf", ()), {"$ref": DEFS + name}]
            # The classes refuse other properties, so that they have to list their own.
            part["properties"] = part["properties"] | dict.fromkeys(keys, True)
        defs[name] = {"properties": {key: first[key] for key in keys}}
    return {**schema, "$defs": defs} if defs else schema


def _bundles(defs: dict[str, Schema]) -> dict[tuple[str, ...], list[str]]:
    """Return the keys of equal properties, by the classes that have them."""
    homes: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, part in defs.items():
        for key, value in part.get("properties", {}).items():
            homes[key, dumps(value)].append(name)
    bundles: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for (key, _), names in homes.items():
        bundles[tuple(names)].append(key)
    return bundles


def share_parts(schema: Schema) -> Schema:
    """Return an equal schema; parts of definitions that are equal are written once.

    First whole parts, then what is left of them without their texts and defaults.
    """
    defs: dict[str, Schema] = schema.get("$defs", {})
    for cut in (_whole, _without_texts):
        defs = _with_parts(defs, cut)
    return {**schema, "$defs": defs} if defs else schema


def _whole(part: Schema) -> Schema:
    return part


def _without_texts(part: Schema) -> Schema:
    return {key: value for key, value in part.items() if key not in _TEXTS}


def _with_parts(defs: dict[str, Schema], cut: Callable[[Schema], Schema]) -> dict[str, Schema]:
    names = _named(*_counted(defs, cut), {*defs})

    def replace(part: Schema, _key: str) -> Schema:
        inside = cut(part)
        name = names.get(dumps(inside))
        if name:
            rest = {key: value for key, value in part.items() if key not in inside}
            part = {**rest, "$ref": DEFS + name}
        return map_parts(part, replace)

    found = map_parts({"$defs": defs}, replace)["$defs"]
    return found | {name: map_parts(json.loads(text), replace) for text, name in names.items()}


def _counted(
    defs: dict[str, Schema], cut: Callable[[Schema], Schema]
) -> tuple[Counter[str], dict[str, str]]:
    """Return how often each part occurs, and a key under which it does."""
    counts: Counter[str] = Counter()
    keys: dict[str, str] = {}

    def note(part: Schema, key: str) -> Schema:
        text = dumps(cut(part))
        if key not in _CONDITIONS:
            counts[text] += 1
            keys.setdefault(text, key)
        return map_parts(part, note) if counts[text] < 2 else part

    map_parts({"$defs": defs}, note)
    return counts, keys


def _named(counts: Counter[str], keys: dict[str, str], taken: set[str]) -> dict[str, str]:
    """Return a new name for each part that is shorter as a definition."""
    names: dict[str, str] = {}
    for text, uses in counts.items():
        if uses * (len(text) - _REFERENCE) > len(text) + len(keys[text]):
            key = re.sub(r"\W", "_", keys[text])  # a pointer gives "/" and "~" another meaning
            numbered = (f"{key}{number or ''}" for number in count(0))
            names[text] = next(name for name in numbered if name not in taken)
            taken.add(names[text])
    return names
