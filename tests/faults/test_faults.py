"""Real faults of real processes, and runs that go on after them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.faults import FAULTS, Fault, Home, survive, uninterrupted

Whole = Callable[[Fault], Home]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The run of a program that nothing happens to, made once."""
    made: dict[object, Home] = {}

    def of(fault: Fault) -> Home:
        if fault.program not in made:
            made[fault.program] = uninterrupted(tmp_path_factory.mktemp("whole"), fault.program)
        return made[fault.program]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_run_goes_on_after_a_fault_as_if_nothing_had_happened(
    tmp_path: Path, whole: Whole, fault: Fault
) -> None:
    survive(fault, Home(tmp_path), whole(fault))
