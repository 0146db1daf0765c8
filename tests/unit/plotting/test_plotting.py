"""Schedules in every format, read back."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import resvg_py
from PIL import Image, ImageColor

from nshtrainer import RunLength
from nshtrainer.configs import (
    CosineRestartsScheduleConfig,
    CosineScheduleConfig,
    LinearScheduleConfig,
    MultiStepScheduleConfig,
    SchedulesConfig,
    WarmupStableDecayScheduleConfig,
)
from nshtrainer.exceptions import ConfigError
from nshtrainer.lr_scheduler.preview import preview_tracks
from nshtrainer.lr_scheduler.track import Track
from nshtrainer.plotting import FORMATS, Plot, figure_of, rendered
from nshtrainer.plotting.axis import Axis, height_axis, step_axis, time_axis
from nshtrainer.plotting.svg import Layout
from nshtrainer.plotting.terminal import text

SVG = "{http://www.w3.org/2000/svg}"
XHTML = "{http://www.w3.org/1999/xhtml}"


def plot(config: Any, label: str = "run.yaml", run: RunLength | None = None) -> Plot:
    run = run or RunLength(1000, base_lr=1e-3)
    return Plot(label, config.preview(run), config.describe(run))


STABLE = plot(WarmupStableDecayScheduleConfig(warmup_duration="10%", decay_shape="linear"))
TWO = [
    plot(CosineScheduleConfig(warmup_duration="20%"), "a <&> b.yaml"),
    plot(CosineRestartsScheduleConfig(cycle_duration="300 steps"), "c.yaml"),
]
GROUPS = [
    plot(
        SchedulesConfig(
            default={"lr": LinearScheduleConfig(), "betas.0": {"value": LinearScheduleConfig()}},
            groups={"backbone": {"lr": CosineScheduleConfig()}},
        )
    )
]


# -- ticks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        (step_axis(1), "0 1"),
        (step_axis(3), "0 1 2 3"),
        (step_axis(9000), "0 2,000 4,000 6,000 8,000"),
        (step_axis(19_000), "0 2k 4k 6k 8k 10k 12k 14k 16k 18k"),
        (step_axis(2_500_000), "0 0.5M 1M 1.5M 2M 2.5M"),
        (step_axis(4 * 10**9), "0 1B 2B 3B 4B"),
        (time_axis(90), "0 20 40 60 80"),
        (time_axis(24 * 3600), "0 5 10 15 20"),
        (time_axis(3 * 86400), "0 0.5 1 1.5 2 2.5 3"),
        (height_axis("", 0, 3e-4), "0 5e-5 1e-4 1.5e-4 2e-4 2.5e-4 3e-4"),
        (height_axis("", 0, 1), "0 0.2 0.4 0.6 0.8 1"),
        (height_axis("", 0, 0), "0 0.2 0.4 0.6 0.8 1"),
        (height_axis("", 0.8, 0.8), "0 0.2 0.4 0.6 0.8"),
        (height_axis("", 0.85, 0.95), "0.84 0.86 0.88 0.9 0.92 0.94 0.96"),
        (height_axis("", -3, 2), "-3 -2 -1 0 1 2"),
        (height_axis("", -3, -2), "-3 -2.5 -2 -1.5 -1 -0.5 0"),
    ],
)
def test_ticks_are_round(axis: Axis, labels: str) -> None:
    assert axis.labels == tuple(labels.split())
    assert list(axis.ticks) == sorted(axis.ticks)
    assert all(0 <= axis.share(tick) <= 1 for tick in axis.ticks)


def test_a_time_is_written_in_a_unit_that_fits() -> None:
    titles = [time_axis(seconds).title for seconds in (30, 3600, 80_000, 300_000)]
    units = [title.removeprefix("time in ") for title in titles]
    assert units == ["seconds", "minutes", "hours", "days"]


# -- SVG -----------------------------------------------------------------------------------------


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_an_svg_has_the_curve_at_its_place_its_phases_and_both_axes() -> None:
    root = ET.fromstring(rendered([STABLE], ".svg"))
    written = texts(root)
    assert {"run.yaml", "learning rate", "warm-up", "stable", "linear", "1e-3", "800"} <= {*written}
    (line,) = root.iter(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert points == sorted(points, key=lambda point: point[0])
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    assert points[0][1] == pytest.approx(bottom, abs=3)
    assert [y for _, y in points].count(top) >= 2


def test_several_curves_have_a_legend_and_dots_where_their_phases_begin() -> None:
    root = ET.fromstring(rendered(TWO, ".svg"))
    assert {"a <&> b.yaml", "c.yaml"} <= set(texts(root))
    styles = {line.attrib["class"] for line in root.iter(f"{SVG}polyline")}
    assert styles == {"line s0", "line s1"}
    assert len(list(root.iter(f"{SVG}circle"))) == 1


def test_each_hyperparameter_has_a_panel() -> None:
    written = texts(ET.fromstring(rendered(GROUPS, ".svg")))
    titles = {"learning rate", "betas.0", "backbone", "other groups"}
    assert titles <= set(written)


def boxes(root: ET.Element) -> list[tuple[float, float]]:
    """Left and right of the labels of the phases."""
    from nshtrainer.plotting.svg import text_width

    labels = [each for each in root.iter(f"{SVG}text") if each.attrib.get("class") == "phase"]
    lefts = [float(each.attrib["x"]) for each in labels]
    widths = [text_width(each.text or "") for each in labels]
    return sorted(zip(lefts, [a + b for a, b in zip(lefts, widths, strict=True)], strict=True))


@pytest.mark.parametrize("every", [5, 20, 50, 100, 300])
def test_labels_of_phases_do_not_overlap_and_stay_inside(every: int) -> None:
    milestones = tuple(f"{step} steps" for step in range(every, 1000, every))
    root = ET.fromstring(rendered([plot(MultiStepScheduleConfig(milestones=milestones))], ".svg"))
    places = boxes(root)
    assert all(one[1] <= other[0] for one, other in pairwise(places))
    assert all(right < 724 for _, right in places)


def test_a_long_legend_has_several_rows() -> None:
    config = LinearScheduleConfig()
    many = [plot(config, f"a/rather/long/name/of/a/file/number-{i}.yaml") for i in range(7)]
    root = ET.fromstring(rendered(many, ".svg"))
    names = [each for each in root.iter(f"{SVG}text") if "number" in (each.text or "")]
    assert len({each.attrib["y"] for each in names}) > 2
    assert all(float(each.attrib["x"]) < 600 for each in names)


def test_a_picture_follows_a_dark_theme() -> None:
    assert "prefers-color-scheme: dark" in str(rendered([STABLE], ".svg"))


def test_a_run_that_a_time_limits_is_drawn_over_time() -> None:
    run = RunLength(total_time=7200)
    written = texts(ET.fromstring(rendered([plot(LinearScheduleConfig(), run=run)], ".svg")))
    assert {"time in minutes", "120", "learning rate (factor)"} <= set(written)


# -- HTML ----------------------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_is_well_formed_stands_alone_and_knows_the_values() -> None:
    page = str(rendered(TWO, ".html"))
    tags = Tags()
    tags.feed(page)
    assert (tags.open, tags.links) == ([], [])
    root = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert root.tag == f"{XHTML}html"
    (data,) = (each for each in root.iter(f"{XHTML}script") if each.attrib.get("id") == "data")
    known = json.loads(data.text or "")
    assert known["names"] == ["a <&> b.yaml", "c.yaml"]
    first = known["panels"][0]["lines"][0]
    assert first["ys"] == list(TWO[0].preview["lr"])
    assert first["xs"] == list(TWO[0].preview.steps)
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert TWO[1].description in page


# -- tables --------------------------------------------------------------------------------------


def test_a_csv_has_every_value_with_all_its_digits() -> None:
    rows = list(csv.DictReader(io.StringIO(str(rendered(TWO, ".csv")))))
    first = [row for row in rows if row["config"] == "a <&> b.yaml"]
    assert [int(row["step"]) for row in first] == list(TWO[0].preview.steps)
    assert tuple(float(row["value"]) for row in first) == TWO[0].preview["lr"]
    assert {(row["hyperparameter"], row["kind"]) for row in rows} == {("lr", "value")}


def test_a_json_has_steps_phases_and_values() -> None:
    (first, second) = json.loads(rendered(TWO, ".json"))
    assert first["steps"] == list(TWO[0].preview.steps)
    (series,) = first["series"]
    assert series["values"] == list(TWO[0].preview["lr"])
    assert series["phases"] == [
        {"label": "warm-up", "start": 0, "end": 200},
        {"label": "cosine", "start": 200, "end": 1000},
    ]
    assert second["description"] == TWO[1].description


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_time_is_written_as_seconds(suffix: str) -> None:
    run = RunLength(total_time=7200)
    assert "seconds" in str(rendered([plot(LinearScheduleConfig(), run=run)], suffix))


# -- PNG -----------------------------------------------------------------------------------------


def pixels(plots: list[Plot]) -> Image.Image:
    return Image.open(io.BytesIO(bytes(rendered(plots, ".png")))).convert("RGB")


@pytest.mark.parametrize("plots", [[STABLE], TWO, GROUPS], ids=["one", "two", "groups"])
def test_a_png_is_the_svg_at_twice_the_size(plots: list[Plot]) -> None:
    root = ET.fromstring(rendered(plots, ".svg"))
    assert pixels(plots).size == (2 * int(root.attrib["width"]), 2 * int(root.attrib["height"]))


def test_a_png_has_light_colors_curves_and_text() -> None:
    picture = pixels(TWO)
    colors = {color for _, color in picture.getcolors(1 << 16)}
    assert {picture.getpixel((0, 0)), ImageColor.getrgb("white")} <= colors
    assert {
        ImageColor.getrgb(name) for name in ("#0969da", "#bc4c00", "#d1d9e0", "#59636e")
    } <= colors
    box = Layout(figure_of(TWO)).boxes[0]
    beside_the_axis = picture.crop(
        (0, int(2 * box.top), int(2 * box.left) - 8, int(2 * box.bottom))
    )
    assert len(beside_the_axis.getcolors()) > 8


def test_without_resvg_a_png_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(ConfigError, match=r"pip install 'nshtrainer\[plot\]'"):
        rendered([STABLE], ".png")


def test_without_a_font_a_png_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = resvg_py.svg_to_bytes
    bare = {"skip_system_fonts": True}
    monkeypatch.setattr(resvg_py, "svg_to_bytes", lambda text, **kw: draw(text, **kw | bare))
    with pytest.raises(
        ConfigError, match=r"a PNG needs a font such as DejaVu Sans, .*; install one"
    ):
        rendered([STABLE], ".png")


def test_a_png_that_would_take_gigabytes_is_refused() -> None:
    tracks = [Track(f"betas.{index}", lambda _: 0.9, "value") for index in range(100)]
    many = Plot("run.yaml", preview_tracks(tracks, RunLength(10)))
    with pytest.raises(ConfigError, match="pixels tall, too many for a PNG; write an "):
        rendered([many], ".png")


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'\.gif' is no format of a picture \(there are: \.svg"):
        rendered([STABLE], ".gif")


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_schedules_are_the_same_file(suffix: str) -> None:
    assert rendered(TWO, suffix) == rendered(TWO, suffix)


# -- terminal ------------------------------------------------------------------------------------


def test_a_terminal_shows_the_curve_with_readable_axes() -> None:
    chart = text(figure_of([STABLE]), 60)
    lines = chart.splitlines()
    assert lines[:3] == ["run.yaml", "", "learning rate"]
    assert lines[3].split() == ["warm-up", "stable", "linear"]
    assert [line[:5].strip() for line in lines[4:18] if line[:5].strip()] == [
        "1e-3",
        "8e-4",
        "6e-4",
        "4e-4",
        "2e-4",
        "0",
    ]
    assert lines[19].split() == ["0", "200", "400", "600", "800", "1,000"]
    assert lines[20].strip() == "update of the optimizer"


def test_a_terminal_chart_is_as_it_was() -> None:
    config = LinearScheduleConfig(warmup_duration="25%")
    run = RunLength(100, base_lr=1.0)
    assert text(figure_of([plot(config, run=run)]), 44) == SNAPSHOT


SNAPSHOT = """\
run.yaml

learning rate
     warm-up  linear
   1┤        ⢀⠗⢆
    │       ⢀⠎┊ ⠙⢄⡀
 0.8┤       ⢸ ┊   ⠑⢄
    │      ⢠⠃ ┊     ⠙⢄⡀
    │      ⡇  ┊       ⠑⢄
 0.6┤     ⡜   ┊         ⠑⢄⡀
    │    ⢸    ┊           ⠑⢤
    │   ⢀⠎    ┊             ⠑⢄
 0.4┤   ⡸     ┊               ⠑⢤
    │  ⡰⠁     ┊                 ⠑⢄
    │ ⢀⠇      ┊                   ⠑⢄
 0.2┤ ⡜       ┊                     ⠑⢆
    │⢸        ┊                       ⠑⢄
   0┤⠃        ┊                         ⠑⠄
    └┬──────┬──────┬───────┬──────┬──────┬
     0     20     40      60     80     100
            update of the optimizer
"""


@pytest.mark.parametrize("width", [20, 40, 61, 80, 200])
@pytest.mark.parametrize("plots", [[STABLE], TWO, GROUPS], ids=["one", "two", "groups"])
def test_no_line_is_wider_than_the_terminal(plots: list[Plot], width: int) -> None:
    lines = text(figure_of(plots), width).splitlines()
    assert max(map(len, lines)) <= max(40, width)


def test_several_curves_are_told_apart_by_letters_and_by_colours() -> None:
    plain = text(figure_of(TWO))
    drawn = plain[plain.index("learning rate") + 13 :]
    assert {"  a  a <&> b.yaml", "  b  c.yaml"} <= set(plain.splitlines())
    assert drawn.count("a") >= 2
    assert drawn.count("b") >= 2
    coloured = text(figure_of(TWO), colour=True)
    assert {"\x1b[34m", "\x1b[33m"} <= set(re.findall(r"\x1b\[3\dm", coloured))
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_where_there_is_nothing_but_ascii_there_is_a_chart() -> None:
    assert text(figure_of(TWO), ascii_only=True).isascii()


def test_a_curve_of_one_update_is_a_dot() -> None:
    preview = preview_tracks([Track("lr", lambda step: 1.0)], RunLength(1))
    assert re.search("[\u2801-\u28ff]", text(figure_of([Plot("one", preview)])))
