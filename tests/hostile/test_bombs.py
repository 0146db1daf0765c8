"""Files made to eat time or memory are refused before they do; the table is in `bombs.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.hostile.bombs import BOMBS, MOST_TIMES, PLACES


@pytest.fixture(scope="module")
def costs() -> dict[str, Any]:
    """Measure the refusal of each file, beside the baseline, in child processes."""
    run = [sys.executable, "-m", "tests.hostile.bombs"]
    root = Path(__file__).parents[2]
    printed = subprocess.run(run, cwd=root, check=True, capture_output=True, text=True).stdout
    return {row["name"]: row for row in map(json.loads, printed.splitlines())}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is read as on Linux")
@pytest.mark.parametrize("name", [*BOMBS, *PLACES])
def test_a_bomb_is_refused_in_bounded_time_and_memory(costs: dict[str, Any], name: str):
    cost = costs[name]
    assert cost["as_told"], cost["said"]
    assert cost["times_seconds"] < MOST_TIMES["seconds"]
    assert cost["times_megabytes"] < MOST_TIMES["megabytes"]
