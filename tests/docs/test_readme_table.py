"""The generated parts of the documents are as the code is now."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from nshtrainer.config.registry import Registry
from nshtrainer.exceptions import ConfigError
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.optimizer import optimizer_registry

ROOT = Path(__file__).parents[2]


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_tables", ROOT / "docs" / "tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = load_script()


def test_nothing_generated_is_stale() -> None:
    stale = [str(path.relative_to(ROOT)) for path in tables.stale()]
    assert not stale, f"run {Path(sys.executable).name} docs/tables.py"


@pytest.mark.parametrize(
    ("registry", "page"),
    [(optimizer_registry, "optimizers"), (lr_scheduler_registry, "schedules")],
    ids=["optimizers", "schedules"],
)
def test_the_reference_lists_every_component(registry: Registry[Any], page: str) -> None:
    listed = read_reference(page)
    packages = read_reference("third-party-optimizers")
    for name, cls in tables.ours(registry):
        text = packages if tables.is_of_a_package(cls) else listed
        assert f"| `{name}` | `{cls.__name__}` |" in text


def test_torchs_schedules_stand_apart_under_a_heading_of_their_own() -> None:
    for page, row in (("schedules", r"^\| `(\w+)` \| `\w+Config`"), ("gallery", r"^### (\w+)$")):
        before, _, after = read_reference(page).partition("# Coming from torch\n")
        apart = set(re.findall(row, after, flags=re.MULTILINE))
        assert "step_lr" in apart
        assert apart <= set(tables.shapes.torchs())
        assert not set(re.findall(row, before, flags=re.MULTILINE)) & set(tables.shapes.torchs())


def read_reference(page: str) -> str:
    return (ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")


def test_every_generated_part_stands_in_a_page() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in tables.fresh())
    assert set(re.findall(r"<!-- generated: ([\w ]+) -->", pages)) == set(tables.PARTS)


def test_a_stale_part_is_written_anew() -> None:
    page = "a\n<!-- generated: schedules -->\n\nold\n\n<!-- end -->\nb\n"
    new = tables.filled(page)
    assert "old" not in new
    assert "| `reduce_lr_on_plateau` |" in new
    assert tables.filled(new) == new


def test_the_gallery_has_every_schedule_that_can_be_drawn_and_no_other_picture() -> None:
    names = sorted(tables.name_of(cls) for cls in tables.drawn())
    page = read_reference("gallery")
    assert sorted(re.findall(r"^### (\w+)$", page, flags=re.MULTILINE)) == names
    assert sorted(path.stem for path in (ROOT / tables.GALLERY).iterdir()) == names


def test_the_gallery_says_when_to_use_each_schedule() -> None:
    for shape in tables.shapes.SHAPES:
        assert shape.when
        assert all(shape.schedules.values())


def test_a_schedule_without_a_valid_example_says_what_to_write() -> None:
    cls = type("LostConfig", (lr_scheduler_registry["step"],), {"example": ""})
    with pytest.raises(ConfigError, match=r"LostConfig has no valid example; write `example = "):
        tables.gallery_config(cls)


@pytest.mark.parametrize("picture", tables.PICTURES.values())
def test_a_picture_is_well_formed(picture: Callable[[], str]) -> None:
    assert ET.fromstring(picture()).tag.endswith("svg")
