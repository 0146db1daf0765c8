"""Torch's own schedulers by name against the installed torch, step by step, at random options.

Most of torch's multiply what they find, step by step, and so are inexact themselves. What is
compared is right to 1e-12 of the value, or of the highest rate where the value is all but 0.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.parity.support import our_groups, ours, snake_case, theirs, torchs_groups
from torch.optim import lr_scheduler as torchs
from torch.optim.swa_utils import SWALR

from nshtrainer import RunLength
from nshtrainer.configs import CosineScheduleConfig, ExponentialScheduleConfig
from nshtrainer.lr_scheduler import lr_scheduler_registry

UPDATES = 50

counts = st.integers(1, 20)
gammas = st.floats(0, 1.5)
shares = st.floats(0.01, 1)
rates = st.floats(1e-4, 1)
milestones = st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True).map(sorted)

OPTIONS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "StepLR": {"step_size": counts, "gamma": gammas},
    "MultiStepLR": {"milestones": milestones, "gamma": gammas},
    "ConstantLR": {"factor": shares, "total_iters": counts},
    "LinearLR": {"start_factor": shares, "end_factor": st.floats(0, 1), "total_iters": counts},
    "ExponentialLR": {"gamma": gammas},
    "PolynomialLR": {"total_iters": counts, "power": st.floats(0, 3)},
    "CosineAnnealingLR": {"T_max": counts, "eta_min": st.floats(0, 0.3)},
    "CosineAnnealingWarmRestarts": {
        "T_0": counts,
        "T_mult": st.integers(1, 4),
        "eta_min": st.floats(0, 0.3),
    },
    "SWALR": {
        "swa_lr": rates,
        "anneal_epochs": st.integers(0, 20),
        "anneal_strategy": st.sampled_from(["cos", "linear"]),
    },
}
PARTS = ("StepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR")


def config(name: str, **options: Any) -> Any:
    return lr_scheduler_registry[snake_case(name)].model_validate(options)


def torchs_own(name: str, driven: Any, **options: Any) -> Any:
    return (SWALR if name == "SWALR" else getattr(torchs, name))(driven, **options)


def same(used: list[float], expected: list[float]) -> None:
    assert used == pytest.approx(expected, rel=1e-12, abs=1e-12 * max(expected))


@pytest.mark.parametrize("name", OPTIONS)
@given(data=st.data())
def test_the_rates_are_those_of_torch(name: str, data: st.DataObject):
    options = data.draw(st.fixed_dictionaries(OPTIONS[name]))
    expected = theirs(lambda driven: torchs_own(name, driven, **options), UPDATES)
    same(ours(config(name, **options), UPDATES), expected)


# -- those that move the momentum ------------------------------------------------------------------


def same_groups(used: list[Any], expected: list[Any]) -> None:
    for key in ("lr", "momentum"):
        same([group[key] for group in used], [group[key] for group in expected])


momenta = st.lists(st.floats(0.1, 0.99), min_size=2, max_size=2).map(sorted)


@given(
    between=st.lists(rates, min_size=2, max_size=2).map(sorted),
    momentum=momenta,
    sizes=st.tuples(counts, st.none() | counts),
    mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
    gamma=st.floats(0.5, 1),
)
def test_cyclic_is_that_of_torch(
    between: list[float], momentum: list[float], sizes: Any, mode: str, gamma: float
):
    options = {
        "base_lr": between[0],
        "max_lr": between[1],
        "step_size_up": sizes[0],
        "step_size_down": sizes[1],
        "mode": mode,
        "base_momentum": momentum[0],
        "max_momentum": momentum[1],
    } | ({"gamma": gamma} if mode == "exp_range" else {})
    expected = torchs_groups(lambda driven: torchs.CyclicLR(driven, **options), UPDATES)
    same_groups(our_groups(config("CyclicLR", **options), UPDATES), expected)


@pytest.mark.parametrize("scale_mode", ["cycle", "iterations"])
def test_a_scale_of_its_own_is_that_of_torch_whose_cycles_count_from_one(scale_mode: str):
    options: Any = {"base_lr": 0.1, "max_lr": 0.4, "step_size_up": 3, "scale_mode": scale_mode}
    first = 1 if scale_mode == "cycle" else 0
    expected = torchs_groups(
        lambda driven: torchs.CyclicLR(
            driven, **options, scale_fn=lambda count: 0.9 ** (count - first)
        ),
        UPDATES,
    )
    falling = ExponentialScheduleConfig(step_duration="1 step", gamma=0.9)
    same_groups(our_groups(config("CyclicLR", **options, scale_fn=falling), UPDATES), expected)


@given(
    total=st.integers(2, 60),
    share=st.floats(0.02, 0.95),
    momentum=momenta,
    three_phase=st.booleans(),
    others=st.fixed_dictionaries(
        {
            "max_lr": rates,
            "div_factor": st.floats(1, 100),
            "final_div_factor": st.floats(1, 1e5),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
        }
    ),
)
def test_one_cycle_is_that_of_torch(
    total: int, share: float, momentum: list[float], three_phase: bool, others: dict[str, Any]
):
    assume(share * total > 1.001)
    assume(share <= 0.5 or not three_phase)
    options: Any = others | {
        "total_steps": total,
        "pct_start": share,
        "base_momentum": momentum[0],
        "max_momentum": momentum[1],
        "three_phase": three_phase,
    }
    expected = torchs_groups(lambda driven: torchs.OneCycleLR(driven, **options), total)
    same_groups(our_groups(config("OneCycleLR", **options), total), expected)


# -- those made of others, or of a function --------------------------------------------------------


@given(gamma=gammas)
def test_lambda_and_multiplicative_are_those_of_torch(gamma: float):
    falling = config("ExponentialLR", gamma=gamma)
    expected = theirs(lambda driven: torchs.LambdaLR(driven, lambda t: gamma**t), UPDATES)
    same(ours(config("LambdaLR", lr_lambda=falling), UPDATES), expected)
    expected = theirs(lambda driven: torchs.MultiplicativeLR(driven, lambda t: gamma**t), 20)
    same(ours(config("MultiplicativeLR", lr_lambda=falling), 20), expected)


@st.composite
def several(draw: st.DrawFn, names: tuple[str, ...] = PARTS) -> list[tuple[str, dict[str, Any]]]:
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
    return [(name, draw(st.fixed_dictionaries(OPTIONS[name]))) for name in chosen]


def made(parts: list[tuple[str, dict[str, Any]]], driven: Any) -> list[Any]:
    return [torchs_own(name, driven, **options) for name, options in parts]


def configured(parts: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    return [config(name, **options) for name, options in parts]


@given(
    parts=several((*PARTS, "MultiStepLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts")),
    at=st.lists(st.integers(1, 40), min_size=3, max_size=3, unique=True),
)
def test_sequential_is_that_of_torch(parts: Any, at: list[int]):
    marks = sorted(at[: len(parts) - 1])
    expected = theirs(
        lambda driven: torchs.SequentialLR(driven, made(parts, driven), list(marks)), UPDATES
    )
    same(ours(config("SequentialLR", schedulers=configured(parts), milestones=marks), 50), expected)


@given(parts=several((*PARTS, "MultiStepLR")))
def test_chained_is_that_of_torch_where_all_parts_multiply(parts: Any):
    expected = theirs(lambda driven: torchs.ChainedScheduler(made(parts, driven)), UPDATES)
    same(ours(config("ChainedScheduler", schedulers=configured(parts)), UPDATES), expected)


# -- where torch is wrong --------------------------------------------------------------------------


def test_torchs_cosine_climbs_after_its_end_and_so_does_the_named_one_but_cosine_stays():
    expected = theirs(lambda driven: torchs.CosineAnnealingLR(driven, 5), 11, lr=1.0)
    assert expected[10] == pytest.approx(1.0)
    same(ours(config("CosineAnnealingLR", T_max=5), 11, lr=1.0), expected)
    assert ours(CosineScheduleConfig(max_duration="5 steps"), 11, lr=1.0)[5:] == [0.0] * 6


def restarts(first: int, growth: int) -> list[int]:
    starts, length = [], first
    while (start := (starts[-1] if starts else 0) + length) < 10**6:
        starts.append(start)
        length *= growth
    return starts


def test_torch_misses_restarts_when_it_is_told_the_count_and_ours_misses_none():
    missed = asked = 0
    for first in range(1, 40):
        for growth in range(2, 8):
            named = config("CosineAnnealingWarmRestarts", T_0=first, T_mult=growth)
            curve = named.curve(RunLength())
            for start in restarts(first, growth):
                asked += 1
                assert curve(start) == 1.0
                missed += told_the_count(first, growth, start) < 0.5
    assert asked > 1500
    assert missed > 50


def told_the_count(first: int, growth: int, count: int) -> float:
    def told(driven: Any) -> Any:
        scheduler = torchs.CosineAnnealingWarmRestarts(driven, first, growth)
        scheduler.step(count)
        return scheduler

    return theirs(told, 1, lr=1.0)[0]


ONE_CYCLE: Any = {"max_lr": 1.0, "anneal_strategy": "linear", "cycle_momentum": False}


def test_torchs_one_cycle_of_one_update_has_the_lowest_rate_and_ours_the_highest():
    options = ONE_CYCLE | {"total_steps": 1}
    expected = theirs(lambda driven: torchs.OneCycleLR(driven, **options), 1)
    assert expected == pytest.approx([1 / 25 / 1e4])
    assert ours(config("OneCycleLR", **options), 1) == [1.0]


def test_torchs_one_cycle_divides_by_zero_where_the_way_up_takes_no_update():
    options = ONE_CYCLE | {"total_steps": 10, "pct_start": 0.1}
    with pytest.raises(ZeroDivisionError):
        theirs(lambda driven: torchs.OneCycleLR(driven, **options), 1)
    used = ours(config("OneCycleLR", **options), 10)
    assert used[0] == 1.0
    assert used[9] == 1 / 25 / 1e4


def test_torchs_one_cycle_goes_below_zero_after_its_end_then_fails_and_ours_stays():
    options = ONE_CYCLE | {"total_steps": 8}
    expected = theirs(lambda driven: torchs.OneCycleLR(driven, **options), 9)
    assert expected[8] < 0
    with pytest.raises(ValueError, match="Tried to step 9 times"):
        theirs(lambda driven: torchs.OneCycleLR(driven, **options), 10)
    used = ours(config("OneCycleLR", **options), 100)
    same(used[:8], expected[:8])
    assert used[8:] == [1 / 25 / 1e4] * 92


def test_torchs_chain_is_no_product_where_a_part_has_a_least_rate_and_ours_is():
    parts = [
        ("LinearLR", {"start_factor": 0.1, "total_iters": 10}),
        ("CosineAnnealingLR", {"T_max": 40, "eta_min": 0.2}),
    ]
    expected = theirs(lambda driven: torchs.ChainedScheduler(made(parts, driven)), 40, lr=1.0)
    first, second = (ours(part, 40, lr=1.0) for part in configured(parts))
    product = [one * other for one, other in zip(first, second, strict=True)]
    assert max(abs(a - b) for a, b in zip(expected, product, strict=True)) > 0.01
    same(ours(config("ChainedScheduler", schedulers=configured(parts)), 40, lr=1.0), product)


def test_torchs_constant_of_zero_fails_at_its_end_and_ours_comes_back():
    with pytest.raises(ZeroDivisionError):
        theirs(lambda driven: torchs.ConstantLR(driven, 0.0, 2), 3)
    assert ours(config("ConstantLR", factor=0.0, total_iters=2), 3, lr=1.0) == [0.0, 0.0, 1.0]


def test_torchs_line_cannot_begin_at_zero_and_ours_can():
    with pytest.raises(ValueError, match="greater than 0"):
        theirs(lambda driven: torchs.LinearLR(driven, 0.0), 1)
    used = ours(config("LinearLR", start_factor=0.0, total_iters=2), 4, lr=1.0)
    assert used == [0.0, 0.5, 1.0, 1.0]


def test_torchs_triangles_fail_after_a_thousand_cycles_and_ours_go_on():
    options: Any = {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 1, "mode": "triangular2"}

    def late(driven: Any) -> Any:
        scheduler = torchs.CyclicLR(driven, **options)
        scheduler.last_epoch = 2 * 1024
        return scheduler

    with pytest.raises(OverflowError):
        theirs(late, 2)
    (rate, _) = config("CyclicLR", **options).tracks(RunLength())
    assert rate.curve(2 * 1024 + 1) == pytest.approx(0.1)
