"""Names that would reach a terminal, a picture, a table or a CI service: none of them is obeyed."""

from __future__ import annotations

import ast
import csv
import json
import warnings
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.cli.support import TRAIN, is_command

import nshtrainer
from nshtrainer.cli import main
from nshtrainer.config.display.html import html_table
from nshtrainer.configs import AdamWConfig, CosineScheduleConfig, SchedulesConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.runs.reports import quiet

NAMES = {
    "escape": "a\x1b[2J\x1b]0;title\x07",
    "C1": "a\x9b2J",
    "newline": "a\nrun.yaml: ok",
    "return": "a\rok",
    "annotation": "\n::error file=a::forged",
    "Azure": "\n##[error]forged",
    "Azure within": "a##vso[task.complete]b",
    "direction": "a\u202eb",
    "line separator": "a\u2028b",
    "markup": "<b onload='x'>&\"",
    "rich": "[red]a[/red]",
    "formula": "=1+1",
    "at": "@a",
    "mathtext": "$\\frac{$",
}
FILES = {kind: name.replace("/", "-") for kind, name in NAMES.items()}

SHOWN = {"body", "strong", "table", "tr", "td", "th", "img", "div"}
"""The elements of what a notebook shows."""

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(TRAIN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: Captured, *arguments: str) -> str:
    """Run the command line, and return what it printed, after a look at each line."""
    with suppress(SystemExit):  # argparse
        main(arguments)
    printed = capsys.readouterr()
    for line in (printed.out + printed.err).split("\n"):
        assert line.isprintable(), line
        assert not is_command(line), line
        assert line != "run.yaml: ok"
    return printed.out + printed.err


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_a_key_or_a_value_of_a_file_is_shown_and_not_obeyed(
    name: str, home: Path, capsys: Captured
) -> None:
    file = home / "given.json"
    texts = [
        {"model": {name: 1, "optimizer": {"name": "adamw", name: 1, "lr": name}}},
        {"model": {"optimizer": {"name": name}}, name: {"name": "adamw"}},
        {name: {name: {"name": "sgd", "lr": -1}}, "x": {name: 1}},
        {"optimizer": {"name": "sgd", "groups": [{"name": name, "select": name}]}},
        {"lr_scheduler": {"name": "schedules", "groups": {name: {name: {"follows": name}}}}},
        {"trainer": {"primary_metric": {"monitor": name, "mode": name}, "max_time": name}},
    ]
    for data in texts:
        file.write_text(json.dumps(data), encoding="utf-8")
        assert run(capsys, "validate", "given.json")
    assert run(capsys, "plot", "given.json", f"lr_scheduler.{name}={name}")
    assert run(capsys, "diff", "given.json", "given.json", name)
    assert run(capsys, "show", name)


@pytest.mark.parametrize("name", FILES.values(), ids=list(FILES))
def test_the_name_of_a_file_is_shown_and_not_obeyed(
    name: str, home: Path, capsys: Captured
) -> None:
    file = Path(f"{name}.yaml")
    assert run(capsys, "validate", f"./{file}", str(file))
    assert run(capsys, "explain", "train.py", "--config", str(file))
    file.write_text("lr_scheduler: {name: cosine}\noptimizer: {name: adamw}\n", encoding="utf-8")
    assert run(capsys, "validate", str(file))
    plot = ("plot", "--total-steps", "10", "--", str(file), str(file))
    assert run(capsys, *plot)
    for suffix in ("svg", "html", "csv", "json", "png"):
        assert run(capsys, "plot", "--out", f"{name}.{suffix}", *plot[1:])
    for suffix in ("svg", "html"):
        ET.parse(Path(f"{name}.{suffix}"))
    with Path(f"{name}.csv").open(newline="", encoding="utf-8") as stream:
        assert not any(row[0][:1] in set("=+-@\t\r") for row in csv.reader(stream))


class Noted(nshtrainer.Config):
    note: str


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_what_a_notebook_or_a_prompt_shows_obeys_no_name(name: str) -> None:
    config = Noted(note=name)
    picture = CosineScheduleConfig().plot(total_steps=10, label=name)
    for html in (config._repr_html_(), picture._repr_html_(), html_table([name], [[name]])):
        page = ET.fromstring(f"<body>{html}</body>")
        assert {each.tag for each in page.iter()} <= SHOWN
        assert not {key for each in page.iter() for key in each.attrib} - {"style", "src", "alt"}
    ET.fromstring(picture._repr_svg_())
    error = ConfigError(f"{name}: invalid")
    for shown in (repr(config), f"{picture!r}\n{picture}", *error._render_traceback_()):
        for line in shown.split("\n"):
            assert line.isprintable()
            assert not is_command(line)
    assert eval(repr(config)) == config


@pytest.mark.parametrize("name", ["::error::x", "a ##[error]x", "##vso[task.complete]"])
def test_the_name_of_a_group_is_no_command_in_a_table(
    name: str, home: Path, capsys: Captured
) -> None:
    groups = [{"name": name, "select": "*", "lr_mult": 0.5}]
    config = {"model": {"optimizer": {"name": "adamw", "groups": groups}}}
    Path("run.json").write_text(json.dumps(config), encoding="utf-8")
    explain = ("explain", "train.py", "--config", "run.json")
    assert name[-5:] in run(capsys, *explain)
    assert run(capsys, *explain, "--json")
    assert run(capsys, "plot", "run.json", "lr_scheduler=cosine", "--total-steps", "10")


@pytest.mark.parametrize("kind", ["escape", "C1", "newline", "return", "direction"])
def test_a_name_for_tables_and_loggers_has_no_control_characters(kind: str) -> None:
    name = NAMES[kind]
    rule = {"name": name, "select": "*", "lr_mult": 2}
    with pytest.raises(ConfigError, match=r"groups\.0\.name: .* has control characters"):
        AdamWConfig.from_mapping({"groups": [rule]})
    with pytest.raises(ConfigError, match="has control characters"):
        SchedulesConfig.from_mapping({"groups": {name: {"lr": {"name": "cosine"}}}})


PRINTS = {
    "complete": 1,
    "completion": 1,
    "console": 2,
    "explain": 1,
    "plot": 1,
    "runs": 1,
    "schema": 1,
}
"""Modules that print what is made for a program, or a picture; the rest goes through `say`."""


def test_the_package_prints_in_one_place() -> None:
    found: dict[str, int] = {}
    package = Path(nshtrainer.__file__).parent
    for path in {*package.glob("**/*.py")} - {*package.glob("cli/templates/**/*.py")}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
                found[path.stem] = found.get(path.stem, 0) + 1
    assert found == PRINTS


def test_warnings_of_others_obey_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    name = "run\n##[error]forged\x1b[2J"
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: print(message)
        with quiet():
            warnings.warn(f"Checkpoint directory {name} exists and is not empty.", stacklevel=1)
            warnings.warn(f"{name} is odd", stacklevel=1)
    assert capsys.readouterr().out == "run\n\\x23#[error]forged\\x1b[2J is odd\n"
