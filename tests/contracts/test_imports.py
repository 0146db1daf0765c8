"""What is imported when, as far as import-linter cannot say it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "nshtrainer"
HEAVY = {"lightning", "numpy", "pandas", "pytorch_lightning", "torch", "torchmetrics"}
ON_USE = {"rich", "ruamel", "tensorboard", "tomli_w"}

# They hold classes of torch's and are themselves imported on use.
TORCH_MODULES = {
    "lr_scheduler/driver/clock.py",
    "lr_scheduler/driver/foreign_values.py",
    "lr_scheduler/driver/hyperparameters.py",
    "lr_scheduler/driver/metric_scheduler.py",
    "lr_scheduler/driver/optimizer_hooks.py",
    "lr_scheduler/driver/scheduled_groups.py",
    "lr_scheduler/driver/scheduler.py",
    "optimizer/routed_optimizer.py",
    "optimizer/torch_optim/portable_muon.py",
    "optimizer/wrappers/hooks.py",
    "optimizer/wrappers/sam.py",
    "telemetry.py",
}
UPPER_FLOORS = ("analysis/", "cli/", "integrations/", "runs/")


NEEDS_NO_TORCH = [
    "from nshtrainer.exceptions import ConfigError",
    "import nshtrainer",
    "import nshtrainer.configs",
    "from nshtrainer.configs import AdamWConfig; AdamWConfig(lr=1e-3)",
    "from nshtrainer.configs import ReduceLROnPlateauConfig; ReduceLROnPlateauConfig()",
    "from nshtrainer.optimizer import AdamWConfig, AOAdamW8bitConfig; AdamWConfig(lr=1e-3)",
    "from nshtrainer.lr_scheduler import ReduceLROnPlateauConfig; ReduceLROnPlateauConfig()",
    "from nshtrainer import Config, RunLength, TrainerConfig; TrainerConfig()",
    "from nshtrainer import TrainerConfig; TrainerConfig(logger='wandb', callbacks=['timer'])",
]
READS = """
import nshtrainer
class MyConfig(nshtrainer.Config):
    rate: float
MyConfig.from_yaml('rate: 1.0')
"""
INDEXED = [
    "from nshtrainer.configs import AdamWConfig, LookaheadConfig",
    "from nshtrainer.optimizer import AdamWConfig, LookaheadConfig, torch_optim",
    "from nshtrainer.optimizer import optimizer_registry; optimizer_registry['adamw']",
    "from nshtrainer.optimizer import optimizer_registry; len(optimizer_registry)",
    "from nshtrainer.cli import main; main(['list'])",
]
PROGRAM = """
import json, os, sys
import pydantic, typing_extensions  # which are the slow part, and the same for all

for code in json.loads(sys.argv[1]):
    if os.fork() == 0:
        exec(code, {})
        print("\\nMODULES", json.dumps([code, sorted(sys.modules)]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def modules_after() -> dict[str, set[str]]:
    """The modules that are there after each of these programs, which know nothing of each other."""
    codes = json.dumps([*NEEDS_NO_TORCH, READS, *INDEXED])
    command = [sys.executable, "-c", PROGRAM, codes]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line for line in printed.splitlines() if line.startswith("MODULES ")]
    found = dict(json.loads(row.removeprefix("MODULES ")) for row in rows)
    return {code: set(modules) for code, modules in found.items()}


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("code", NEEDS_NO_TORCH)
def test_a_config_needs_neither_torch_nor_a_parser(
    modules_after: dict[str, set[str]], code: str
) -> None:
    assert not packages(modules_after[code]) & (HEAVY | ON_USE)


def test_reading_a_file_needs_no_torch(modules_after: dict[str, set[str]]) -> None:
    assert not packages(modules_after[READS]) & HEAVY


def imported_at_once(tree: ast.AST) -> Iterator[str]:
    """Packages that a module imports at once: neither in a function nor for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imported_at_once(node)


def lower_floors() -> list[str]:
    paths = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    return [path for path in paths if not path.startswith(UPPER_FLOORS)]


@pytest.mark.parametrize("path", [p for p in lower_floors() if p not in TORCH_MODULES])
def test_below_the_trainers_torch_is_imported_on_use(path: str) -> None:
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    assert not set(imported_at_once(tree)) & HEAVY


@pytest.mark.parametrize("path", [p for p in lower_floors() if "/curves/" in p])
def test_curves_need_the_standard_library_alone(path: str) -> None:
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    assert set(imported_at_once(tree)) - {"nshtrainer"} <= sys.stdlib_module_names


@pytest.mark.parametrize("code", INDEXED)
def test_what_is_in_an_index_is_imported_when_its_name_is_used(
    modules_after: dict[str, set[str]], code: str
) -> None:
    assert "nshtrainer.optimizer.base" in modules_after[code]
    assert "nshtrainer.optimizer.third_party.pytorch_optimizer" not in modules_after[code]
