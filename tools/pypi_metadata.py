"""Hatch metadata hook: project URLs, and a README whose links work on PyPI.

Both follow from the setting `repository` in `[tool.hatch.metadata.hooks.custom]` of pyproject.toml.
While it is empty, the README keeps its relative links and the package has no URLs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# Code comes first, so that what looks like a link in it is passed over.
_CODE_OR_LINK = re.compile(
    r"^```.*?^```|`[^`\n]*`"
    r'|(?P<start>(?P<image>!\[[^\[\]]*\]\(|<img [^>]*?src=")|\]\(|<a [^>]*?href=")'
    r"(?![\w+.-]+:|#)(?P<path>[^)\s\"]+)",
    re.DOTALL | re.MULTILINE,
)


class PyPIMetadataHook(MetadataHookInterface):
    """Set `readme` and `urls` of the project."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in the dynamic fields."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        repository = self.config["repository"].rstrip("/")
        revision = "HEAD" if "dev" in metadata["version"] else f"v{metadata['version']}"
        if repository:
            text = absolute_links(text, repository, revision)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = project_urls(repository, revision) if repository else {}


def absolute_links(text: str, repository: str, revision: str) -> str:
    """Return Markdown whose relative links and images lead to the repository."""

    def absolute(match: re.Match[str]) -> str:
        if match["path"] is None:
            return match[0]
        view = "raw" if match["image"] else "blob"
        return f"{match['start']}{repository}/{view}/{revision}/{match['path']}"

    return _CODE_OR_LINK.sub(absolute, text)


def project_urls(repository: str, revision: str) -> dict[str, str]:
    """Return the links in the side bar of the project's page."""
    return {
        "Source": repository,
        "Documentation": f"{repository}/tree/{revision}/docs",
        "Changelog": f"{repository}/blob/{revision}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }
