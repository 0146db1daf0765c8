from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "tools" / "package_optimizers"
NAMES = ("generate", "arguments", "classes", "left_out", "measured", "sources")


@pytest.fixture(scope="module")
def tools() -> Iterator[Any]:
    """The modules of the tool that writes the configs of other packages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
        for name in NAMES:
            sys.modules.pop(name)


@pytest.fixture
def generate(tools: Any) -> Any:
    """The script that writes them."""
    return tools.generate
