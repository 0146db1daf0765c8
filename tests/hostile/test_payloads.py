"""A file names registered components alone: reading one runs no code and imports none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.hostile.reading import PAYLOADS

ROOT = Path(__file__).parents[2]

CANARY = """
open("canary.txt", "w").close()

class Fire: ...

def fire(*arguments, **options): ...
"""


def run(folder: Path, *arguments: str) -> Any:
    """The JSON that a fresh process prints at last; it could import the canary of its folder."""
    (folder / "canary.py").write_text(CANARY, encoding="utf-8")
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **paths},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def assert_refused(folder: Path, tried: str, attempts: int) -> None:
    done = run(folder, "-m", "tests.hostile.reading", tried)
    assert done["faults"] == {}
    assert done["attempts"] > attempts


def test_a_payload_is_refused_and_does_nothing(tmp_path: Path):
    assert_refused(tmp_path, "some", 100)


@pytest.mark.slow
def test_every_payload_is_refused_through_every_way_in(tmp_path: Path):
    assert_refused(tmp_path, "all", 1000)


@pytest.mark.slow
def test_a_payload_in_the_file_of_a_run_is_refused_before_it_trains(tmp_path: Path):
    assert_refused(tmp_path, "fit", 150)


def test_the_canary_flies_where_a_payload_is_believed(tmp_path: Path):
    believed = "import importlib, json, sys; importlib.import_module('canary'); print('{}')"
    run(tmp_path, "-c", believed)
    assert (tmp_path / "canary.txt").exists()


def test_the_table_holds_the_published_ways():
    text = str(PAYLOADS)
    for way in (
        "_target_",
        "class_path",
        "_instantiator",
        "registered_name",
        "!!python/object/new",
    ):
        assert way in text


FILES = {
    "yaml": "optimizer: {name: adamw, lr: 0.1}\nlr_scheduler: {name: cosine}\n",
    "json": '{"optimizer": {"name": "sgd"}, "lr_scheduler": {"name": "step_lr", "step_size": 3}}',
    "toml": 'optimizer = {name = "lion"}\nlr_scheduler = {name = "reduce_lr_on_plateau"}\n',
}

LOAD = """
import json, sys
import nshtrainer
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig

class MyConfig(nshtrainer.Config):
    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig

before = set(sys.modules)
MyConfig.from_file(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("suffix", FILES)
def test_loading_imports_nothing_but_this_package_and_its_parser(tmp_path: Path, suffix: str):
    file = tmp_path / f"run.{suffix}"
    file.write_text(FILES[suffix], encoding="utf-8")
    new = {name.partition(".")[0] for name in run(tmp_path, "-c", LOAD, str(file))}
    assert "nshtrainer" in new
    # Before 0.19 ruamel's own scanner is a module in C.
    in_c = {name for name in new if "cython" in name} | {"_ruamel_yaml"}
    parser = {"yaml": {"ruamel"} | in_c, "json": set[str](), "toml": {"tomli_w", "tomli"}}[suffix]
    assert new - sys.stdlib_module_names <= {"nshtrainer", "pydantic"} | parser
