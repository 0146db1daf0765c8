"""The script that counts the functions between a config and torch."""

from __future__ import annotations

import re
from operator import gt
from pathlib import Path

import pytest
from tools.data_way import events_of, main, passed

import nshtrainer
from nshtrainer.configs import AdamWConfig

PACKAGE = Path(nshtrainer.__file__).parent

MOST = {"configure_optimizers to AdamW": (49, 14), "warmup_duration to the driver": (73, 18)}
"""The most functions and files on each way: a change that needs more explains why."""


def test_functions_of_nshtrainer_between_two_events_are_counted_once() -> None:
    config = AdamWConfig(lr=1e-3)
    way = passed(events_of(lambda: [config.replace(lr=2e-3) for _ in range(2)]), "replace")
    names = [each.partition(" ")[2] for each in way]
    assert names[0] == "replace"
    assert len(names) == len(set(way))
    assert not [name for name in names if name.startswith("<")]
    assert all((PACKAGE / each.partition(":")[0]).is_file() for each in way)


def test_the_way_ends_with_the_first_function() -> None:
    config = AdamWConfig(lr=1e-3)

    def run() -> None:
        config.replace(lr=2e-3)
        config.to_yaml()

    assert not [each for each in passed(events_of(run), "replace") if "to_yaml" in each]


def test_no_way_has_more_functions_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--list"])
    out = capsys.readouterr().out
    found = re.findall(r"^(.*?)  +(\d+) functions in (\d+) files$", out, re.MULTILINE)
    counts = {name: (int(functions), int(files)) for name, functions, files in found}
    assert counts.keys() == MOST.keys()
    assert {name: most for name, most in MOST.items() if any(map(gt, counts[name], most))} == {}
    assert " build_optimizer\n" in out
    assert " create_scheduler_impl\n" in out
