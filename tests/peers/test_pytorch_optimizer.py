"""pytorch_optimizer's schedules, and where they are wrong.

Its schedulers write the minimum when they are built, and the rate of step 0 with the first call of
`step()`: in a usual loop each rate comes an update late. What is compared is the sequence of the
rates that the calls write.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import pytorch_optimizer
from hypothesis import given
from hypothesis import strategies as st
from pytorch_optimizer import lr_scheduler as theirs
from tests.parity import support

from nshtrainer import RunLength
from nshtrainer.lr_scheduler import lr_scheduler_registry

TORCHS = {
    "constant": "ConstantLR",
    "step": "StepLR",
    "multi_step": "MultiStepLR",
    "cyclic": "CyclicLR",
    "multiplicative": "MultiplicativeLR",
    "one_cycle": "OneCycleLR",
    "cosine_annealing": "CosineAnnealingLR",
    "cosine_annealing_with_warm_restart": "CosineAnnealingWarmRestarts",
}
"""Kinds that are torch's own classes, which tests/parity compares."""

COMPARED = {
    "linear",
    "cosine",
    "poly",
    "rex",
    "cosine_annealing_with_warmup",
    "chebyshev",
    "warmup_stable_decay",
}
NOT_COMPARED = {"proportion": "another hyperparameter that follows the rate, and no schedule of it"}


def config(name: str, **options: Any) -> Any:
    return lr_scheduler_registry[name].model_validate(options)


def steps(number: int) -> str:
    return f"{number} steps"


def written(make: Any, calls: int) -> list[float]:
    """The rates that the first calls of `step()` write."""
    driven = support.optimizer(1.0)
    scheduler = make(driven)
    rates = []
    for _ in range(calls):
        driven.step()
        scheduler.step()
        rates.append(float(driven.param_groups[0]["lr"]))
    return rates


def same(expected: list[float], own: Any, first: int = 0) -> None:
    curve = own.curve(RunLength(base_lr=1.0))
    used = [curve(first + step) for step in range(len(expected))]
    assert used == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_every_kind_is_compared_or_has_a_reason() -> None:
    kinds = set(pytorch_optimizer.get_supported_lr_schedulers())
    assert kinds == TORCHS.keys() | COMPARED | NOT_COMPARED.keys()
    for kind, name in TORCHS.items():
        assert theirs.load_lr_scheduler(kind).__module__ == "torch.optim.lr_scheduler"
        assert theirs.load_lr_scheduler(kind).__name__ == name


warmups = st.integers(0, 10)
lengths = st.integers(2, 30)
shares = st.floats(0, 0.9)


@pytest.mark.parametrize(
    ("cls", "name"), [("LinearScheduler", "linear"), ("CosineScheduler", "cosine")]
)
@given(warmup=warmups, length=lengths, start=shares, end=shares)
def test_linear_and_cosine_up_to_the_end(
    cls: str, name: str, warmup: int, length: int, start: float, end: float
) -> None:
    total = warmup + length
    options: Any = {"max_lr": 1.0, "min_lr": end, "init_lr": start, "warmup_steps": warmup}
    expected = written(lambda o: getattr(theirs, cls)(o, t_max=total, **options), total)
    own = config(
        name,
        warmup_duration=steps(warmup),
        warmup_start_factor=start,
        max_duration=steps(total),
        min_factor=end,
    )
    same(expected, own)


@given(total=lengths, end=shares)
def test_rex(total: int, end: float) -> None:
    expected = written(lambda o: theirs.REXScheduler(o, total, max_lr=1.0, min_lr=end), total + 5)
    same(expected, config("rex", max_duration=steps(total), min_factor=end), first=1)


@given(first=lengths, growth=st.integers(1, 3), peak=st.floats(0.7, 1), end=st.floats(0, 0.01))
def test_restarts_without_a_warm_up(first: int, growth: int, peak: float, end: float) -> None:
    expected = written(
        lambda o: theirs.CosineAnnealingWarmupRestarts(
            o, first, growth, max_lr=1.0, min_lr=end, gamma=peak
        ),
        60,
    )
    own = {"cycle_duration": steps(first), "growth_factor": growth, "peak_factor": peak}
    made = config("cosine_restarts", **own, min_factor=end)
    cycles = [cycle for cycle in range(60) if peak**cycle > end]
    reached = sum(first * growth**cycle for cycle in cycles)
    same(expected[: reached - 1], made, first=1)


shapes = st.sampled_from(["cosine", "1-sqrt", "linear", "1-square"])


@given(warmup=warmups, stable=warmups, decay=lengths, shape=shapes, end=shares)
def test_stable_then_decay(warmup: int, stable: int, decay: int, shape: str, end: float) -> None:
    end = end if shape == "cosine" else 0.0
    total = warmup + stable + decay
    expected = support.theirs(
        lambda o: theirs.get_wsd_schedule(
            o, warmup, stable, decay, min_lr_ratio=end, cooldown_type=shape
        ),
        total + 5,
        1.0,
    )
    own = config(
        "warmup_stable_decay",
        warmup_duration=steps(warmup),
        warmup_start_factor=0.0,
        max_duration=steps(total),
        decay_duration=steps(decay),
        decay_shape=shape,
        min_factor=end,
    )
    same(expected, own)


@pytest.mark.parametrize("depth", range(3, 7))
def test_chebyshev_two_steps_late_as_theirs_is(depth: int) -> None:
    made = config("chebyshev", depth=depth, ratio=0.05)
    same(list(theirs.get_chebyshev_perm_steps(2**depth)), made)
    late = support.theirs(lambda o: theirs.get_chebyshev_schedule(o, 2**depth), 2**depth, 1.0)
    curve = made.curve(RunLength())
    expected = [curve(max(0, step - 2)) for step in range(2**depth)]
    assert late == pytest.approx(expected, rel=1e-12)


# -- where it is wrong -----------------------------------------------------------------------------


def test_the_first_update_has_the_lowest_rate_and_ours_the_highest() -> None:
    for make in (
        lambda o: theirs.CosineScheduler(o, t_max=10, max_lr=1.0),
        lambda o: theirs.CosineAnnealingWarmupRestarts(o, 10, max_lr=1.0, min_lr=0.0),
        lambda o: theirs.REXScheduler(o, 10, max_lr=1.0),
    ):
        assert support.theirs(make, 1, 1.0) == [0.0]
    assert support.ours(config("cosine", max_duration="10 steps"), 1, 1.0) == [1.0]


def test_after_the_end_linear_goes_below_zero_and_cosine_climbs_and_ours_stay() -> None:
    linear = written(lambda o: theirs.LinearScheduler(o, t_max=10, max_lr=1.0), 21)
    cosine = written(lambda o: theirs.CosineScheduler(o, t_max=10, max_lr=1.0), 21)
    assert linear[20] == pytest.approx(-1.0)
    assert cosine[20] == pytest.approx(1.0)
    for name in ("linear", "cosine"):
        assert support.ours(config(name, max_duration="10 steps"), 21, 1.0)[10:] == [0.0] * 11


def test_their_four_chebyshev_steps_are_two_and_ours_are_four() -> None:
    assert len(theirs.get_chebyshev_perm_steps(4)) == 2
    curve = config("chebyshev", depth=2).curve(RunLength())
    assert len({curve(step) for step in range(4)}) == 4


def test_poly_grows_without_bound_and_ours_falls() -> None:
    rates = written(lambda o: theirs.PolyScheduler(o, t_max=10, max_lr=1.0), 9)
    assert rates[1:] == pytest.approx([math.sqrt(step) for step in range(1, 9)])
    own = config("polynomial", power=0.5, max_duration="10 steps")
    assert support.ours(own, 9, 1.0) == pytest.approx([math.sqrt(1 - t / 10) for t in range(9)])


@pytest.mark.parametrize("shape", ["1-sqrt", "linear", "1-square"])
def test_their_decay_falls_below_the_minimum_and_jumps_up_to_it_and_ours_does_not(
    shape: str,
) -> None:
    def make(driven: Any) -> Any:
        return theirs.get_wsd_schedule(driven, 0, 0, 10, min_lr_ratio=0.5, cooldown_type=shape)

    rates = support.theirs(make, 11, 1.0)
    assert rates[9] < 0.5
    assert rates[10] == 0.5
    own = config(
        "warmup_stable_decay",
        decay_duration="10 steps",
        max_duration="10 steps",
        decay_shape=shape,
        min_factor=0.5,
    )
    used = support.ours(own, 11, 1.0)
    assert used == sorted(used, reverse=True)
    assert used[10] == 0.5
