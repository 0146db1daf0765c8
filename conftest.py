"""Runs the examples of the documents: README.md, docs/ and every docstring in src/.

Python blocks of a page and `>>>` lines of a docstring run in order, in one namespace a file and in
an empty folder. A YAML or TOML block of a page whose first line is a comment with a file's name,
such as `# run.yaml`, is written to that file, so that the Python below can read it. What needs a
package that may not be there is skipped with `lacks("package")` as the condition.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.example import Example
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser
from sybil.sybil import SybilCollection

# On a busy machine several threads make tiny models slower, by a factor of 100 at worst. It has to
# be said before torch is imported; torch itself is left to the tests that need it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The tests of the projects that `nshtrainer new` writes; tests/cli/test_new.py runs them there.
collect_ignore_glob = ["src/nshtrainer/cli/templates/*"]


def write_named_file(example: Example) -> None:
    """Write a block that begins with `# name.suffix` to that file."""
    name = re.match(r"# ([\w.-]+\.\w+)\n", example.parsed)
    if name:
        Path(name[1]).write_text(example.parsed, encoding="utf-8")


def lacks(package: str) -> bool:
    """Whether a package is not installed here."""
    return find_spec(package) is None


def enter_empty_folder(namespace: dict[str, Any]) -> None:
    """Let the examples of one file write and register what they like."""
    from nshtrainer.project.components import registries

    namespace["lacks"] = lacks
    namespace["__folder__"] = Path.cwd(), TemporaryDirectory(), ExitStack()
    for registry in registries().values():
        list(registry)  # imports our own: what is registered in the block is forgotten after it
        namespace["__folder__"][2].enter_context(registry.scoped())
    os.chdir(namespace["__folder__"][1].name)


def leave_empty_folder(namespace: dict[str, Any]) -> None:
    """Go back, remove what the examples wrote, and forget what they registered."""
    home, folder, registrations = namespace["__folder__"]
    os.chdir(home)
    folder.cleanup()
    registrations.close()


FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE

FOLDER = {"setup": enter_empty_folder, "teardown": leave_empty_folder}
PAGE = [
    CodeBlockParser("yaml", write_named_file),
    CodeBlockParser("toml", write_named_file),
    PythonCodeBlockParser(doctest_optionflags=FLAGS),
    SkipParser(),
]

readme = Sybil(PAGE, patterns=["README.md"], **FOLDER)
pages = Sybil(PAGE, path="docs", patterns=["*.md"], **FOLDER)
docstrings = Sybil(
    [DocTestParser(FLAGS)],
    path="src",
    patterns=["*.py"],
    document_types={".py": PythonDocStringDocument},
    **FOLDER,
)

pytest_collect_file = SybilCollection([readme, pages, docstrings]).pytest()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the examples of a file together and in order: they use what was named before."""
    files: dict[Path, list[Any]] = {}
    for item in items:
        if isinstance(item, SybilItem):
            files.setdefault(item.path, []).append(item)
    examples = [
        item
        for found in files.values()
        for item in sorted(found, key=lambda each: each.example.line)
    ]
    items[:] = [*examples, *(item for item in items if not isinstance(item, SybilItem))]
