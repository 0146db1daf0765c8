"""A short run of `make attack`, and that what fails in it is seen."""

from __future__ import annotations

import random
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.attack.failing import CATEGORY
from tools.attack import frame
from tools.attack.__main__ import main
from tools.attack.categories import MODULES
from tools.attack.hostile_names import FORGED, look_at_file, look_at_lines
from yaml import YAMLError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it kills groups of processes")

KINDS = {
    "_raise": "_raise: what must not happen",
    "_fault": "_fault: Traceback (most recent call last):",
    "_crash": "_crash: ended with code -11",
    "_hang": "_hang: no end after 5 s",
}


def test_what_raises_crashes_or_hangs_is_counted_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(frame, "MOST_SECONDS", 5)
    name = "tests.attack.failing"
    drawn = [CATEGORY.draw(random.Random(f"{name} 24 {number}")).label for number in range(5)]
    assert {*KINDS, "_read"} == set(drawn)
    first = drawn.index("_hang")
    report = frame.attack([name], tmp_path, seed=24, seconds=600, most=5)
    said = capsys.readouterr().out
    failed = [label for label in drawn if label in KINDS]
    assert (report.tried["failing"], report.failed["failing"]) == (5, len(failed))
    for label in failed:
        assert f"failed  failing: {KINDS[label]}" in said
    assert f"--only failing --seed 24 --first {first} --most 1\n" in said
    assert report.text().splitlines()[-1].split() == ["all,", "seed", "24", "5", str(len(failed))]


def test_the_time_is_a_limit(tmp_path: Path) -> None:
    report = frame.attack(["tests.attack.failing"], tmp_path, seed=3, seconds=0, most=99)
    assert report.tried.total() == 1


@pytest.mark.parametrize("name", MODULES)
def test_a_category_draws_the_same_from_the_same_numbers(name: str) -> None:
    draw = import_module(MODULES[name]).CATEGORY.draw
    labels = [draw(random.Random(number)).label for number in range(20)]
    assert labels == [draw(random.Random(number)).label for number in range(20)]
    assert len(set(labels)) > 5


@pytest.mark.parametrize(
    "said",
    [
        "\x1b[2J",
        "a\rb",
        "\u202ea",
        "\ud800",
        f"a\n{FORGED}\n",
        " ::error::a",
        "##[error]a",
        "a ##vso[task.x]b",
        "Traceback",
    ],
)
def test_what_would_be_obeyed_is_seen(said: str) -> None:
    look_at_lines("run.yaml: no\na ::error::b, which is shown\n")
    with pytest.raises(frame.FailedError):
        look_at_lines(said)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("csv", "step,=1+1\n"),
        ("csv", "a\x1bb\n"),
        ("json", '{"a": "\x9b2J"}'),
        ("svg", "<svg><b>a</b></svg>"),
        ("html", "<html>\x1b</html>"),
        ("yaml", "a: \x1b"),
    ],
)
def test_a_file_that_would_be_obeyed_is_seen(tmp_path: Path, suffix: str, content: str) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_text(content, encoding="utf-8")
    with pytest.raises((frame.FailedError, ET.ParseError, YAMLError)):
        look_at_file(path)


def test_a_short_attack_fails_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--most", "2", "--only", "damaged", "output", "signals", "writers"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert said.splitlines()[-1].split() == ["all,", "seed", "0", "8", "0"]
