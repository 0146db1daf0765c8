"""The metadata of the package, with a stand-in for the address of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hatchling.metadata.core import ProjectMetadata, load_toml
from hatchling.plugin.manager import PluginManager
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "https://github.com/example/nshtrainer"


def project(repository: str) -> ProjectMetadata[Any]:
    """Return the project as it would be built with that address."""
    config = load_toml(str(ROOT / "pyproject.toml"))
    config["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"] = repository
    return ProjectMetadata(str(ROOT), PluginManager(), config)


def dynamic(tmp_path: Path, text: str, version: str = "2.0.0.dev0") -> dict[str, Any]:
    """Return the dynamic fields of a project with that README and version."""
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    (hook,) = project(ADDRESS).hatch.metadata.hooks.values()
    metadata: dict[str, Any] = {"version": version}
    type(hook)(str(tmp_path), {"repository": ADDRESS}).update(metadata)
    return metadata


def targets(text: str) -> list[str]:
    """Return every address in a Markdown text, as a renderer finds it."""
    html = MarkdownIt("commonmark").enable("table").render(text)
    return re.findall(r'(?:href|src|srcset)="([^"]+)"', html)


def test_relative_links_of_the_readme_lead_to_the_repository() -> None:
    def absolute(target: str) -> str:
        if target.startswith(("https://", "#")):
            return target
        view = "raw" if target.endswith((".svg", ".png")) else "blob"
        return f"{ADDRESS}/{view}/HEAD/{target}"

    rewritten = targets(project(f"{ADDRESS}/").core.readme)
    assert rewritten == [absolute(target) for target in targets(README)]
    assert any(target.startswith(ADDRESS) for target in rewritten)


def test_without_an_address_the_readme_is_unchanged() -> None:
    core = project("").core
    assert (core.readme, core.readme_content_type, core.urls) == (README, "text/markdown", {})


def test_urls_of_a_release_lead_to_its_tag(tmp_path: Path) -> None:
    metadata = dynamic(tmp_path, "[a](a.md)", version="2.0.0")
    assert metadata["readme"]["text"] == f"[a]({ADDRESS}/blob/v2.0.0/a.md)"
    assert metadata["urls"]["Source"] == ADDRESS
    assert metadata["urls"]["Changelog"] == f"{ADDRESS}/blob/v2.0.0/CHANGELOG.md"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/a.md#b)", "[a](ADDRESS/blob/HEAD/docs/a.md#b)"),
        ("![a](a.svg)", "![a](ADDRESS/raw/HEAD/a.svg)"),
        ("[![a](a.svg)](a.md)", "[![a](ADDRESS/raw/HEAD/a.svg)](ADDRESS/blob/HEAD/a.md)"),
        ('<img width="9" src="a.svg">', '<img width="9" src="ADDRESS/raw/HEAD/a.svg">'),
        ('<a href="a.md">', '<a href="ADDRESS/blob/HEAD/a.md">'),
        ("[a](https://a.org), [b](#b), [c](mailto:c@a.org)", None),
        ("`x[0](y)`", None),
        ("```python\nx[0](y)\n```", None),
    ],
)
def test_only_relative_links_outside_code_are_rewritten(
    text: str, expected: str | None, tmp_path: Path
) -> None:
    rewritten = dynamic(tmp_path, text)["readme"]["text"]
    assert rewritten == (expected or text).replace("ADDRESS", ADDRESS)
