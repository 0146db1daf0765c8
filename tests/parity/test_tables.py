"""Every row of the tables of torch's and transformers' own tests, written as a config of ours.

The tables lie beside the repository, in ../shared/vectors, where a checkout has them; without them
nothing is run here. docs/reference/parity.md lists the same rows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.parity.support import optimizer, our_groups, ours, snake_case

from nshtrainer import RunLength
from nshtrainer.configs import MetricConfig, ReduceLROnPlateauConfig
from nshtrainer.lr_scheduler import lr_scheduler_registry

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "parity.md"

Row = dict[str, Any]


def config(name: str, **options: Any) -> Any:
    return lr_scheduler_registry[name].model_validate(options)


# -- torch -----------------------------------------------------------------------------------------

FUNCTIONS = {
    "0.9**x": {"name": "exponential_lr", "gamma": 0.9},
    "0.9": {"name": "constant", "factor": 0.9},
}


def torchs(name: str, params: dict[str, Any]) -> Any:
    """The config of the same name, with the same options."""
    options = dict(params)
    if "lr_lambda" in options:
        options["lr_lambda"] = FUNCTIONS[options["lr_lambda"]]
    if "max_momentum" in options:  # tables have momenta of 5 and 22, which no optimizer takes
        options["base_momentum"] /= options["max_momentum"]
        options["max_momentum"] = 1.0
    if "schedulers" in options:
        options["schedulers"] = [part(**each) for each in options["schedulers"]]
    return config(snake_case(name), **options)


def part(name: str, **params: Any) -> Any:
    return torchs(name, params)


def several(row: Row) -> Any:
    """Several schedulers stepped by hand: a chain."""
    return torchs("ChainedScheduler", row["params"])


def averaging(row: Row) -> Any:
    """A scheduler that takes over at a step, from the base rate."""
    options = dict(row["params"])
    parts = [
        config("constant"),
        config("swa_lr", **{k: options[k] for k in options.keys() - {"start"}}),
    ]
    return config("sequential_lr", schedulers=parts, milestones=[options["start"]])


def averaging_after_a_fall(row: Row) -> Any:
    """The same, from the rate that stands there, which is written out."""
    p = row["params"]
    fall = config("exponential_lr", gamma=p["mult"])
    points = (
        {"at": "0 steps", "factor": p["mult"] ** p["start"]},
        {"at": f"{p['anneal_epochs']} steps", "factor": p["swa_lr"] / row["base_lr"]},
    )
    way = config("piecewise", points=points, interpolation="cosine")
    return config("sequential_lr", schedulers=[fall, way], milestones=[p["start"]])


# -- transformers ----------------------------------------------------------------------------------


def warmed(name: str, row: Row, **options: Any) -> Any:
    """A schedule of ours with transformers' warm-up, which begins at 0, and its end."""
    p = row["params"]
    if "num_training_steps" in p:
        options.setdefault("max_duration", f"{p['num_training_steps']} steps")
    warmup = f"{p['num_warmup_steps']} steps"
    return config(name, warmup_duration=warmup, warmup_start_factor=0.0, **options)


def restarted(row: Row) -> Any:
    p = row["params"]
    cycle = (p["num_training_steps"] - p["num_warmup_steps"]) // p["num_cycles"]
    end = f"{p['num_warmup_steps'] + cycle} steps"
    return warmed("cosine", row, max_duration=end, after_end="repeat")


def polynomial(row: Row) -> Any:
    p = row["params"]
    return warmed("polynomial", row, power=p["power"], min_factor=p["lr_end"] / row["base_lr"])


EXPRESSED: dict[str, Callable[[Row], Any]] = {
    **{
        name: lambda row: torchs(row["schedule"], row["params"])
        for name in (
            "StepLR",
            "MultiStepLR",
            "ConstantLR",
            "LinearLR",
            "ExponentialLR",
            "PolynomialLR",
            "CosineAnnealingLR",
            "CosineAnnealingWarmRestarts",
            "SequentialLR",
            "ChainedScheduler",
            "CyclicLR",
            "OneCycleLR",
            "LambdaLR",
            "MultiplicativeLR",
        )
    },
    "list[StepLR,MultiStepLR]": several,
    "list[LinearLR,ExponentialLR]": several,
    "list[CosineAnnealingLR,StepLR]": several,
    "SWALR": averaging,
    "MultiplicativeLR(0.9) until epoch 5 then SWALR": averaging_after_a_fall,
    "constant": lambda _: config("constant"),
    "constant_with_warmup": lambda row: warmed("constant", row),
    "linear": lambda row: warmed("linear", row),
    "cosine": lambda row: warmed("cosine", row),
    "cosine_with_restarts": restarted,
    "polynomial": polynomial,
    "inverse_sqrt": lambda row: warmed("inverse_sqrt", row),
}
"""How a row is written here; `ReduceLROnPlateau`, which looks at a metric, has its own test."""

NOT_EXPRESSED: dict[str, str] = {}
"""Rows that are not, and why."""


def rows() -> list[Row]:
    files = sorted(VECTORS.glob("*.json"))
    return [row for file in files for row in json.loads(file.read_text())["vectors"]]


def every_row(chosen: Callable[[Row], bool]) -> Any:
    expressed = [row for row in rows() if chosen(row) and row["schedule"] not in NOT_EXPRESSED]
    ids = [row["source"].rpartition("::")[2] + f"-{row['schedule']}" for row in expressed]
    return pytest.mark.parametrize("row", expressed, ids=ids)


def looks_at_a_metric(row: Row) -> bool:
    return "metrics" in row


@every_row(lambda row: not looks_at_a_metric(row))
def test_the_rates_of_the_row_are_used(row: Row):
    made = EXPRESSED[row["schedule"]](row)
    used = ours(made, len(row["steps"]), row["base_lr"])
    assert used == pytest.approx(row["expected"], rel=0, abs=row["atol"])


@every_row(lambda row: "momentum" in row)
def test_so_are_the_momenta(row: Row):
    made = EXPRESSED[row["schedule"]](row)
    highest = row["params"]["max_momentum"]
    used = [g["momentum"] * highest for g in our_groups(made, len(row["steps"]), row["base_lr"])]
    assert used == pytest.approx(row["momentum"], rel=0, abs=row["atol"])


@every_row(looks_at_a_metric)
def test_the_rates_of_the_row_are_used_on_a_plateau(row: Row):
    options = dict(row["params"])
    metric = MetricConfig(monitor="metric", mode=options.pop("mode"))
    driven = optimizer(row["base_lr"])
    made = ReduceLROnPlateauConfig(metric=metric, **options).create_scheduler(driven, RunLength())
    used = []
    for value in row["metrics"]:
        made["scheduler"].step(value)
        used.append(driven.param_groups[0]["lr"])
    assert used == pytest.approx(row["expected"], rel=0, abs=row["atol"])


@pytest.mark.skipif(not rows(), reason="this checkout has no tables beside it")
def test_the_page_lists_the_rows():
    page = PAGE.read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([^|]+)` \| (\d+) \|", page, re.MULTILINE)
    assert Counter({name: int(number) for name, number in listed}) == Counter(
        row["schedule"] for row in rows()
    )
