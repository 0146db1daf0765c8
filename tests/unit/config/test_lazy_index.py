"""Names in the index of a registry: legal, listed and taken before their module is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

import pytest

from nshtrainer.config.lazy_index import IndexEntry, read_index
from nshtrainer.configs import LionConfig, OptimizerConfigBase, optimizer_registry
from nshtrainer.exceptions import RegistryError

HOME = "nshtrainer.optimizer.third_party.pytorch_optimizer"


def own_lion() -> Any:
    class Own(OptimizerConfigBase):
        name: Literal["lion"] = "lion"

        def create_optimizer(self, params: Any, /) -> Any:
            return params

    return Own


def test_a_name_in_the_index_is_taken() -> None:
    with optimizer_registry.scoped():
        optimizer_registry._classes.pop("lion", None)  # as if its module was never imported
        with pytest.raises(RegistryError, match=rf"'lion' is already taken by {HOME}.LionConfig"):
            optimizer_registry.register(own_lion())
        optimizer_registry.register(override=True)(own_lion())
        assert optimizer_registry["lion"].__name__ == "Own"
    assert optimizer_registry["lion"] is LionConfig


def test_a_name_is_found_by_the_index() -> None:
    with optimizer_registry.scoped():
        optimizer_registry._classes.pop("lion")
        assert optimizer_registry["lion"] is LionConfig


def test_a_name_that_was_taken_over_stays_so_when_the_module_is_imported() -> None:
    program = f"""
from typing import Literal
from nshtrainer.optimizer import OptimizerConfigBase, optimizer_registry

@optimizer_registry.register(override=True)
class Own(OptimizerConfigBase):
    name: Literal["lion"] = "lion"
    def create_optimizer(self, params): ...

import {HOME}
assert optimizer_registry["lion"] is Own
assert optimizer_registry["lamb"].__module__ == "{HOME}"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_a_block_imports_is_there_after_it() -> None:
    with optimizer_registry.scoped():
        first = optimizer_registry["tiger"]
    assert optimizer_registry["tiger"] is first


def test_the_summaries_are_those_of_the_classes() -> None:
    summaries = optimizer_registry.summaries()
    assert set(summaries) == set(optimizer_registry)
    assert summaries["lion"] == ("LionConfig", LionConfig.__doc__.partition("\n")[0])  # type: ignore[union-attr]


def test_a_registry_may_have_no_index() -> None:
    assert read_index(None) == {}
    listed = IndexEntry("collections", "OrderedDict", "A dict.")
    assert str(listed) == "collections.OrderedDict"
    assert listed.load()([(1, 2)]) == {1: 2}


def test_a_misspelt_name_finds_one_of_the_index() -> None:
    assert "did you mean 'prodigy'?" in optimizer_registry.unknown("prodgy")
