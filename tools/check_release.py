"""Check that the built wheel, the tag, CHANGELOG.md and the address of the repository agree.

    TAG=v2.0.0 python tools/check_release.py

A development version passes as long as it has no tag.
"""

from __future__ import annotations

import os
import re
import sys
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]


def problems(metadata: Message, changelog: str, tag: str) -> list[str]:
    """Return a line for each reason not to publish."""
    version = metadata["Version"]
    found: list[str] = []
    if tag and tag != f"v{version}":
        found.append(f"tag {tag!r}: does not match version {version}; set __version__ or the tag")
    if "dev" in version:
        return found
    if not re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE
    ):
        found.append(f"CHANGELOG.md: no section '## [{version}] - <date>'; date the first one")
    if "Project-URL" not in metadata:
        found.append("pyproject.toml: repository is empty; set it to the project's address")
    return found


def wheel_metadata(folder: Path) -> Message:
    """Return the metadata of the only wheel in a folder."""
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


if __name__ == "__main__":
    found = problems(
        wheel_metadata(ROOT / "dist"),
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        os.environ.get("TAG", ""),
    )
    sys.exit("\n".join(found) or None)
