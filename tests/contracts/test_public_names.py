"""`__all__` is the public surface."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from tools.facades import FACADES, renewed, source_of

import nshtrainer
from nshtrainer import callbacks, configs, loggers, lr_scheduler, optimizer
from nshtrainer.callbacks import callback_registry
from nshtrainer.config.registry import Registry
from nshtrainer.loggers import logger_registry
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.optimizer import optimizer_registry

LAZY = [configs, optimizer, lr_scheduler, loggers, callbacks]
OF_THE_RUN = {"RunLength", "run_length_of"}


@pytest.mark.parametrize("name", nshtrainer.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(nshtrainer, name) is not None


def test_dir_shows_the_public_names_and_no_others() -> None:
    assert dir(nshtrainer) == sorted(nshtrainer.__all__)


@pytest.mark.parametrize(("name", "home"), sorted(nshtrainer._HOMES.items()))
def test_a_public_name_is_public_in_its_own_module_too(name: str, home: str) -> None:
    assert name in importlib.import_module(home).__all__


@pytest.mark.parametrize("name", sorted(nshtrainer._HOMES))
def test_no_module_takes_the_place_of_a_public_name(name: str) -> None:
    # Importing a module sets it as an attribute of its package.
    files = {path.stem for path in Path(nshtrainer.__file__).parent.iterdir()}
    assert name not in files


def test_what_is_not_a_class_is_a_module_or_the_version() -> None:
    others = set(nshtrainer.__all__) - set(nshtrainer._HOMES) - {"__version__"}
    assert all(isinstance(getattr(nshtrainer, name), types.ModuleType) for name in others)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Trainr'"):
        _ = nshtrainer.Trainr


# -- the packages of optimizers and of schedules ---------------------------------------------------


@pytest.mark.parametrize(
    ("facade", "registry"),
    [
        (optimizer, optimizer_registry),
        (lr_scheduler, lr_scheduler_registry),
        (loggers, logger_registry),
        (callbacks, callback_registry),
    ],
    ids=["optimizers", "schedules", "loggers", "callbacks"],
)
def test_every_registered_config_is_a_name_of_its_package(
    facade: types.ModuleType, registry: dict[str, type]
) -> None:
    ours = [cls for cls in registry.values() if cls.__module__.startswith("nshtrainer.")]
    assert len(ours) > 3
    assert [cls for cls in ours if getattr(facade, cls.__name__) is not cls] == []


def test_configs_has_the_names_of_all_packages() -> None:
    for facade in LAZY[1:]:
        names = set(dir(facade)) - OF_THE_RUN
        assert names <= set(dir(configs))
        assert [n for n in names if getattr(facade, n) is not getattr(configs, n)] == []


@pytest.mark.parametrize("facade", LAZY, ids=lambda facade: facade.__name__)
def test_a_star_imports_every_public_name_of_a_facade(facade: types.ModuleType) -> None:
    found: dict[str, object] = {}
    exec(f"from {facade.__name__} import *", found)
    assert set(dir(facade)) == set(found) - {"__builtins__"}


@pytest.mark.parametrize("facade", LAZY, ids=lambda facade: facade.__name__)
def test_an_unknown_name_of_a_facade_is_an_error(facade: types.ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"'{facade.__name__}' has no attribute 'AdamWConfg'"):
        _ = facade.AdamWConfg
    with pytest.raises(ImportError, match="cannot import name 'AdamWConfg'"):
        exec(f"from {facade.__name__} import AdamWConfg", {})


@pytest.mark.parametrize("facade", FACADES, ids=lambda facade: facade.__name__)
def test_type_checkers_see_the_modules_whose_names_a_facade_offers(
    facade: types.ModuleType,
) -> None:
    text = source_of(facade).read_text(encoding="utf-8")
    assert renewed(text, FACADES[facade]) == text, "run make format"
    assert renewed(text, ["a.new.module"]) != text


@pytest.mark.parametrize(
    "registry",
    [optimizer_registry, lr_scheduler_registry, logger_registry, callback_registry],
    ids=repr,
)
def test_a_module_of_configs_is_named_once(registry: Registry[Any]) -> None:
    home = inspect.getfile(registry.base)
    texts = [path.read_text(encoding="utf-8") for path in Path(home).parents[1].rglob("*.py")]
    for module in registry.modules:
        assert sum(text.count(f'"{module}"') for text in texts) == 1


@pytest.mark.slow
def test_pyright_knows_the_type_of_every_public_class(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    lines, expected = ["# pyright: strict"], dict[int, str]()
    for facade in (nshtrainer, *FACADES):
        lines.append(f"import {facade.__name__}")
        for name in dir(facade):
            if isinstance(cls := getattr(facade, name), type) and cls.__name__ == name:
                lines.append(f"reveal_type({facade.__name__}.{name})")
                expected[len(lines) - 1] = f'is "type[{name}'
    assert len(expected) > 500
    path = tmp_path / "names.py"
    path.write_text("\n".join(lines), encoding="utf-8")
    command = ["-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(path)]
    run = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    said = json.loads(run.stdout)["generalDiagnostics"]
    assert [each["message"] for each in said if each["severity"] == "error"] == []
    seen = {each["range"]["start"]["line"]: each["message"] for each in said}
    assert [line for line, text in expected.items() if text not in seen.get(line, "")] == []
