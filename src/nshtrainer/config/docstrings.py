"""Field docstrings, extracted from the source when a schema, help text or page is made.

pydantic can read them when a class is created, which costs milliseconds for each class at import.
Without a source, as in a frozen program, no field has a docstring.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import textwrap
from functools import lru_cache

from pydantic import BaseModel
from typing_extensions import Doc

__all__ = ["class_docs", "field_docs", "own_docs"]


def class_docs(cls: type) -> str:
    r"""Return the docstring of a class as it is written: `__doc__` of a config has the fields too.

    >>> from nshtrainer.configs import StepsConfig
    >>> class_docs(StepsConfig).partition("\n")[0]
    'A number of optimizer updates.'
    """
    doc = vars(cls).get("__doc__")
    return inspect.cleandoc(getattr(doc, "text", doc) or "")


def field_docs(cls: type[BaseModel]) -> dict[str, str]:
    """Return the description of each field that has one.

    The description is `Field(description=...)`, the text below the field, or the `Doc(...)` in
    its type. A subclass inherits the description of a field unless it writes another.

    >>> from nshtrainer.config import Config
    >>> field_docs(Config)
    {}
    """
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            docs.update(_type_docs(base) | own_docs(base))
    written = {name: field.description for name, field in cls.model_fields.items()}
    docs.update({name: text for name, text in written.items() if text})
    return {name: docs[name] for name in cls.model_fields if name in docs}


def _type_docs(cls: type[BaseModel]) -> dict[str, str]:
    """Return the `Doc(...)` texts in the types of the fields that a class itself annotates."""
    fields = {name: cls.model_fields.get(name) for name in inspect.get_annotations(cls)}
    return {
        name: each.documentation
        for name, field in fields.items()
        for each in (field.metadata if field else ())
        if isinstance(each, Doc)
    }


def own_docs(cls: type) -> dict[str, str]:
    """Return the texts below a class's own annotations: its fields and class variables."""
    name = cls.__qualname__.split("[")[0]  # Pair[int] has the text of Pair
    found = _docs_in(_source(sys.modules.get(cls.__module__)))
    if name in found:
        return found[name]
    alone = _docs_in(textwrap.dedent(_source(cls)))  # a notebook's class has a source, but no file
    return alone.get(name.rpartition(".")[2], {})


def _source(thing: object) -> str:
    try:
        return inspect.getsource(thing)  # pyright: ignore[reportArgumentType] None is a TypeError
    except (OSError, TypeError, SyntaxError):
        return ""


@lru_cache(maxsize=256)
def _docs_in(source: str) -> dict[str, dict[str, str]]:
    """Return the field docstrings of each class in a source, by the class's qualified name."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, dict[str, str]] = {}
    _collect(tree, "", found)
    return found


def _collect(node: ast.AST, prefix: str, found: dict[str, dict[str, str]]) -> None:
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, ast.ClassDef):
            found[prefix + child.name] = _texts(child.body)
            inner = f"{prefix}{child.name}."
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = f"{prefix}{child.name}.<locals>."
        if isinstance(child, ast.stmt):
            _collect(child, inner, found)


def _texts(body: list[ast.stmt]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for field, text in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            texts[field.target.id] = inspect.cleandoc(text.value.value)
    return texts
