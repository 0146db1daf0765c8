"""Docstrings, messages and headings are written in plain English."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from typing_extensions import TypeIs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "nshtrainer"
FOLDERS = [
    *sorted(path.parent for path in PACKAGE.glob("*/__init__.py")),
    *(ROOT / name for name in ("tools", "docs", "examples", "benchmarks")),
]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUESTION = re.compile(r"(What|Whether|Who|Whose|Which|Where|How)\b(?!-)")
WORDS = re.compile(
    r"\b("
    r"nobody|somebody|anew|outright|for ever|without a word|but for"
    r"|hears? of|stands? still|(?:is|are|be|was|were) told(?! apart)|(?:go|goes|going|went) on"
    r"|(?:makes|becomes?|comes) of"
    r"|of (?:ours|theirs)|of (?:torch|PyTorch|Lightning|transformers)'s(?=[,.;:)]|$)"
    r"|optimis\w+|behaviour"
    r")\b",
    flags=re.IGNORECASE,
)
EXCEPTIONS = {
    "The sign of the gradient, or of its momentum.": "the title of its paper is British",
}
"""First lines of texts that may open with a question or have such a word, with the reason."""


class Text(NamedTuple):
    place: str
    text: str


def modules(folder: Path) -> list[Path]:
    """List the modules of a folder; the root of the package counts without its subfolders."""
    return sorted(folder.glob("*.py") if folder == PACKAGE else folder.rglob("*.py"))


def is_text(node: ast.AST) -> TypeIs[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def docstring_nodes(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield docstrings, and the strings below assignments of attributes."""
    for owner in ast.walk(tree):
        if isinstance(owner, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            before: list[ast.stmt | None] = [None, *owner.body]
            for previous, node in zip(before, owner.body, strict=False):
                is_documented = previous is None or isinstance(
                    previous, (ast.Assign, ast.AnnAssign)
                )
                if is_documented and isinstance(node, ast.Expr) and is_text(node.value):
                    yield node.value


def place_of(module: Path, node: ast.Constant) -> str:
    return f"{module.relative_to(ROOT)}:{node.lineno}"


def docstrings(folder: Path) -> Iterator[Text]:
    for module in modules(folder):
        for node in docstring_nodes(ast.parse(module.read_text(encoding="utf-8"))):
            yield Text(place_of(module, node), str(node.value).strip())


def messages(folder: Path) -> Iterator[Text]:
    """Yield strings of several words outside docstrings: errors, warnings, help, labels."""
    for module in modules(folder):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        known = set(docstring_nodes(tree))
        for node in ast.walk(tree):
            if is_text(node) and node not in known and " " in str(node.value).strip():
                yield Text(place_of(module, node), str(node.value))


def headings(page: Path) -> Iterator[Text]:
    """Yield titles, headings, and the column names of tables."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    found = [
        *re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE),
        *(
            cell.strip()
            for row in re.findall(r"^\|(.+)\|\n\| *:?-", text, flags=re.MULTILINE)
            for cell in row.split("|")
        ),
    ]
    yield from (Text(str(page.relative_to(ROOT)), heading) for heading in found if heading)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def refused(texts: Iterator[Text]) -> list[str]:
    return [
        f"{place}: '{match[0]}' in {text.strip().splitlines()[0]!r}"
        for place, text in texts
        if text.strip().splitlines()[0] not in EXCEPTIONS
        for match in WORDS.finditer(text)
    ]


@pytest.mark.parametrize("folder", [PACKAGE, *FOLDERS], ids=name_of)
def test_docstrings_open_with_a_verb_or_a_noun(folder: Path) -> None:
    assert not [
        text
        for text in docstrings(folder)
        if QUESTION.match(text.text) and text.text.splitlines()[0] not in EXCEPTIONS
    ]


@pytest.mark.parametrize("folder", [PACKAGE, *FOLDERS], ids=name_of)
def test_docstrings_avoid_unusual_words(folder: Path) -> None:
    assert not refused(docstrings(folder))


@pytest.mark.parametrize("folder", [PACKAGE, *FOLDERS], ids=name_of)
def test_messages_avoid_unusual_words(folder: Path) -> None:
    assert not refused(messages(folder))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_headings_avoid_questions_and_unusual_words(page: Path) -> None:
    assert not refused(headings(page))
    assert not [text for text in headings(page) if QUESTION.match(text.text)]


@pytest.mark.parametrize("text", ["the run goes on", "Nobody knows", "one of torch's", "optimised"])
def test_unusual_words_are_found(text: str) -> None:
    assert refused(iter([Text("", text)]))
    assert not refused(iter([Text("", "parameters are told apart by torch's names")]))


def test_exceptions_are_few() -> None:
    assert len(EXCEPTIONS) <= 10
