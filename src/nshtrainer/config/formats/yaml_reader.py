"""YAML 1.2 reader: plain data with source positions; refuses tags, duplicate keys and bombs.

The scanner and parser are ruamel.yaml's; composing and constructing are done here from its events,
without recursion, so that every limit is checked before memory is used.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scanner import Scanner, ScannerError

from nshtrainer.config.document import (
    MAX_DEPTH,
    TOO_DEEP,
    Document,
    Keys,
    check_text,
    fail,
    joined,
    limits,
    whole_number,
)
from nshtrainer.config.messages import truncate

__all__ = ["plain_scalar", "read_yaml"]

_INFINITIES = {
    sign + text: float(sign + "inf") for sign in ("", "+", "-") for text in (".inf", ".Inf", ".INF")
}
_END_OF_LINE = frozenset("#\0\r\n\x85\u2028\u2029")
_END_OF_TAG = re.compile(r"[\s\0,\[\]{}]")
_DIRECTIVE = re.compile(r"%YAML +1\.[12]\s")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **_INFINITIES,
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0(?:o(?P<octal>[0-7]+)|x(?P<hexadecimal>[0-9a-fA-F]+))")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def plain_scalar(text: str) -> Any:
    """Return the value of unquoted text by the core schema of YAML 1.2.

    `1e-3` is a number; `no`, `on`, `1:30`, `1_000` and `2024-01-01` are text.

    >>> [plain_scalar(text) for text in ("1e-3", "012", "no", "true", "~", "0x1F", ".inf")]
    [0.001, 12, 'no', True, None, 31, inf]

    Raises:
        ValueError: A whole number has more digits than Python reads.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return whole_number(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    based = _BASED.fullmatch(text)
    if based:
        return whole_number(text[2:], 8 if based["octal"] else 16)
    return text


def read_yaml(text: str, source: str = "<yaml>") -> Document:
    """Read one YAML document.

    Args:
        text: The YAML text; an empty text is None.
        source: The name of the text in messages.

    Raises:
        ConfigError: The text is not YAML, or has a tag, a duplicate key, several documents, an
            alias inside its own anchor, or is too big or too deep (aliases expanded).
    """
    composer = _Composer(source)
    yaml: Any = YAML(typ="safe", pure=True, plug_ins=[])
    yaml.Scanner = _Scanner
    try:
        for event in yaml.parse(check_text(text, source)):
            composer.take(event)
    except MarkedYAMLError as error:
        marked = cast("Any", error)
        line, column = _spot(marked.problem_mark or marked.context_mark)
        fail(f"{source}:{line}:{column}", _syntax_problem(error), error)
    except YAMLError as error:
        reason = str(error).splitlines()[0]
        problem = f"is not valid YAML: {reason}; remove the control characters"
        fail(source, problem, error)
    root = composer.root
    return Document(None if root is None else root.data, source, composer.locate)


class _RefusedError(ScannerError):
    """A YAML feature that is valid, but that no config needs."""


class _Scanner(Scanner):
    """A scanner that refuses costly input at its first character, and accepts tabs as YAML does.

    A tab separates tokens within a line; it is no indentation.
    """

    def scan_to_next_token(self) -> None:
        cast("Any", super()).scan_to_next_token()
        while self._skip_tabs():
            cast("Any", super()).scan_to_next_token()

    def _skip_tabs(self) -> bool:
        reader = cast("Any", self).reader
        blanks = self._blanks()
        before = reader.buffer[reader.pointer - reader.column : reader.pointer]
        is_indentation = not before.strip(" ") and reader.peek(len(blanks)) not in _END_OF_LINE
        if "\t" not in blanks or is_indentation:
            return False
        reader.forward(len(blanks))
        self.allow_simple_key = False  # a block cannot start after a tab
        return True

    def scan_plain_spaces(self, indent: Any, start_mark: Any) -> Any:
        reader = cast("Any", self).reader
        blanks = self._blanks()
        if "\t" not in blanks:
            return cast("Any", super()).scan_plain_spaces(indent, start_mark)
        reader.forward(len(blanks))
        if reader.peek() not in _END_OF_LINE:
            return [blanks]
        return cast("Any", super()).scan_plain_spaces(indent, start_mark)

    def _blanks(self) -> str:
        """Return the spaces and tabs from here on."""
        reader = cast("Any", self).reader
        length = 0
        while reader.peek(length) in (" ", "\t"):
            length += 1
        return cast("str", reader.prefix(length))

    def fetch_flow_collection_start(self, *args: Any, **kwargs: Any) -> None:
        if self.flow_level >= MAX_DEPTH:
            self._refuse(TOO_DEEP)
        cast("Any", super()).fetch_flow_collection_start(*args, **kwargs)

    def fetch_tag(self) -> None:
        tag, *_ = _END_OF_TAG.split(cast("Any", self).reader.prefix(100), maxsplit=1)
        self._refuse(f"tag {truncate(tag)!r} is not allowed; write the plain value")

    def fetch_directive(self) -> None:
        if not _DIRECTIVE.match(cast("Any", self).reader.prefix(100)):
            self._refuse("a directive is not allowed, except '%YAML 1.2'; leave the line out")
        cast("Any", super()).fetch_directive()

    def _refuse(self, problem: str) -> NoReturn:
        raise _RefusedError(None, None, problem, cast("Any", self).reader.get_mark())


def _syntax_problem(error: Any) -> str:
    problem = str(error.problem)
    if isinstance(error, _RefusedError):
        return problem
    if "'\\t'" in problem:
        return "is not valid YAML: a tab is not indentation; use spaces"
    advice = "check the indentation, quotes and brackets here and just before"
    return f"is not valid YAML: {problem}; {advice}"


class _Node:
    """A value, its source position, its parts by key or index, and their number and length."""

    __slots__ = ("data", "length", "mark", "parts", "size")

    def __init__(self, data: Any, mark: Any, size: int = 1, length: int = 0) -> None:
        self.data = data
        self.mark = mark
        self.size = size
        self.length = length
        self.parts: dict[Any, tuple[Any, _Node]] = {}

    def seen_from(self, mark: Any) -> _Node:
        """Return the same value at the position of an alias that repeats it."""
        node = _Node(self.data, mark, self.size, self.length)
        node.parts = self.parts
        return node


class _Open:
    """A list or mapping that is not closed yet."""

    __slots__ = ("anchor", "key", "key_mark", "merges", "node")

    def __init__(self, node: _Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: Any = _NO_KEY
        self.key_mark: Any = None
        self.merges: list[_Node] = []


_EXPANDED = ", aliases expanded; write it shorter, or see nshtrainer.large_files()"
_NO_KEY: Any = object()
_MERGE: Any = object()


class _Composer:
    """Builder of a tree of values from the events of a parser."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.most = limits()
        self.root: _Node | None = None
        self.nodes = 0
        self.length = 0
        self.stack: list[_Open] = []
        self.anchors: dict[str, _Node | None] = {}

    def take(self, event: Any) -> None:
        handle = getattr(self, f"_{type(event).__name__}", None)
        if handle is not None:
            handle(event)

    def locate(self, path: Keys, of_key: bool) -> tuple[int, int] | None:
        """Return line and column, from 1, of the value at a path, or of its nearest parent."""
        node = self.root
        if node is None:
            return None
        mark = node.mark
        for key in path:
            if key not in node.parts:
                return _spot(node.mark)
            mark, node = node.parts[key]
        return _spot(mark if of_key else node.mark)

    # One method for each relevant kind of event, with the name of the event's class.

    def _DocumentStartEvent(self, event: Any) -> None:
        if self.root is not None:
            self._fail(event, "a second document starts here; keep one document in a file")

    def _AliasEvent(self, event: Any) -> None:
        alias, node = truncate(f"*{event.anchor}"), self.anchors.get(event.anchor, _NO_KEY)
        if node is _NO_KEY:
            self._fail(event, f"unknown alias '{alias}'; anchor a value with '&' above it")
        if node is None:
            self._fail(event, f"alias '{alias}' stands inside what it repeats; write it out")
        self._count(event, node.size, node.length)
        self._add(event, node.seen_from(event.start_mark))

    def _ScalarEvent(self, event: Any) -> None:
        length = len(event.value)
        self._count(event, 1, length)
        node = _Node(self._value_of(event), event.start_mark, 1, length)
        if event.anchor:
            self.anchors[event.anchor] = node
        self._add(event, node)

    def _SequenceStartEvent(self, event: Any) -> None:
        self._open(event, [])

    def _MappingStartEvent(self, event: Any) -> None:
        self._open(event, {})

    def _SequenceEndEvent(self, event: Any) -> None:
        node = self.stack[-1].node
        node.data = [part.data for _, part in node.parts.values()]
        self._close(event)

    def _MappingEndEvent(self, event: Any) -> None:
        done = self.stack[-1]
        for merged in done.merges:
            for key, part in merged.parts.items():
                done.node.parts.setdefault(key, part)
        done.node.data = {key: part.data for key, (_, part) in done.node.parts.items()}
        self._close(event)

    # Helpers of the handlers.

    def _fail(self, event: Any, text: str) -> NoReturn:
        line, column = _spot(event.start_mark)
        fail(f"{self.source}:{line}:{column}", text)

    def _count(self, event: Any, size: int, length: int = 0) -> None:
        self.nodes += size
        self.length += length
        if self.nodes > self.most.nodes:
            self._fail(event, f"more than {self.most.nodes:,} keys and values{_EXPANDED}")
        if self.length > self.most.bytes:
            self._fail(event, f"longer than {self.most.bytes // 1000:,} kB{_EXPANDED}")

    def _value_of(self, event: Any) -> Any:
        if event.style:
            return self._text(event)
        if event.value == "<<" and self._awaits_key():
            return _MERGE
        try:
            return plain_scalar(event.value)
        except ValueError as error:
            self._fail(event, str(error))

    def _text(self, event: Any) -> str:
        try:
            return joined(event.value)
        except ValueError as error:
            self._fail(event, str(error))

    def _awaits_key(self) -> bool:
        if not self.stack:
            return False
        top = self.stack[-1]
        return isinstance(top.node.data, dict) and top.key is _NO_KEY

    def _open(self, event: Any, data: Any) -> None:
        if self._awaits_key():
            self._fail(event, "a key must be text or a number, not a list or a mapping")
        self._count(event, 1)
        if len(self.stack) >= MAX_DEPTH:
            self._fail(event, TOO_DEEP)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Open(_Node(data, event.start_mark), event.anchor))

    def _close(self, event: Any) -> None:
        done = self.stack.pop()
        if done.anchor:
            self.anchors[done.anchor] = done.node
        self._add(event, done.node)

    def _add(self, event: Any, node: _Node) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        top.node.size += node.size
        top.node.length += node.length
        if isinstance(top.node.data, list):
            top.node.parts[len(top.node.parts)] = (node.mark, node)
        elif top.key is _NO_KEY:
            self._take_key(event, top, node)
        else:
            self._take_value(event, top, node)

    def _take_key(self, event: Any, top: _Open, node: _Node) -> None:
        if isinstance(node.data, (dict, list)):
            self._fail(event, "a key must be text or a number, not a list or a mapping")
        if node.data in top.node.parts:
            key = truncate(node.data) if isinstance(node.data, str) else node.data
            self._fail(event, f"key {key!r} is given twice; remove one")
        top.key, top.key_mark = node.data, node.mark

    def _take_value(self, event: Any, top: _Open, node: _Node) -> None:
        if top.key is _MERGE:
            top.merges += self._mappings(event, node)
        else:
            top.node.parts[top.key] = (top.key_mark, node)
        top.key = _NO_KEY

    def _mappings(self, event: Any, node: _Node) -> list[_Node]:
        listed = isinstance(node.data, list)
        nodes = [part for _, part in node.parts.values()] if listed else [node]
        if not all(isinstance(each.data, dict) for each in nodes):
            self._fail(event, "'<<' merges a mapping or a list of mappings")
        return nodes


def _spot(mark: Any) -> tuple[int, int]:
    return cast("int", mark.line) + 1, cast("int", mark.column) + 1
