"""What is asked of Accelerate, with something in its place; the rest is in peers."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nshtrainer import RunLength, create
from nshtrainer.configs import CosineScheduleConfig, SGDConfig
from nshtrainer.exceptions import ScheduleError
from nshtrainer.integrations.accelerate import UpdateScheduler, run_length

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


class _WithItsOwnCopies:
    """A scheduler with every special method that `copy` and `pickle` look for in an object."""

    last_epoch = 3

    def __getstate__(self) -> dict[str, Any]:
        return {"last_epoch": 7}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.last_epoch = state["last_epoch"]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return type(self)()

    def __copy__(self) -> Any:
        return type(self)()

    def __getnewargs_ex__(self) -> Any:
        return (), {}


@pytest.mark.parametrize("make", [_WithItsOwnCopies, lambda: pair()[1]], ids=["its own", "ours"])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_a_copy_keeps_the_scheduler_and_its_optimizer(make: Any, copied: Any):
    original = UpdateScheduler(make(), prepared(skipped=True))
    # Python 3.10 looks these up in the object, where later releases find them in `object`.
    assert not {"__deepcopy__", "__copy__", "__setstate__", "__getnewargs_ex__"} & {
        name for name in dir(_WithItsOwnCopies) if hasattr(original, name)
    }
    twin = copied(original)
    assert type(twin) is UpdateScheduler
    assert type(twin.scheduler) is type(original.scheduler)
    assert twin.optimizer.step_was_skipped


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
