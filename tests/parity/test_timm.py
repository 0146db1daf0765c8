"""timm's schedulers, from rates that make_timm_vectors.py computed once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.parity.support import optimizer

from nshtrainer import RunLength
from nshtrainer.lr_scheduler import lr_scheduler_registry

VECTORS = json.loads(Path(__file__).with_name("timm_vectors.json").read_text(encoding="utf-8"))
LR: float = VECTORS["base_lr"]

Row = dict[str, Any]


def config(name: str, **options: Any) -> Any:
    return lr_scheduler_registry[name].model_validate(options)


def steps(number: int) -> str:
    return f"{number} steps"


def warmup(options: Row) -> Row:
    if "warmup_t" not in options:
        return {}
    start = options["warmup_lr_init"]
    return {"warmup_duration": steps(options["warmup_t"]), "warmup_start_lr": start}


def until_the_end(options: Row) -> Row:
    """The warm-up before, the end, and the minimum."""
    end = steps(options.get("warmup_t", 0) + options["t_initial"])
    return {"max_duration": end, "min_lr": options.get("lr_min", 0.0), **warmup(options)}


def cosine(options: Row) -> Any:
    if "cycle_limit" not in options:
        return config("cosine", **until_the_end(options), k_decay=options.get("k_decay", 1.0))
    return config(
        "cosine_restarts",
        cycle_duration=steps(options["t_initial"]),
        growth_factor=options.get("cycle_mul", 1),
        peak_factor=options.get("cycle_decay", 1.0),
        num_cycles=options["cycle_limit"],
        min_lr=options.get("lr_min", 0.0),
        **warmup(options),
    )


def polynomial(options: Row) -> Any:
    power = options.get("power", 0.5)
    if "cycle_limit" not in options:
        return config("polynomial", power=power, **until_the_end(options))
    falling = config("polynomial", power=power)
    phases = [
        {
            "schedule": config(
                "product",
                schedules=[config("constant", factor=options["cycle_decay"] ** cycle), falling],
            ),
            "duration": steps(options["t_initial"] * options["cycle_mul"] ** cycle),
        }
        for cycle in range(options["cycle_limit"])
    ]
    return config("sequence", phases=phases)


def step(options: Row) -> Any:
    every, gamma = steps(options["decay_t"]), options["decay_rate"]
    return config("step", step_duration=every, gamma=gamma, **warmup(options))


def multi_step(options: Row) -> Any:
    """timm's milestones count from the end of the warm-up, and are reached a step before."""
    first = options.get("warmup_t", 0) - 1
    milestones = [steps(first + milestone) for milestone in options["decay_t"]]
    return config(
        "multi_step", milestones=milestones, gamma=options["decay_rate"], **warmup(options)
    )


DECAYS = {"exp": "exponential", "power": "1-square"}


def stable_decay(options: Row) -> Any:
    shape = options.get("decay_fn", "1-sqrt")
    ending = {
        "decay_duration": steps(options["decay_t"]),
        "decay_shape": DECAYS.get(shape, shape),
    }
    if "stable_fn" not in options:
        return config("warmup_stable_decay", **ending, **until_the_end(options))
    falling = config("inverse_sqrt", **warmup(options))
    end = until_the_end(options)["max_duration"]
    whole = config("warmup_stable_decay", **ending, max_duration=end)
    return config("product", schedules=[falling, whole])


EXPRESSED: dict[str, Callable[[Row], Any]] = {
    "CosineLRScheduler": cosine,
    "PolyLRScheduler": polynomial,
    "StepLRScheduler": step,
    "MultiStepLRScheduler": multi_step,
    "WSDLRScheduler": stable_decay,
}


OTHERWISE = {
    "metric": "it looks at a metric, so it is driven in another way",
    "tangent": "timm's tangent begins below 1 and ends above the minimum",
    "k-decay": "not expressed: a polynomial has no k-decay here",
    "hidden": "timm's warm-up hides the beginning of the decay",
    "rising": "timm's peaks fall below the minimum, and its cycles then rise to it",
    "logarithm": "timm finds the cycle by a logarithm, and misses restarts",
}
"""Rows whose rates ours does not have, and why; each has a test below, but for what is missing."""


def differs(row: Row) -> str | None:
    """The word for why a row is not compared like the others, or none."""
    options, name = row["options"], row["scheduler"]
    limit = options.get("cycle_limit", 1)
    hidden = "warmup_t" in options and "warmup_prefix" not in options
    conditions = {
        "metric": "metrics" in row,
        "tangent": name == "TanhLRScheduler",
        "k-decay": name == "PolyLRScheduler" and "k_decay" in options,
        "hidden": name == "CosineLRScheduler" and hidden,
        "rising": options.get("lr_min", 0.0) > LR * options.get("cycle_decay", 1.0) ** (limit - 1),
        "logarithm": options.get("cycle_mul") == 3,
    }
    return next((word for word, holds in conditions.items() if holds), None)


def rows(word: str | None) -> list[Any]:
    chosen = [row for row in VECTORS["rows"] if differs(row) == word]
    return [pytest.param(row, id=f"{row['scheduler']}-{i}") for i, row in enumerate(chosen)]


def test_every_difference_has_a_row():
    words = {differs(row) for row in VECTORS["rows"]}
    assert words == OTHERWISE.keys() | {None}


def used(own: Any, row: Row) -> list[float]:
    curve = own.curve(RunLength(base_lr=LR))
    return [LR * curve(update) for update in row["updates"]]


@pytest.mark.parametrize("row", rows(None))
def test_the_rates_are_those_of_timm(row: Row):
    own = EXPRESSED[row["scheduler"]](row["options"])
    assert used(own, row) == pytest.approx(row["rates"], rel=1e-12, abs=1e-12 * LR)


@pytest.mark.parametrize("row", rows("metric"))
def test_the_rates_on_a_plateau_are_those_of_timm(row: Row):
    options = dict(row["options"])
    own = config(
        "reduce_lr_on_plateau",
        metric={"monitor": "metric", "mode": options["mode"]},
        factor=options.get("decay_rate", 0.1),
        patience=options["patience_t"],
        cooldown=options.get("cooldown_t", 0),
        min_lr=options.get("lr_min", 0.0),
    )
    driven = optimizer(LR)
    scheduler = own.create_scheduler(driven, RunLength())["scheduler"]
    rates = []
    for value in row["metrics"]:
        scheduler.step(value)
        rates.append(driven.param_groups[0]["lr"])
    assert rates == pytest.approx(row["rates"], rel=1e-12)


# -- where they differ -----------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("tangent"))
def test_the_tangent_is_timms_stretched_to_its_ends(row: Row):
    options = row["options"]
    low, high, least = options.get("lb", -7.0), options.get("ub", 3.0), options.get("lr_min", 0.0)
    first, last = ((1 - math.tanh(bound)) / 2 for bound in (low, high))
    assert row["rates"][0] < LR
    own = config("tanh", lower_bound=low, upper_bound=high, **until_the_end(options))
    ours = used(own, row)
    assert ours[0] == LR
    stretched = [
        least + (rate - least - (LR - least) * last) / (first - last) for rate in row["rates"][:20]
    ]
    assert ours[:20] == pytest.approx(stretched, rel=1e-12)
    assert ours[20:] == row["rates"][20:] == [least] * 10


@pytest.mark.parametrize("row", rows("hidden"))
def test_timms_warm_up_never_comes_to_the_full_rate_and_ours_does(row: Row):
    assert max(row["rates"]) < 0.9 * LR
    assert max(used(cosine(row["options"]), row)) == LR


@pytest.mark.parametrize("row", rows("rising"))
def test_timms_late_cycles_rise_and_ours_stay_at_the_minimum(row: Row):
    least = row["options"]["lr_min"]
    ours = used(cosine(row["options"]), row)
    assert row["rates"][15] == pytest.approx(0.1)
    assert row["rates"][15:35] == sorted(row["rates"][15:35])
    assert ours[:15] == pytest.approx(row["rates"][:15], rel=1e-12)
    assert ours[15:] == pytest.approx([least] * 20)


@pytest.mark.parametrize("row", rows("logarithm"))
def test_timm_misses_restarts_and_ours_does_not(row: Row):
    missed = [rate for rate in row["rates"] if rate < LR / 2]
    assert missed == pytest.approx([0.0, 0.0], abs=1e-12)
    assert used(cosine(row["options"]), row) == [LR] * len(row["updates"])
