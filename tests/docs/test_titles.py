"""Titles of the docs are the words that people search for, and the README fits on a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUESTION = r"(What|Whether|Who|Whose|Which|Where|How|To)\b(?!-)"
SEARCHES = {
    "an existing lightning module": "tutorials",
    "plain pytorch": "tutorials",
    "transformers": "tutorials",
    "exclude norms and biases from weight decay": "how-to",
    "layer-wise learning-rate decay": "how-to",
    "freeze": "how-to",
    "parameter group": "how-to",
    "warm up": "how-to",
    "plateau": "how-to",
    "resume with a different learning rate": "how-to",
    "muon": "how-to",
    "mup": "how-to",
    "8-bit": "how-to",
    "clip gradients": "how-to",
    "ema": "how-to",
    "log learning rates": "how-to",
    "nan": "how-to",
    "distributed training": "how-to",
    "gan": "how-to",
    "slurm": "how-to",
    "hydra": "how-to",
    "custom components": "how-to",
    "untrusted config files": "how-to",
    "command line": "reference",
    "validation errors": "reference",
    "guarantees": "reference",
    "fault tolerance": "explanation",
    "architecture": "explanation",
}
"""What people search for, and the kind of page whose title has it."""


def headings(page: Path) -> list[str]:
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    return re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_headings_are_no_questions_and_the_title_comes_first(page: Path) -> None:
    assert page.read_text(encoding="utf-8").startswith("# ")
    assert not [heading for heading in headings(page) if re.match(QUESTION, heading)]


def test_titles_are_unique() -> None:
    titles = [headings(page)[0] for page in PAGES[2:] if page.name != "index.md"]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(("words", "kind"), SEARCHES.items())
def test_a_page_is_titled_by_what_people_search_for(words: str, kind: str) -> None:
    titles = [headings(page)[0].lower() for page in (ROOT / "docs" / kind).glob("*.md")]
    assert any(re.search(rf"\b{words}", title) for title in titles), titles


def test_the_index_lists_every_page_under_its_title() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in PAGES[2:]:
        if page.name != "index.md":
            assert f"- [{headings(page)[0]}]({page.relative_to(ROOT / 'docs')})" in index


def test_the_readme_fits_on_a_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
