"""`__all__` is the public surface."""

from __future__ import annotations

import importlib
import types

import pytest

import nshtrainer


@pytest.mark.parametrize("name", nshtrainer.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(nshtrainer, name) is not None


def test_dir_shows_the_public_names_and_no_others() -> None:
    assert dir(nshtrainer) == sorted(nshtrainer.__all__)


@pytest.mark.parametrize(("name", "home"), sorted(nshtrainer._HOMES.items()))
def test_a_public_name_is_public_in_its_own_module_too(name: str, home: str) -> None:
    assert name in importlib.import_module(home).__all__


def test_what_is_not_a_class_is_a_module_or_the_version() -> None:
    others = set(nshtrainer.__all__) - set(nshtrainer._HOMES) - {"__version__"}
    assert all(isinstance(getattr(nshtrainer, name), types.ModuleType) for name in others)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Trainr'"):
        _ = nshtrainer.Trainr
