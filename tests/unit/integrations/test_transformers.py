"""What is read from a Trainer of transformers, from a stand-in for one; the rest is in peers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import nshtrainer
from nshtrainer import RunLength
from nshtrainer.configs import CosineScheduleConfig, SGDConfig
from nshtrainer.exceptions import RunLengthError, ScheduleError
from nshtrainer.integrations.transformers import TrainerRunLength, run_length_of

ARGUMENTS: dict[str, Any] = {
    "auto_find_batch_size": False,
    "eval_strategy": "no",
    "greater_is_better": False,
    "max_steps": -1,
    "metric_for_best_model": None,
    "num_train_epochs": 3.0,
}


class StandIn:
    """Has the attributes of a Trainer that are looked at."""

    __module__ = "transformers.trainer"

    def __init__(self, **arguments: Any) -> None:
        self.args = SimpleNamespace(**{**ARGUMENTS, **arguments})
        self.train_dataset: Any = range(20)
        checked = SimpleNamespace(checks_length=True)
        self.callback_handler = SimpleNamespace(callbacks=[checked])
        self.model_init = None
        self.is_in_train = self.is_fsdp_enabled = self.is_fsdp_xla_enabled = False
        self.asked = 0

    def get_train_dataloader(self) -> Any:
        self.asked += 1
        torch.rand(1)
        return self.train_dataset

    get_train_dataloader.__module__ = "transformers.trainer"

    def set_initial_training_values(self, args: Any, loader: Any) -> tuple[Any, ...]:
        return (3, len(loader) // 4, 0, 0, 4, 20, 15)

    def get_total_train_batch_size(self, args: Any) -> int:
        return 4


def test_the_trainer_is_found_by_the_package_of_its_class():
    run = nshtrainer.run_length.run_length_of(StandIn())
    assert isinstance(run, TrainerRunLength)
    assert (run.total_steps, run.steps_per_epoch, run.samples_per_step) == (15, 5, 4)
    assert run.snapshot() == RunLength(15, 5, samples_per_step=4)
    assert repr(run) == "TrainerRunLength(total_steps=15, steps_per_epoch=5, samples_per_step=4)"
    assert run != run_length_of(StandIn())
    assert len({run, TrainerRunLength(StandIn())}) == 2


def test_the_loader_is_made_once_and_only_where_it_is_needed():
    trainer = StandIn(max_steps=7)
    run = run_length_of(trainer)
    assert (run.total_steps, trainer.asked) == (7, 0)
    assert (run.steps_per_epoch, run.steps_in_epochs(2), trainer.asked) == (5, 10, 1)


def test_a_look_leaves_the_random_numbers_as_they_are():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert run_length_of(StandIn()).total_steps == 15
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("setting", ["is_fsdp_enabled", "is_fsdp_xla_enabled", "model_init"])
def test_what_would_not_be_trained_is_refused_but_within_the_training(setting: str):
    trainer = StandIn()
    setattr(trainer, setting, True)
    with pytest.raises(
        ScheduleError, match=r"create them in a subclass of the Trainer: def create_"
    ):
        run_length_of(trainer)
    trainer.is_in_train = True
    assert run_length_of(trainer).total_steps == 15


def test_what_is_not_known_is_said_with_the_reason():
    trainer = StandIn()
    trainer.train_dataset = None
    with pytest.raises(
        RunLengthError, match="because the Trainer has no train_dataset; give it one"
    ):
        nshtrainer.create(SGDConfig(), CosineScheduleConfig(), torch.nn.Linear(1, 1), trainer)
    assert run_length_of(StandIn()).unknown_because is None
