"""The example notebook runs in a kernel, and its outputs are what a reader should see."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


def test_the_notebook_is_saved_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells if cell.outputs or cell.execution_count] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the client's, which are none of ours
def test_the_notebook_shows_tables_pictures_and_short_errors(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=folder).execute()
    _, table, text, picture, both, error, loss = (
        next(iter(cell.outputs), {}) for cell in notebook.cells if cell.cell_type == "code"
    )
    assert_is_a_table(table)
    assert text["text"].startswith("AdamWConfig(lr=0.003, groups=(ParameterGroupConfig(")
    assert_is_a_picture(picture, "warm-up")
    assert_is_a_picture(both, "linear")
    ET.parse(tmp_path / "schedules.svg")
    line, message = error["traceback"]
    assert line.startswith("line 1, in <module>: AdamWConfig.from_yaml(")
    assert "did you mean 'weight_decay'?" in message
    assert loss["text"].startswith("loss: ")


def assert_is_a_table(output: Any) -> None:
    table = ET.fromstring(f"<body>{output['data']['text/html']}</body>")
    rows = {row[0].text: row[1].text for row in table.findall("table/tr")}
    assert rows["lr"] == "0.003"
    assert rows["groups.0.select"] == "'2'"
    assert len(output["data"]["text/plain"]) < 200


def assert_is_a_picture(output: Any, label: str) -> None:
    svg = ET.fromstring(output["data"]["image/svg+xml"])
    assert label in {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert output["data"]["text/html"].startswith('<img src="data:image/svg+xml;base64,')
    assert len(output["data"]["text/plain"]) < 200
