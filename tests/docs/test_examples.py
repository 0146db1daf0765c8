"""Every example runs, and prints what its docstring says."""

from __future__ import annotations

import ast
import logging
import re
import runpy
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from nshtrainer.cli import main
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.optimizer import optimizer_registry

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))
README = EXAMPLES.parent / "README.md"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def promised(script: Path) -> str:
    """The indented text after `Prints:` in the docstring."""
    doc = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    return textwrap.dedent(doc.partition("Prints:\n\n")[2]).strip()


def test_the_examples_are_numbered_without_a_gap() -> None:
    assert [int(script.name[:2]) for script in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))


def lacking(script: Path) -> list[str]:
    """The extra that a script says it needs, where that is not installed."""
    doc = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    needed = re.findall(r"It needs the extra `(\w+)`", doc)
    return [extra for extra in needed if find_spec(extra) is None]


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    """Undo what an example says of logging, as a whole program may."""
    loggers = [each for each in logging.root.manager.loggerDict.values() if hasattr(each, "level")]
    before = [(each, each.__dict__.copy()) for each in (logging.root, *loggers)]
    yield
    for logger, attributes in before:
        vars(logger).update(attributes)


@pytest.mark.usefixtures("_logging_as_it_was")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_prints_what_its_docstring_says(
    script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for extra in lacking(script):
        pytest.skip(f"{extra} is not installed; make test-peers runs it")
    monkeypatch.setattr(sys, "argv", [str(script)])
    # What is registered in the block is forgotten after it; ours has to be there before.
    assert all(map(len, (optimizer_registry, lr_scheduler_registry)))
    with optimizer_registry.scoped(), lr_scheduler_registry.scoped():
        runpy.run_path(str(script), run_name="__main__")
    assert promised(script)
    assert capsys.readouterr().out.strip() == promised(script)


def test_the_digits_are_learned_as_well_as_the_readme_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = EXAMPLES / "digits"
    assert main(["fit", f"{folder}/train.py", "--config", f"{folder}/digits.yaml"]) == 0
    out = capsys.readouterr().out
    best = re.search(r"^best +val/accuracy ([\d.]+)  (\S+)$", out, re.MULTILINE)
    assert best
    named = re.search(r"accuracy of more than (\d+) %", README.read_text(encoding="utf-8"))
    assert named
    assert float(best[1]) > int(named[1]) / 100 >= 0.96
    assert Path(best[2]).is_file()
    assert re.search(r"^results   runs/digits/", out, re.MULTILINE)


def test_the_tutorial_shows_the_file_of_the_digits() -> None:
    tutorial = README.with_name("docs") / "tutorials" / "first-run.md"
    shown = re.search(r"^```yaml\n(.*?)^```", tutorial.read_text(), re.DOTALL | re.MULTILINE)
    assert shown
    yaml = YAML(typ="safe")
    assert yaml.load(shown[1]) == yaml.load(EXAMPLES / "digits" / "digits.yaml")


def test_the_file_of_the_digits_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    folder = EXAMPLES / "digits"
    target = f"{folder}/train.py"
    assert main(["validate", f"{folder}/digits.yaml", "--for", target]) == 0
    assert "ok, every section" in capsys.readouterr().out
