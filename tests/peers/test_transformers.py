"""transformers' `get_scheduler`, kind by kind, step by step, at random options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.parity.support import optimizer, ours, theirs
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION, get_scheduler

from nshtrainer import RunLength
from nshtrainer.lr_scheduler import lr_scheduler_registry

LR = 0.3

RIGHT_UP_TO_THE_END = {"cosine", "cosine_with_min_lr", "cosine_warmup_with_min_lr"}
"""Kinds that climb again after the end; ours stay."""

LOOKS_AT_A_METRIC = {"reduce_lr_on_plateau", "greedy"}


def config(name: str, warmup: int = 0, **options: Any) -> Any:
    values = {"warmup_duration": f"{warmup} steps", "warmup_start_factor": 0.0} | options
    return lr_scheduler_registry[name].model_validate(values)


def steps(number: int) -> str:
    return f"{number} steps"


def constant(warmup: int, total: int, kwargs: Any) -> Any:
    return config("constant")


def constant_with_warmup(warmup: int, total: int, kwargs: Any) -> Any:
    return config("constant", warmup)


def linear(warmup: int, total: int, kwargs: Any) -> Any:
    return config("linear", warmup, max_duration=steps(total))


def cosine(warmup: int, total: int, kwargs: Any) -> Any:
    return config("cosine", warmup, max_duration=steps(total), **kwargs)


def cosine_with_restarts(warmup: int, total: int, kwargs: Any) -> Any:
    cycles = kwargs["num_cycles"]
    cycle = steps((total - warmup) // cycles)
    return config("cosine_restarts", warmup, cycle_duration=cycle, num_cycles=cycles)


def polynomial(warmup: int, total: int, kwargs: Any) -> Any:
    options = {"power": kwargs["power"], "min_lr": kwargs["lr_end"]}
    return config("polynomial", warmup, max_duration=steps(total), **options)


def inverse_sqrt(warmup: int, total: int, kwargs: Any) -> Any:
    return config("inverse_sqrt", warmup, timescale=steps(kwargs["timescale"]))


def cosine_with_min_lr(warmup: int, total: int, kwargs: Any) -> Any:
    return config("cosine", warmup, max_duration=steps(total), min_lr=kwargs["min_lr"])


def cosine_warmup_with_min_lr(warmup: int, total: int, kwargs: Any) -> Any:
    """The first update has 1 / W already, and the last one the minimum."""
    options = {"max_duration": steps(total), "hit_end": True, "min_factor": kwargs["min_lr_rate"]}
    return config("cosine", warmup - 1, warmup_start_factor=1 / warmup, **options)


def warmup_stable_decay(warmup: int, total: int, kwargs: Any) -> Any:
    return config(
        "warmup_stable_decay",
        warmup,
        max_duration=steps(total),
        decay_duration=steps(kwargs["num_decay_steps"]),
        warmup_shape=kwargs["warmup_type"],
        decay_shape=kwargs["decay_type"],
        min_factor=kwargs["min_lr_ratio"],
        warmup_start_factor=kwargs["min_lr_ratio"],
    )


shapes = st.sampled_from(["linear", "cosine", "1-sqrt"])
shares = st.floats(0, 0.5)

KINDS: dict[str, tuple[Any, dict[str, st.SearchStrategy[Any]]]] = {
    "constant": (constant, {}),
    "constant_with_warmup": (constant_with_warmup, {}),
    "linear": (linear, {}),
    "cosine": (cosine, {"num_cycles": st.floats(0.1, 3)}),
    "cosine_with_restarts": (cosine_with_restarts, {"num_cycles": st.just(3)}),
    "polynomial": (polynomial, {"power": st.floats(0.1, 3), "lr_end": st.floats(1e-7, 0.2)}),
    "inverse_sqrt": (inverse_sqrt, {"timescale": st.integers(1, 50)}),
    "cosine_with_min_lr": (cosine_with_min_lr, {"min_lr": st.floats(0, LR)}),
    "cosine_warmup_with_min_lr": (cosine_warmup_with_min_lr, {"min_lr_rate": shares}),
    "warmup_stable_decay": (
        warmup_stable_decay,
        {
            "num_decay_steps": st.integers(1, 10),
            "warmup_type": shapes,
            "decay_type": shapes,
            "min_lr_ratio": shares,
        },
    ),
}


def test_every_kind_is_compared() -> None:
    kinds = {kind.value for kind in TYPE_TO_SCHEDULER_FUNCTION}
    assert kinds == KINDS.keys() | LOOKS_AT_A_METRIC


def made(kind: str, warmup: int, total: int, kwargs: Any) -> Any:
    return lambda driven: get_scheduler(
        kind,
        driven,
        num_warmup_steps=warmup,
        num_training_steps=total,
        scheduler_specific_kwargs=dict(kwargs),
    )


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_rates_are_those_of_transformers(kind: str, data: st.DataObject) -> None:
    write, strategies = KINDS[kind]
    warmup = data.draw(st.integers(1, 12))
    total = warmup + 3 * data.draw(st.integers(4, 12))  # three cycles of whole steps
    kwargs = data.draw(st.fixed_dictionaries(strategies))
    updates = total if kind in RIGHT_UP_TO_THE_END else total + 10
    expected = theirs(made(kind, warmup, total, kwargs), updates, LR)
    used = ours(write(warmup, total, kwargs), updates, LR)
    assert used == pytest.approx(expected, rel=1e-12, abs=1e-12 * LR)


metrics = st.lists(st.floats(0, 1), min_size=40, max_size=40)


@pytest.mark.parametrize("mode", ["min", "max"])
@given(values=metrics, patience=st.integers(0, 3), cooldown=st.integers(0, 2))
def test_on_a_plateau_and_greedily_the_rates_are_those_of_transformers(
    mode: str, values: list[float], patience: int, cooldown: int
) -> None:
    options: Any = {"factor": 0.5, "patience": patience, "cooldown": cooldown, "min_lr": 0.01}
    same_on_a_metric("reduce_lr_on_plateau", mode, options, values)
    same_on_a_metric("greedy", mode, options | {"max_lr": 2.0, "reset_start": 3}, values)


def same_on_a_metric(kind: str, mode: str, options: Any, values: list[float]) -> None:
    first, second = optimizer(LR), optimizer(LR)
    other = get_scheduler(kind, first, scheduler_specific_kwargs=options | {"mode": mode})
    metric = {"monitor": "metric", "mode": mode}
    own = lr_scheduler_registry[kind].model_validate({**options, "metric": metric})
    mine: Any = own.create_scheduler(second, RunLength())["scheduler"]
    for value in values:
        other.step(value)
        mine.step(value)
        assert second.param_groups[0]["lr"] == pytest.approx(first.param_groups[0]["lr"], rel=1e-12)


# -- where transformers is wrong -------------------------------------------------------------------


def test_after_the_end_their_cosines_climb_again_and_ours_stay() -> None:
    for kind in ("cosine", "cosine_with_min_lr"):
        kwargs = {} if kind == "cosine" else {"min_lr": 0.0}
        assert theirs(made(kind, 10, 100, kwargs), 191, 1.0)[190] == pytest.approx(1.0)
        assert ours(config("cosine", 10, max_duration="100 steps"), 191, 1.0)[100:] == [0.0] * 91


def test_their_end_is_that_of_the_default_rate_and_ours_that_of_each_group() -> None:
    def two_groups() -> Any:
        first, second = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
        return torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 1.0}], lr=0.1)

    driven = two_groups()
    drive(driven, made("polynomial", 0, 10, {"lr_end": 0.01})(driven), 12)
    assert [group["lr"] for group in driven.param_groups] == pytest.approx([0.01, 0.1])
    driven = two_groups()
    own = config("polynomial", max_duration="10 steps", min_lr=0.01)
    drive(driven, own.create_scheduler(driven, RunLength())["scheduler"], 12)
    assert [group["lr"] for group in driven.param_groups] == pytest.approx([0.01, 0.01])


def drive(driven: Any, scheduler: Any, updates: int) -> None:
    for _ in range(updates):
        driven.step()
        scheduler.step()
