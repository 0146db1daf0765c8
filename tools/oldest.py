"""Write constraints that pin each direct dependency to the oldest release that it allows.

    python tools/oldest.py > .venv-oldest/constraints.txt

The floors are read from pyproject.toml: dependencies, extras and groups alike. torch keeps the pin
of constraints.txt.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_REQUIREMENT = re.compile(r'"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)[^"]*"')
_TORCH = re.compile(r"^torch==\S+$", re.MULTILINE)


def constraints() -> list[str]:
    """Return a line of constraints for each direct dependency."""
    floors = dict(_REQUIREMENT.findall((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    del floors["torch"]
    pinned = _TORCH.findall((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    return [*pinned, *(f"{name}=={floor}" for name, floor in floors.items())]


if __name__ == "__main__":
    print("\n".join(constraints()))
