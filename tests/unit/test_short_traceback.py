"""In a notebook an error shows the lines of the user's code and its message."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator

from nshtrainer import Config
from nshtrainer.exceptions import ConfigError, NshtrainerError
from nshtrainer.short_traceback import short_traceback


class Picky(Config):
    number: int

    @field_validator("number")
    @classmethod
    def _known(cls, number: int) -> Any:
        return {}[number]


def test_the_lines_are_those_of_the_user_and_not_of_libraries() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_yaml("a: 1")
    *frames, message = caught.value._render_traceback_()
    assert len(frames) == 1
    assert frames[0].startswith(f"{__file__}, line ")
    assert frames[0].endswith('Config.from_yaml("a: 1")')
    assert message.startswith("ConfigError: <yaml>:1:1: a: unknown key 'a'")


def test_the_line_of_the_users_code_that_was_the_cause_follows() -> None:
    with pytest.raises(ConfigError) as caught:
        Picky.from_yaml("number: 1")
    first, second, message = caught.value._render_traceback_()
    assert 'Picky.from_yaml("number: 1")' in first
    assert second.endswith("in _known: return {}[number]")
    assert message == "ConfigError: <yaml>: KeyError while checking it as Picky: 1"


def test_a_cell_of_a_notebook_has_no_file() -> None:
    code = compile("Config.from_yaml('a: 1')", "/tmp/ipykernel_1/2.py", "exec")
    with pytest.raises(ConfigError) as caught:
        exec(code, {"Config": Config})
    assert caught.value._render_traceback_()[-2].startswith("line 1, in <module>: ")


def test_the_error_that_is_handled_is_shown() -> None:
    try:
        raise ValueError("bad")  # noqa: TRY301
    except ValueError:
        assert short_traceback()[-1] == "ValueError: bad"


def test_what_is_shown_obeys_no_name_and_has_the_notes() -> None:
    error = NshtrainerError("a\x1b[2J")
    if sys.version_info >= (3, 11):
        error.add_note("b\x1b[2J")
    assert (
        short_traceback(error)[:2]
        == ["NshtrainerError: a\\x1b[2J", "b\\x1b[2J"][: 1 + (sys.version_info >= (3, 11))]
    )


def test_an_invalid_file_has_one_traceback(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_yaml("a: 1")
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
