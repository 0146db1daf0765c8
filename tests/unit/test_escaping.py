"""Text on its way out is what it looks like: for terminals, XML, JSON, tables, and CI services."""

from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.support import is_command

from nshtrainer.escaping import csv_cell, json_text, printable, printable_lines, xml_text
from nshtrainer.exceptions import ConfigError, NshtrainerError, NshtrainerWarning

ANYTHING = st.text(
    st.characters(codec=None) | st.sampled_from("\x1b\x9b\n\r\t\0\u2028\u202e\ud800")
)


@given(text=ANYTHING)
def test_any_text_becomes_one_printable_line(text: str) -> None:
    line = printable(text)
    assert line.isprintable()
    assert len(line.splitlines()) <= 1
    line.encode()


@given(text=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_letters_and_signs_stay_as_they_are(text: str) -> None:
    assert printable(text) == text.replace("\xa0", "\\xa0") or not text.isprintable()


@given(text=ANYTHING)
def test_xml_of_any_text_is_parsed_back_as_its_printable_form(text: str) -> None:
    parsed = ET.fromstring(f'<a b="{xml_text(text)}">{xml_text(text)}</a>')
    assert (parsed.text or "", parsed.get("b")) == (printable(text), printable(text))


@given(value=st.dictionaries(ANYTHING, ANYTHING | st.integers()))
def test_json_keeps_its_values(value: dict[str, str | int]) -> None:
    plain = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(json_text(plain)) == json.loads(plain)
    assert json_text(plain).replace("\n", "").isprintable()


@given(text=st.builds("{}{}".format, st.sampled_from(["", *"=+-@\t\r\n \uff1d"]), ANYTHING))
def test_no_cell_is_a_formula(text: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([csv_cell(text), 1])
    ((cell, one),) = csv.reader(io.StringIO(buffer.getvalue()))
    assert (cell.removeprefix("'"), one) == (printable(text).removeprefix("'"), "1")
    assert cell[:1] not in set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


@pytest.mark.parametrize(
    "line", ["::error::x", "  ::set-output a=b", "##[error]x", "a ##vso[task]x", "##teamcity[x]"]
)
def test_no_line_is_a_command_to_a_ci_service(line: str) -> None:
    shown = printable_lines(f"first\n{line}\n{line}")
    assert len(shown.splitlines()) == 3
    assert "\n" not in printable_lines(line)
    assert not any(map(is_command, shown.splitlines()))
    assert not is_command(json_text(json.dumps(line)))
    assert json.loads(json_text(json.dumps(line))) == line
    assert printable_lines("a::b\n# c\n##d") == "a::b\n# c\n##d"


def kinds(base: type) -> list[type]:
    return [base, *(kind for each in base.__subclasses__() for kind in kinds(each))]


@pytest.mark.parametrize("kind", [*kinds(NshtrainerError), *kinds(NshtrainerWarning)])
def test_the_message_of_every_error_and_warning_is_safe_to_print(kind: type[Exception]) -> None:
    assert str(kind("a\x1b[2J\n::error::b")) == "a\\x1b[2J\n\\x3a:error::b"
    assert str(kind()) == ""


def test_a_line_of_a_config_error_stays_one_line() -> None:
    from nshtrainer.configs import AdamWConfig

    with pytest.raises(ConfigError) as caught:
        AdamWConfig.from_mapping({"lr\nrun.yaml: ok": 1, "betas": "\x1b[2J"})
    assert len(str(caught.value).splitlines()) == 2
