"""Our two schedulers against torch, and against the tables of torch and transformers.

The tables lie beside the repository, in ../shared/vectors, where a checkout has them; without them
the same formulas are checked against the installed torch alone.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, ReduceLROnPlateau

from nshtrainer import RunLength
from nshtrainer.configs import (
    LinearWarmupCosineDecayLRSchedulerConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
)

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"


def table(name: str, *schedules: str) -> list[Any]:
    file = VECTORS / f"{name}.json"
    rows = json.loads(file.read_text())["vectors"] if file.exists() else []
    return [
        pytest.param(row, id=f"{row['schedule']}-{number}")
        for number, row in enumerate(rows)
        if row["schedule"] in schedules
    ]


def optimizer(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=lr)


def rates(scheduler: Any, driven: torch.optim.Optimizer, updates: int) -> list[float]:
    used = []
    for _ in range(updates):
        used.append(driven.param_groups[0]["lr"])
        driven.step()
        scheduler.step()
    return used


def ours(lr: float, updates: int, **options: Any) -> list[float]:
    driven = optimizer(lr)
    config = LinearWarmupCosineDecayLRSchedulerConfig(**options)
    return rates(config.create_scheduler(driven, RunLength())["scheduler"], driven, updates)


def options_for(schedule: str, params: dict[str, Any], base: float) -> dict[str, Any]:
    """A row of the tables in the words of our config."""
    if schedule == "CosineAnnealingLR":
        total, least = params["T_max"], params["eta_min"] / base
        return {
            "warmup_duration": "0 steps",
            "max_duration": f"{total} steps",
            "min_lr_factor": least,
        }
    if schedule == "CosineAnnealingWarmRestarts":
        cycle = {"T_max": params["T_0"], "eta_min": params["eta_min"]}
        return {**options_for("CosineAnnealingLR", cycle, base), "annealing": True}
    warmup, total = params["num_warmup_steps"], params["num_training_steps"]
    cycles = params.get("num_cycles", 1)
    return {
        "warmup_duration": f"{warmup} steps",
        "max_duration": f"{warmup + (total - warmup) // cycles} steps",
        "annealing": cycles > 1,
    }


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in [
            *table("transformers_optimization", "cosine", "cosine_with_restarts"),
            *table("pytorch_lrscheduler", "CosineAnnealingLR", "CosineAnnealingWarmRestarts"),
        ]
        # Cycles that grow are a schedule of their own.
        if row.values[0]["params"].get("T_mult", 1) == 1
    ],
)
def test_the_cosine_gives_the_rates_of_the_tables(row: dict[str, Any]):
    options = options_for(row["schedule"], row["params"], row["base_lr"])
    used = ours(row["base_lr"], len(row["steps"]), **options)
    assert used == pytest.approx(row["expected"], abs=row["atol"])


@pytest.mark.parametrize("row", table("pytorch_lrscheduler", "ReduceLROnPlateau"))
def test_reduce_on_plateau_gives_the_rates_of_the_tables(row: dict[str, Any]):
    options = dict(row["params"])
    metric = MetricConfig(monitor="metric", mode=options.pop("mode"))
    config = ReduceLROnPlateauConfig(metric=metric, **options)
    driven = optimizer(row["base_lr"])
    scheduler: Any = config.create_scheduler(driven, RunLength())["scheduler"]
    used = []
    for value in row["metrics"]:
        scheduler.step(value)
        used.append(driven.param_groups[0]["lr"])
    assert used == pytest.approx(row["expected"], abs=row["atol"])


def test_the_cosine_is_that_of_torch_as_long_as_torch_has_one():
    driven = optimizer(0.3)
    expected = rates(CosineAnnealingLR(driven, T_max=50, eta_min=0.03), driven, 50)
    used = ours(0.3, 50, warmup_duration="0 steps", max_duration="50 steps", min_lr_factor=0.1)
    assert used == pytest.approx(expected, rel=1e-12)


def test_after_its_end_torch_climbs_again_and_ours_stays():
    driven = optimizer(0.3)
    theirs = rates(CosineAnnealingLR(driven, T_max=5), driven, 11)
    used = ours(0.3, 11, warmup_duration="0 steps", max_duration="5 steps")
    assert theirs[10] == pytest.approx(0.3)
    assert used[5:] == [0.0] * 6


def test_the_whole_is_the_formula_under_lambda_lr():
    def factor(step: int) -> float:
        if step < 10:
            return 0.2 + 0.8 * step / 10
        if step < 100:
            return 0.1 + 0.9 * (1 + math.cos(math.pi * (step - 10) / 90)) / 2
        return 0.1

    driven = optimizer(0.3)
    expected = rates(LambdaLR(driven, factor), driven, 120)
    used = ours(
        0.3,
        120,
        warmup_duration="10 steps",
        max_duration="100 steps",
        warmup_start_lr_factor=0.2,
        min_lr_factor=0.1,
    )
    assert used == pytest.approx(expected, rel=1e-13)


def test_reduce_on_plateau_is_that_of_torch():
    values = [1.0, 0.9, 0.91, 0.92, 0.95, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6]
    mine, other = optimizer(1.0), optimizer(1.0)
    metric = MetricConfig(monitor="loss", mode="min")
    config = ReduceLROnPlateauConfig(metric=metric, patience=1, factor=0.5, min_lr=0.2)
    first: Any = config.create_scheduler(mine, RunLength())["scheduler"]
    second = ReduceLROnPlateau(other, patience=1, factor=0.5, min_lr=0.2)
    for value in values:
        first.step(value)
        second.step(value)
        assert mine.param_groups[0]["lr"] == other.param_groups[0]["lr"]
    assert mine.param_groups[0]["lr"] < 1.0
