"""What the documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nshtrainer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The places in a page that a link can name: its headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"\s+", "-", word.strip()) for word in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if not path.startswith("https://"):
            file = page.parent / path if path else page
            assert file.exists(), target
            assert page.parent == ROOT or DOCS in file.resolve().parents, f"mkdocs lacks {target}"
            assert not anchor or anchor in anchors(file), target


def test_every_page_is_in_the_menu() -> None:
    menu = re.findall(r"^ +- ([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = (ROOT / "docs").rglob("*.md")
    assert sorted(menu) == sorted(str(path.relative_to(ROOT / "docs")) for path in pages)


def test_the_commands_that_are_named_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text(), flags=re.MULTILINE))
        assert named <= targets, page


def test_every_object_of_the_reference_is_there() -> None:
    reference = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    for name in re.findall(r"^::: ([\w.]+)$", reference, flags=re.MULTILINE):
        found = nshtrainer
        __import__(name if name.rpartition(".")[2].islower() else name.rpartition(".")[0])
        for part in name.split(".")[1:]:
            found = getattr(found, part)
