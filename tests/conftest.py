"""What holds for every test: the profile of Hypothesis, fixed seeds, no network, a clean exit."""

from __future__ import annotations

import gc
import os
import random
import socket
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings

# No deadlines: no test may depend on how busy a machine is.
settings.register_profile("ci", max_examples=30, derandomize=True, database=None, deadline=None)
settings.register_profile("thorough", max_examples=200, print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--sample`, with which `make coverage` reaches each line in a fraction of the time."""
    text = "run N cases of each test at most, but for those in tests/unit"
    parser.addoption("--sample", type=int, metavar="N", help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the sample of the cases of each test, spread evenly over all of them."""
    limit = config.getoption("sample", default=None)
    if limit is None:
        return
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        is_single = "unit" in item.path.parent.parts
        name = item.nodeid if is_single else item.nodeid.partition("[")[0]
        cases.setdefault(name, []).append(item)
    kept = {
        group[place * len(group) // min(limit, len(group))].nodeid
        for group in cases.values()
        for place in range(min(limit, len(group)))
    }
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
    items[:] = [item for item in items if item.nodeid in kept]


def pytest_collection_finish() -> None:
    """Leave what is imported and collected, millions of objects, out of garbage collections."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Seed what draws at random, as far as it is imported: nothing is imported for that."""
    random.seed(0)
    if torch := sys.modules.get("torch"):
        # Only the CPU's: for each kind of device that is not there, torch writes down a traceback.
        torch.default_generator.manual_seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        local = self.family == socket.AF_UNIX or address[0] in {"127.0.0.1", "::1", "localhost"}
        assert local, f"a test tried to reach {address}"
        connect(self, address)

    with mock.patch.object(socket.socket, "connect", connect_here):
        yield


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Undo what a test leaves in the environment, such as the port where Lightning listened."""
    before = _environment()
    yield
    for name in _environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(
        {name: before[name] for name in before if os.environ.get(name) != before[name]}
    )


def _environment() -> dict[str, str]:
    """What is in the environment, but for the name of the test, which pytest writes there."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
