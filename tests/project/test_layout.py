"""The layout of the package and of its tests: sizes of files and folders, and names."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

from tools.metrics import code_lines, functions

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/nshtrainer"


def test_no_test_file_is_long() -> None:
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in ROOT.glob("tests/**/*.py")}
    assert {str(path): size for path, size in sizes.items() if size > 400} == {}


def test_no_folder_has_many_modules() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE, PACKAGE / "cli/commands"}
    counts = {str(folder): len([*folder.glob("[!_]*.py")]) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > 16} == {}


def test_folders_of_unit_tests_are_those_of_the_package() -> None:
    unit = ROOT / "tests/unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")}
    assert {folder for folder in folders if not (PACKAGE / folder).is_dir()} == set()


def test_no_module_is_long() -> None:
    generated = {"index.py", "pytorch_optimizer.py"}
    paths = [path for path in PACKAGE.rglob("*.py") if path.name not in generated]
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in paths}
    long = {str(path.relative_to(PACKAGE)) for path, size in sizes.items() if size > 400}
    assert long == {"optimizer/third_party/bitsandbytes.py"}  # fifteen configs of one package


def test_functions_are_short() -> None:
    sizes: dict[str, int] = {}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        code = code_lines(text, tree)
        for function in functions(tree):
            lines = range(function.lineno, (function.end_lineno or function.lineno) + 1)
            sizes[f"{path}:{function.lineno}"] = len(code.intersection(lines))
    assert {name: size for name, size in sizes.items() if size > 40} == {}
    assert 5 <= median(sizes.values()) <= 8
