"""What is asked of Accelerate, with something in its place; the rest is in peers."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nshtrainer import RunLength, create
from nshtrainer.accelerate_ import UpdateScheduler, run_length
from nshtrainer.configs import CosineScheduleConfig, SGDConfig
from nshtrainer.exceptions import ScheduleError

TEN = RunLength(total_steps=10)


def pair() -> tuple[Any, Any]:
    return create(SGDConfig(lr=1.0), CosineScheduleConfig(), torch.nn.Linear(1, 1), TEN)


def prepared(*, syncs: bool = True, skipped: bool = False) -> Any:
    state = SimpleNamespace(sync_gradients=syncs)
    return SimpleNamespace(gradient_state=state, step_was_skipped=skipped)


@pytest.mark.parametrize(
    ("state", "moves"), [({}, 1), ({"syncs": False}, 0), ({"skipped": True}, 0)]
)
def test_a_scheduler_moves_if_the_optimizer_did(state: Any, moves: int):
    scheduler = UpdateScheduler(pair()[1], prepared(**state))
    scheduler.step()
    assert scheduler.last_epoch == moves


def test_all_else_is_the_schedulers():
    inner = pair()[1]
    scheduler = copy.copy(UpdateScheduler(inner, prepared()))
    scheduler.load_state_dict({"last_epoch": 5})
    assert scheduler.get_last_lr() == inner.get_last_lr() == [0.5]
    assert scheduler.state_dict() == inner.state_dict()


def test_to_ask_whether_a_scheduler_was_prepared_is_an_error():
    scheduler = pair()[1]
    with pytest.raises(
        ScheduleError, match=r"once for each process at each update; write nshtrain"
    ):
        getattr(scheduler, "_is_accelerate_prepared", False)
    assert pickle.loads(pickle.dumps(scheduler)).get_last_lr() == [1.0]


def test_a_loader_that_nobody_prepared_has_another_length():
    with pytest.raises(ScheduleError, match=r"pass what accelerator.prepare\(loader\) returned"):
        run_length(SimpleNamespace(), range(3), num_epochs=1)
