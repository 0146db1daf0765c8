"""Number of faults of tests/faults that a run survives: `python -m tools.faults`, some minutes."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.faults import FAULTS, Fault, Home, survive, uninterrupted


def survived(fault: Fault, path: Path, whole: Home) -> bool:
    """Try one fault, and return the result as text."""
    path.mkdir()
    try:
        survive(fault, Home(path), whole)
    except AssertionError as error:
        print(f"lost      {fault.name}: {error}", flush=True)
        return False
    then = f"from {fault.step}: the same values at every update"
    print(f"survived  {fault.name}: {then}{', the same weights' * fault.exact}", flush=True)
    return True


def main() -> int:
    """Try all, or those whose names are given, and count."""
    faults = [each for each in FAULTS if not sys.argv[1:] or each.name in sys.argv[1:]]
    with TemporaryDirectory() as folder:
        whole: dict[object, Home] = {}
        for program in {fault.program for fault in faults}:
            path = Path(folder, program.__name__)
            path.mkdir()
            whole[program] = uninterrupted(path, program)
        count = sum(
            survived(fault, Path(folder, str(place)), whole[fault.program])
            for place, fault in enumerate(faults)
        )
    print(f"{count} faults survived out of {len(faults)} tried")
    return count < len(faults)


if __name__ == "__main__":
    sys.exit(main())
