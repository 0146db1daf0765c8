"""The families of schedules against torch's schedulers, and against transformers' formulas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as theirs

from nshtrainer import RunLength
from nshtrainer.configs import (
    ConstantScheduleConfig,
    CosineRestartsScheduleConfig,
    CosineScheduleConfig,
    CurveScheduleConfigBase,
    CyclicScheduleConfig,
    ExponentialScheduleConfig,
    InverseSqrtScheduleConfig,
    LinearScheduleConfig,
    MultiStepScheduleConfig,
    OneCycleScheduleConfig,
    PolynomialScheduleConfig,
    StepScheduleConfig,
)

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"


def torchs(make: Callable[[Any], Any], updates: int, base: float = 0.3) -> list[float]:
    driven = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=base)
    scheduler = make(driven)
    used = []
    for _ in range(updates):
        used.append(driven.param_groups[0]["lr"])
        driven.step()
        scheduler.step()
    return used


def ours(config: CurveScheduleConfigBase, updates: int, base: float = 0.3) -> list[float]:
    curve = config.curve(RunLength(total_steps=updates, base_lr=base))
    return [base * curve(step) for step in range(updates)]


PAIRS: dict[str, tuple[Callable[[Any], Any], CurveScheduleConfigBase, int]] = {
    "PolynomialLR": (
        lambda optimizer: theirs.PolynomialLR(optimizer, total_iters=20, power=0.9),
        PolynomialScheduleConfig(max_duration="20 steps", power=0.9),
        30,
    ),
    "LinearLR": (
        lambda optimizer: theirs.LinearLR(optimizer, 1.0, 0.25, total_iters=20),
        LinearScheduleConfig(max_duration="20 steps", min_factor=0.25),
        30,
    ),
    "CosineAnnealingLR": (
        lambda optimizer: theirs.CosineAnnealingLR(optimizer, 20, eta_min=0.03),
        CosineScheduleConfig(max_duration="20 steps", min_factor=0.1, after_end="mirror"),
        60,
    ),
    "StepLR": (
        lambda optimizer: theirs.StepLR(optimizer, 7, gamma=0.5),
        StepScheduleConfig(step_duration="7 steps", gamma=0.5),
        40,
    ),
    "MultiStepLR": (
        lambda optimizer: theirs.MultiStepLR(optimizer, [3, 10, 11], gamma=0.5),
        MultiStepScheduleConfig(milestones=("3 steps", "10 steps", "11 steps"), gamma=0.5),
        20,
    ),
    "ExponentialLR": (
        lambda optimizer: theirs.ExponentialLR(optimizer, 0.9),
        ExponentialScheduleConfig(step_duration="1 step", gamma=0.9),
        40,
    ),
    "CosineAnnealingWarmRestarts": (
        lambda optimizer: theirs.CosineAnnealingWarmRestarts(optimizer, 3, 2, eta_min=0.03),
        CosineRestartsScheduleConfig(cycle_duration="3 steps", growth_factor=2, min_factor=0.1),
        100,
    ),
    "CyclicLR, triangular": (
        lambda optimizer: theirs.CyclicLR(optimizer, 0.03, 0.3, 7, 4, cycle_momentum=False),
        CyclicScheduleConfig(rise_duration="7 steps", fall_duration="4 steps", min_factor=0.1),
        40,
    ),
    "CyclicLR, triangular2": (
        lambda optimizer: theirs.CyclicLR(
            optimizer, 0.03, 0.3, 5, mode="triangular2", cycle_momentum=False
        ),
        CyclicScheduleConfig(rise_duration="5 steps", mode="triangular2", min_factor=0.1),
        40,
    ),
    "CyclicLR, exp_range": (
        lambda optimizer: theirs.CyclicLR(
            optimizer, 0.03, 0.3, 5, mode="exp_range", gamma=0.9, cycle_momentum=False
        ),
        CyclicScheduleConfig(rise_duration="5 steps", mode="exp_range", gamma=0.9, min_lr=0.03),
        40,
    ),
    "OneCycleLR": (
        lambda optimizer: theirs.OneCycleLR(optimizer, 0.3, 20, cycle_momentum=False),
        OneCycleScheduleConfig(hit_end=True),
        20,
    ),
    "OneCycleLR, linear in three phases": (
        lambda optimizer: theirs.OneCycleLR(
            optimizer,
            0.3,
            20,
            anneal_strategy="linear",
            three_phase=True,
            div_factor=10,
            final_div_factor=100,
            cycle_momentum=False,
        ),
        OneCycleScheduleConfig(
            hit_end=True,
            interpolation="linear",
            three_phase=True,
            start_factor=0.1,
            min_factor=0.001,
        ),
        20,
    ),
    "ConstantLR": (
        lambda optimizer: theirs.ConstantLR(optimizer, 1.0),
        ConstantScheduleConfig(),
        5,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_family_gives_the_rates_of_torch(name: str):
    make, config, updates = PAIRS[name]
    assert ours(config, updates) == pytest.approx(torchs(make, updates), rel=1e-12, abs=1e-15)


def test_torch_misses_restarts_that_ours_finds():
    driven = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    torch_one = theirs.CosineAnnealingWarmRestarts(driven, 1, 3)
    torch_one.step(121)
    config = CosineRestartsScheduleConfig(cycle_duration="1 step", growth_factor=3)
    assert driven.param_groups[0]["lr"] == pytest.approx(0.0)
    assert config.curve(RunLength())(121) == 1.0


def test_every_restart_begins_at_its_peak():
    for first in range(1, 8):
        for growth in range(1, 6):
            config = CosineRestartsScheduleConfig(
                cycle_duration=f"{first} steps", growth_factor=growth, peak_factor=0.5
            )
            curve, start, length = config.curve(RunLength()), 0, first
            for cycle in range(12):
                assert curve(start) == 0.5**cycle
                start, length = start + length, length * growth


@pytest.mark.parametrize("three_phase", [False, True])
def test_the_momentum_of_one_cycle_is_that_of_torch(three_phase: bool):
    driven = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3, momentum=0.9)
    scheduler = theirs.OneCycleLR(driven, 0.3, 20, three_phase=three_phase)
    config = OneCycleScheduleConfig(hit_end=True, three_phase=three_phase)
    curve = config.momentum_curve(RunLength(total_steps=20))
    for step in range(20):
        assert curve(step) == pytest.approx(driven.param_groups[0]["momentum"], rel=1e-12)
        driven.step()
        if step < 19:
            scheduler.step()


# -- the tables of transformers' and torch's own tests, where a checkout has them ---------------


def warmed(params: dict[str, Any]) -> dict[str, Any]:
    return {"warmup_duration": f"{params['num_warmup_steps']} steps", "warmup_start_factor": 0.0}


def until(params: dict[str, Any]) -> dict[str, Any]:
    return {**warmed(params), "max_duration": f"{params['num_training_steps']} steps"}


EXPRESSED: dict[str, Callable[[dict[str, Any], float], CurveScheduleConfigBase]] = {
    "constant": lambda _, __: ConstantScheduleConfig(),
    "constant_with_warmup": lambda p, _: ConstantScheduleConfig(**warmed(p)),
    "linear": lambda p, _: LinearScheduleConfig(**until(p)),
    "cosine": lambda p, _: CosineScheduleConfig(**until(p)),
    "cosine_with_restarts": lambda p, _: CosineScheduleConfig(
        **{**until(p), "max_duration": f"{p['num_warmup_steps'] + _cycle(p)} steps"},
        after_end="repeat",
    ),
    "polynomial": lambda p, base: PolynomialScheduleConfig(
        **until(p), power=p["power"], min_factor=p["lr_end"] / base
    ),
    "inverse_sqrt": lambda p, _: InverseSqrtScheduleConfig(**warmed(p)),
    "StepLR": lambda p, _: StepScheduleConfig(
        step_duration=f"{p['step_size']} steps", gamma=p["gamma"]
    ),
    "MultiStepLR": lambda p, _: MultiStepScheduleConfig(
        milestones=tuple(f"{step} steps" for step in p["milestones"]),  # type: ignore[misc]
        gamma=p["gamma"],
    ),
    "ExponentialLR": lambda p, _: ExponentialScheduleConfig(
        step_duration="1 step", gamma=p["gamma"]
    ),
    "PolynomialLR": lambda p, _: PolynomialScheduleConfig(
        max_duration=f"{p['total_iters']} steps", power=p["power"]
    ),
    "CosineAnnealingWarmRestarts": lambda p, base: CosineRestartsScheduleConfig(
        cycle_duration=f"{p['T_0']} steps",
        growth_factor=p["T_mult"],
        min_factor=p["eta_min"] / base,
    ),
}
"""How a row of the tables is written as one of the families; test_tables.py has all rows."""


def _cycle(params: dict[str, Any]) -> int:
    return (params["num_training_steps"] - params["num_warmup_steps"]) // params["num_cycles"]


def rows() -> list[Any]:
    files = sorted(VECTORS.glob("*.json"))
    found = [row for file in files for row in json.loads(file.read_text())["vectors"]]
    return [
        pytest.param(row, id=f"{row['schedule']}-{number}")
        for number, row in enumerate(found)
        if row["schedule"] in EXPRESSED
    ]


@pytest.mark.parametrize("row", rows())
def test_the_family_gives_the_rates_of_the_tables(row: dict[str, Any]):
    config = EXPRESSED[row["schedule"]](row["params"], row["base_lr"])
    used = ours(config, len(row["steps"]), row["base_lr"])
    assert used == pytest.approx(row["expected"], abs=row["atol"])
