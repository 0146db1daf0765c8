"""IPython shows configs, and completes and describes their fields."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pydantic import Field, SecretStr

from nshtrainer import Config
from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    LRSchedulerConfig,
    OptimizerConfig,
    ParameterGroupConfig,
    SGDConfig,
)

formatters = pytest.importorskip("IPython.core.formatters", reason="IPython is not installed")
completer = pytest.importorskip("IPython.core.completer")
oinspect = pytest.importorskip("IPython.core.oinspect")
pretty = pytest.importorskip("IPython.lib.pretty").pretty
version_info = pytest.importorskip("IPython").version_info

HOSTILE = "</td><script>alert(1)</script>\x1b[2J"


class Training(Config):
    optimizer: OptimizerConfig = AdamWConfig()
    """How weights are updated."""
    lr_scheduler: LRSchedulerConfig | None = None
    note: str = ""
    token: SecretStr = SecretStr("")
    password: str = Field("secret", repr=False)


def table_of(config: Config) -> dict[str, tuple[str, str, bool]]:
    """The rows of a table: value, meaning, and whether it is dimmed."""
    data, _ = formatters.DisplayFormatter().format(config)
    page = ET.fromstring(f"<body>{data['text/html']}</body>")
    assert {each.tag for each in page.iter()} <= {"body", "strong", "table", "tr", "td", "th"}
    rows = page.findall("table/tr")[1:]
    cells = [["".join(cell.itertext()) for cell in row] for row in rows]
    styles = ["opacity" in row.get("style", "") for row in rows]
    return {
        name: (value, text, dim) for (name, value, text), dim in zip(cells, styles, strict=True)
    }


def test_a_config_is_a_table_with_its_defaults_dimmed() -> None:
    rows = table_of(AdamWConfig(lr=0.1))
    assert list(rows) == list(AdamWConfig.model_fields)
    assert rows["lr"] == (
        "0.1",
        "Learning rate: about the size of one update of one weight.",
        False,
    )
    assert {name for name, (*_, dim) in rows.items() if not dim} == {"lr"}


def test_configs_within_a_config_have_rows_for_what_differs() -> None:
    group = ParameterGroupConfig(name="head", select={"role": "head"}, lr_mult=2)  # type: ignore[arg-type]
    schedule = CosineScheduleConfig(warmup_duration="10%")
    rows = table_of(Training(optimizer=SGDConfig(groups=(group,)), lr_scheduler=schedule))
    values = {name: value for name, (value, *_) in rows.items()}
    assert values["optimizer"] == "SGDConfig"
    assert values["optimizer.groups"] == "tuple of 1"
    assert values["optimizer.groups.0.select.role"] == "'head'"
    assert values["lr_scheduler.warmup_duration"] == "10%"
    assert "optimizer.momentum" not in values
    assert table_of(Training())["optimizer"][0] == "AdamWConfig()"


def test_what_is_kept_out_of_the_repr_is_not_in_the_table() -> None:
    config = Training(token=SecretStr("hidden"), password="hidden")
    data, _ = formatters.DisplayFormatter().format(config)
    assert "hidden" not in f"{data}{config}"
    assert "password" not in f"{data}"


def test_a_hostile_name_is_shown_and_not_obeyed() -> None:
    rows = table_of(Training(note=HOSTILE))
    assert rows["note"][0] == repr(HOSTILE)
    long = table_of(Training(note="x" * 10_000))
    assert len(long["note"][0]) == 200


def test_a_short_config_is_one_line_and_a_long_one_several() -> None:
    assert pretty(AdamWConfig(lr=0.1)) == "AdamWConfig(lr=0.1)"
    config = Training(optimizer=SGDConfig(lr=0.1, momentum=0.9, nesterov=True), note="n" * 60)
    text = pretty(config)
    assert eval(text, globals()) == config
    assert len(text.splitlines()) == 3


def test_help_in_ipython_has_each_fields_text() -> None:
    theme = {} if version_info < (9,) else {"theme_name": "nocolor"}
    info = oinspect.Inspector(**theme).info(AdamWConfig, "AdamWConfig")
    assert "lr (float, >= 0, default 0.001): Learning rate: about the size" in info["docstring"]
    assert "betas: tuple[float, float] = (0.9, 0.999)" in info["init_definition"]
    assert "Annotated" not in info["init_definition"]


@pytest.mark.parametrize("use_jedi", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_names_of_fields_are_completed(use_jedi: bool) -> None:
    names: dict[str, Any] = {"AdamWConfig": AdamWConfig, "config": AdamWConfig()}
    ip = completer.IPCompleter(namespace=names, global_namespace={}, use_jedi=use_jedi)

    def complete(text: str) -> set[str]:
        with completer.provisionalcompleter():
            return {each.text for each in ip.completions(text, len(text))}

    assert "weight_decay=" in complete("AdamWConfig(lr=0.1, weig")
    assert {"betas=", "lr="} <= complete("AdamWConfig(")
    assert any("weight_decay" in each for each in complete("config.weig"))
    assert any("from_yaml" in each for each in complete("AdamWConfig.from_y"))
