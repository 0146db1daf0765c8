"""A picture of schedules is shown in notebooks, printed, laid over another and saved."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from nshtrainer import RunLength
from nshtrainer.configs import (
    CosineScheduleConfig,
    LinearScheduleConfig,
    ReduceLROnPlateauConfig,
)
from nshtrainer.exceptions import ConfigError, ScheduleError
from nshtrainer.lr_scheduler import LRSchedulerConfigBase
from nshtrainer.plotting import FORMATS, rendered

COSINE = CosineScheduleConfig(warmup_duration="10%")
HOSTILE = '"/><script>alert(1)</script>\x1b[2J'


def names_in(svg: str) -> list[str | None]:
    return [text.text for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_schedule_is_drawn_for_a_run_or_a_number_of_steps() -> None:
    run = RunLength(1000, base_lr=1e-3)
    picture = COSINE.plot(run)
    assert picture == COSINE.plot(total_steps=1000, base_lr=1e-3)
    assert picture.plots[0].preview == COSINE.preview(run)
    assert COSINE.plot(total_steps=1000).plots[0].preview.series[0].kind == "factor"
    assert repr(picture) == f"<Picture of cosine: {COSINE.describe(run)}>"


def test_the_length_is_given_once() -> None:
    with pytest.raises(ScheduleError, match="plot takes run, or total_steps and base_lr"):
        COSINE.plot(RunLength(10), total_steps=10)
    with pytest.raises(ScheduleError, match="plot takes run, or total_steps and base_lr"):
        COSINE.plot(RunLength(10), base_lr=0.1)
    with pytest.raises(ScheduleError, match=r"the run length of builtins\.int is unknown"):
        COSINE.plot(1000)
    with pytest.raises(ScheduleError, match="total_steps"):
        COSINE.plot()


def test_what_has_no_values_before_it_runs_is_not_drawn() -> None:
    config: LRSchedulerConfigBase = ReduceLROnPlateauConfig(
        metric={"monitor": "loss", "mode": "min"}  # type: ignore[arg-type]
    )
    with pytest.raises(ScheduleError, match="there is nothing to draw"):
        config.plot(total_steps=10)


def test_pictures_are_laid_over_each_other_with_distinct_names() -> None:
    cosine, linear = (each.plot(total_steps=100) for each in (COSINE, LinearScheduleConfig()))
    both = cosine + linear + cosine + COSINE.plot(total_steps=50, label="short")
    assert [plot.label for plot in both.plots] == ["cosine", "linear", "cosine (2)", "short"]
    assert {"cosine", "linear", "cosine (2)", "short"} <= {*names_in(both._repr_svg_())}


def test_a_notebook_gets_an_image_whose_styles_stay_in_it() -> None:
    picture = COSINE.plot(total_steps=100)
    html = picture._repr_html_()
    image = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert image is not None
    assert b64decode(image[1]).decode() == picture._repr_svg_()
    assert "<style" not in html
    assert "svg { background: #ffffff }" in picture._repr_svg_()


def test_a_hostile_label_is_shown_and_not_obeyed() -> None:
    picture = COSINE.plot(total_steps=100, label=HOSTILE)
    body = ET.fromstring(f"<body>{picture._repr_html_()}</body>")
    assert [each.tag for each in body.iter()] == ["body", "img", "div"]
    assert not [each for each in ET.fromstring(picture._repr_svg_()).iter() if "script" in each.tag]
    assert "\x1b" not in f"{picture!r}{picture}"


def test_only_a_picture_is_added_to_a_picture() -> None:
    other: Any = 1
    with pytest.raises(TypeError, match="unsupported operand"):
        COSINE.plot(total_steps=100) + other


def test_print_draws_in_the_terminal() -> None:
    assert "⣀" in str(COSINE.plot(total_steps=100)) or "⢀" in str(COSINE.plot(total_steps=100))


@pytest.mark.parametrize("suffix", FORMATS)
def test_save_writes_the_format_of_the_suffix(suffix: str, tmp_path: Path) -> None:
    picture, path = COSINE.plot(total_steps=100), tmp_path / f"plot{suffix.upper()}"
    picture.save(path)
    drawn: Any = rendered(picture.plots, suffix)
    assert path.read_bytes() == (drawn if isinstance(drawn, bytes) else drawn.encode())


def test_save_refuses_another_suffix() -> None:
    with pytest.raises(ConfigError, match=r"plot.pdf: unsupported suffix; use one of .svg, .html"):
        COSINE.plot(total_steps=100).save("plot.pdf")


def test_a_preview_is_short() -> None:
    preview = COSINE.preview(RunLength(1000))
    assert re.fullmatch(r"<Preview of lr at \d+ of 1,000 updates>", repr(preview))
    assert re.fullmatch(r"<lr: \d+ of a factor>", repr(preview.series[0]))
