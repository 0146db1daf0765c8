"""Laws of looking at a schedule before it runs, for everything that is registered."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import configs_of, rate_curve

from nshtrainer import RunLength
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.plotting import Plot, rendered

ALL = dict(lr_scheduler_registry)
DRAWN = {name: cls for name, cls in ALL.items() if cls.is_curve}
OTHERS = {name: cls for name, cls in ALL.items() if name not in DRAWN}
CURVES = [cls for cls in DRAWN.values() if issubclass(cls, CurveScheduleConfigBase)]

RUN = RunLength(1000, 100, samples_per_step=256, tokens_per_step=4096, base_lr=1e-3, beta2=0.999)


def example(name: str) -> Any:
    return DRAWN[name].from_yaml(f"name: {name}\n{DRAWN[name].example}")


@pytest.mark.parametrize("name", DRAWN)
def test_its_example_is_valid_and_describes_itself(name: str) -> None:
    config = example(name)
    text = config.describe(RUN)
    assert re.search(r"[\w.-]+ 0 to [\d,]+, ", text)
    assert "last update " in text
    assert config.replace().describe(RUN) == text


@pytest.mark.parametrize("name", DRAWN)
def test_its_preview_is_its_tracks_and_its_phases_follow_one_another(name: str) -> None:
    preview = example(name).preview(RUN)
    assert (preview.steps[0], preview.steps[-1]) == (0, 999)
    assert all(one < other for one, other in pairwise(preview.steps))
    for track, series in zip(example(name).tracks(RUN), preview.series, strict=True):
        base = 1e-3 if series.name.endswith("lr") and track.kind == "factor" else 1.0
        assert series.values == tuple(base * track.curve(step) for step in preview.steps)
        assert [phase.start for phase in series.phases] == [
            0,
            *(phase.end for phase in series.phases[:-1]),
        ]
        assert series.phases[-1].end == 1000
        starts = {phase.start for phase in series.phases if phase.start}
        assert {step for start in starts for step in (start - 1, start)} <= set(preview.steps)


@pytest.mark.parametrize("name", DRAWN)
def test_it_has_a_picture(name: str) -> None:
    picture = rendered([Plot(name, example(name).preview(RUN))], ".svg")
    assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("cls", CURVES, ids=lambda cls: cls.__name__)
@settings(max_examples=settings.default.max_examples // 3)  # the code is the same for every curve
@given(data=st.data())
def test_whatever_it_is_set_to_it_is_looked_at_or_refused_with_a_reason(
    cls: Any, data: st.DataObject
) -> None:
    config = data.draw(configs_of(cls, longest=500))
    total = data.draw(st.integers(1, 1000))
    run = RunLength(total, 50, samples_per_step=4, tokens_per_step=9, base_lr=0.5, beta2=0.9)
    try:
        config.curve(run)
    except ScheduleError as error:
        with pytest.raises(ScheduleError, match=re.escape(str(error))):
            config.describe(run)
        return
    preview = config.preview(run, 20)
    assert preview["lr"] == tuple(map(rate_curve(config, run), preview.steps))
    assert len(preview.steps) <= 20 + 4 * 20 + 2 * len(preview.series[0].phases) + 4
    assert "last update" in config.describe(run)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_curve_says_so(name: str) -> None:
    config = OTHERS[name].from_yaml(f"name: {name}\n{OTHERS[name].example}")
    assert config.describe(RUN).endswith("what it does is known only as it runs")
    with pytest.raises(ScheduleError, match="there is nothing to draw"):
        config.preview(RUN)
