"""Keys of parameter groups that optimizers read and write, from their source code."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from types import FunctionType
from typing import Any

import torch

__all__ = ["read_keys", "written_keys"]

_ENTRIES = ("__init__", "add_param_group", "init_group", "step")
_GROUPS = frozenset({"group", "param_group"})
_READERS = frozenset({"get", "pop", "setdefault"})


@cache
def read_keys(cls: type) -> frozenset[str]:
    """Return the keys of a group that the constructor or a step reads."""
    return frozenset(key for _, node in _reached(cls) for key in _read(node))


@cache
def written_keys(cls: type) -> frozenset[str]:
    """Return the keys that a step writes into a group: state, not options."""
    return frozenset(
        node.slice.value
        for name, node in _reached(cls)
        if name != "__init__" and _is_item(node) and isinstance(node.ctx, ast.Store)
    )


def _reached(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the nodes of all methods that the constructor and a step may call."""
    methods, pending, seen = _methods(cls), [*_ENTRIES], set[str]()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for function in methods.get(name, ()):
            nodes = _nodes(function)
            yield from ((name, node) for node in nodes)
            pending += [node.attr for node in nodes if isinstance(node, ast.Attribute)]
            for helper in _helpers(function, nodes):
                methods.setdefault(helper.__name__, [helper])
                pending.append(helper.__name__)
            if not any(isinstance(node, ast.Name) and node.id == "super" for node in nodes):
                break  # the methods of the bases are never called


@cache
def _nodes(function: FunctionType) -> list[ast.AST]:
    """Return the nodes of the source of a function; many classes share their bases and helpers."""
    return list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))))


def _helpers(function: FunctionType, nodes: list[ast.AST]) -> Iterator[FunctionType]:
    """Yield the functions of the same module that a function names."""
    for name in {node.id for node in nodes if isinstance(node, ast.Name)}:
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType) and value.__module__ == function.__module__:
            yield value


def _methods(cls: type) -> dict[str, list[FunctionType]]:
    """Return the functions of each name, with the one of the class itself first."""
    found: dict[str, list[FunctionType]] = {}
    for base in cls.__mro__:
        if base in {torch.optim.Optimizer, object}:
            continue
        for name, value in vars(base).items():
            function = inspect.unwrap(getattr(value, "__func__", value))
            if isinstance(function, FunctionType):
                found.setdefault(name, []).append(function)
    return found


def _read(node: ast.AST) -> Iterator[str]:
    if _is_item(node) and isinstance(node.ctx, ast.Load):  # type: ignore[attr-defined]
        yield node.slice.value  # type: ignore[attr-defined]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in _READERS and _is_group(node.func.value):
            yield from _constants(node.args[:1])
    elif isinstance(node, ast.Compare) and any(map(_is_group, node.comparators)):
        yield from _constants([node.left])


def _constants(nodes: list[ast.expr]) -> Iterator[str]:
    yield from (node.value for node in nodes if isinstance(node, ast.Constant))


def _is_item(node: ast.AST) -> bool:
    is_item = isinstance(node, ast.Subscript) and _is_group(node.value)
    return is_item and isinstance(node.slice, ast.Constant)  # type: ignore[attr-defined]


def _is_group(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in _GROUPS
