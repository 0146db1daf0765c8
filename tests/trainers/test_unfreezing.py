"""Parameters that are frozen until a moment of the run: when they move, and exact resume."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.trainers.support import (
    BOTH_TRAINERS,
    MID_EPOCH,
    NO_SAVER,
    TinyConfig,
    data,
    trainer,
)
from torch import Tensor, nn

from nshtrainer import LightningModuleBase
from nshtrainer.callbacks import GradientAccumulationSchedulerConfig, UnfreezeCallbackConfig
from nshtrainer.exceptions import OptimizerError, RunLengthError

RULES = [{"name": "body", "select": "body", "lr_mult": 0.5}]
FROZEN = [{"name": "body", "select": "body", "lr_mult": 0.5, "freeze": True}]
ADAMW: dict[str, Any] = {"name": "adamw", "lr": 0.1, "weight_decay": 0.1}


class Net(LightningModuleBase[TinyConfig]):
    """Two layers; each batch is the same, so that a run resumed in mid-epoch sees no others."""

    def __init__(self, hparams: Any = None) -> None:
        super().__init__(hparams or {"optimizer": {**ADAMW, "groups": RULES}})
        torch.manual_seed(0)
        self.body = nn.Linear(2, 3)
        self.head = nn.Linear(3, 1)
        self.free = nn.Parameter(torch.zeros(1))
        self.walk: dict[int, dict[str, Tensor]] = {}

    def training_step(self, batch: Tensor) -> Tensor:
        return (self.head(self.body(torch.ones(1, 2))) + self.free - 1).square().mean()

    def on_train_batch_end(self, *_: Any) -> None:
        self.walk[self.trainer.global_step] = copy.deepcopy(self.state_dict())


def unfreeze(**fields: Any) -> Any:
    fields = {"groups": ("body",)} | fields if "select" not in fields else fields
    return UnfreezeCallbackConfig.model_validate(fields).create_callback()


def first_move(module: Net, name: str) -> int:
    """The number of updates after which a weight was first another than it had been."""
    torch.manual_seed(0)
    start = Net().state_dict()[name]
    return next(
        step for step, values in module.walk.items() if not torch.equal(values[name], start)
    )


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize(
    ("fields", "moved_by"),
    [
        ({"after": "3 epochs"}, 13),
        ({"after": "3 epochs", "select": "body"}, 13),
        ({"after": "2.5 epochs"}, 11),
        ({"after": "5 steps"}, 6),
        ({"after": "50%"}, 9),
        ({"after": "0 steps"}, 1),
    ],
)
def test_parameters_move_from_the_moment_on(
    make: Any, fields: dict[str, Any], moved_by: int
) -> None:
    module = Net()
    trainer(make, max_epochs=4, callbacks=[unfreeze(**fields)]).fit(module, data(4))
    assert first_move(module, "body.weight") == moved_by
    assert first_move(module, "head.weight") == 1
    optimizer = module.trainer.optimizers[0]
    assert optimizer.state[module.body.weight]["step"] == 17 - moved_by


def test_a_group_that_is_frozen_in_the_file_is_unfrozen() -> None:
    options = {**ADAMW, "groups": FROZEN, "include_frozen": True, "no_decay": "bias_and_norm"}
    module = Net({"optimizer": options})
    trainer(max_epochs=4, callbacks=[unfreeze(after="3 epochs")]).fit(module, data(4))
    assert first_move(module, "body.weight") == first_move(module, "body.bias") == 13


class Broken(Net):
    def training_step(self, batch: Tensor) -> Tensor:
        raise RuntimeError("broken")


def test_a_run_leaves_the_parameters_for_the_next() -> None:
    module = Net()
    trainer(max_epochs=1, callbacks=[unfreeze(after="1 epochs")]).fit(module, data(4))
    assert module.body.weight.requires_grad
    trainer(max_epochs=2, callbacks=[unfreeze(after="1 epochs")]).fit(module, data(4))
    assert module.body.weight in module.trainer.optimizers[0].state
    broken = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        trainer(max_epochs=1, callbacks=[unfreeze(after="1 epochs")]).fit(broken, data(4))
    assert broken.body.weight.requires_grad


def test_the_schedule_covers_the_group_from_the_start() -> None:
    hparams = {"optimizer": {**ADAMW, "groups": RULES}, "lr_scheduler": "cosine"}
    ours, plain = Net(hparams), Net(hparams)
    trainer(max_epochs=4, callbacks=[unfreeze(after="2 epochs")]).fit(ours, data(4))
    trainer(max_epochs=4).fit(plain, data(4))
    rates = [[g["lr"] for g in m.trainer.optimizers[0].param_groups] for m in (ours, plain)]
    assert rates[0] == rates[1]


def test_epochs_of_changing_accumulation_are_counted_as_they_are() -> None:
    accumulate = GradientAccumulationSchedulerConfig(scheduling={1: 2, 3: 4}).create_callback()
    module = Net()
    run = trainer(max_epochs=4, callbacks=[accumulate, unfreeze(after="3 epochs")])
    run.fit(module, data(4))
    assert module.trainer.global_step == 4 + 2 + 2 + 1
    assert first_move(module, "body.weight") == 9


@pytest.mark.filterwarnings(MID_EPOCH, NO_SAVER)
@pytest.mark.parametrize(
    ("stop", "rules"),
    [
        (6, FROZEN),
        (12, RULES),
        (14, RULES),
        *(
            pytest.param(stop, rules, marks=pytest.mark.slow)
            for stop, rules in [(6, RULES), (12, FROZEN), (13, RULES), (13, FROZEN), (14, FROZEN)]
        ),
    ],
)
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path: Path, stop: int, rules: Any) -> None:
    hparams = {
        "optimizer": {**ADAMW, "groups": rules, "include_frozen": True},
        "lr_scheduler": {"name": "cosine", "max_duration": "16 steps"},
    }

    def run(module: Net, *more: Any, **options: Any) -> None:
        callbacks = [unfreeze(after="3 epochs"), *more]
        path = options.pop("ckpt_path", None)
        run = trainer(max_epochs=4, callbacks=callbacks, **options)
        run.fit(module, data(4), ckpt_path=path)

    whole, first, second = Net(hparams), Net(hparams), Net(hparams)
    run(whole)
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=stop, save_top_k=-1, filename="{step}")
    run(first, saver, max_steps=stop)
    run(second, ckpt_path=tmp_path / f"step={stop}.ckpt")
    assert min(second.walk) == stop + 1
    for step, values in second.walk.items():
        for name, value in values.items():
            assert torch.equal(value, whole.walk[step][name]), (step, name)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"groups": ("boddy",)},
            r"unfreeze\.groups: unknown parameter group 'boddy'; did you mean",
        ),
        ({"select": "bodi"}, r"unfreeze\.select: 'bodi' matches nothing; the nearest are 'body'"),
    ],
)
def test_what_is_not_there_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(OptimizerError, match=says):
        trainer(max_epochs=1, callbacks=[unfreeze(after="1 epochs", **fields)]).fit(Net(), data())


def test_without_groups_none_is_suggested() -> None:
    run = trainer(max_epochs=1, callbacks=[unfreeze(after="1 epochs", groups=("body",))])
    with pytest.raises(OptimizerError, match=r"unknown parameter group 'body'; if they are frozen"):
        run.fit(Net({"optimizer": "sgd"}), data())


def test_groups_may_be_unfrozen_one_after_another() -> None:
    rules = [*RULES, {"name": "head", "select": "head"}]
    module = Net({"optimizer": {**ADAMW, "groups": [*rules, {"name": "free", "select": "free"}]}})
    steps = {"head": "1 epochs", "body": "2 epochs"}
    callbacks = [unfreeze(after=after, groups=(name,)) for name, after in steps.items()]
    trainer(max_epochs=3, callbacks=callbacks).fit(module, data(4))
    assert [first_move(module, f"{name}.weight") for name in steps] == [5, 9]


@pytest.mark.parametrize("fields", [{"groups": ("body",)}, {"select": "body"}])
def test_parameters_in_no_optimizer_are_an_error(fields: dict[str, Any]) -> None:
    frozen = {"name": "body", "select": "body", "freeze": True}
    module = Net({"optimizer": {**ADAMW, "groups": [frozen]}})
    with pytest.raises(OptimizerError, match="set its include_frozen: true"):
        trainer(max_epochs=1, callbacks=[unfreeze(after="1 epochs", **fields)]).fit(module, data())


def test_a_share_of_an_endless_run_is_an_error() -> None:
    run = trainer(max_epochs=-1, callbacks=[unfreeze(after="10%")])
    with pytest.raises(
        RunLengthError, match=r"unfreeze\.after: 10% of the run cannot become steps"
    ):
        run.fit(Net(), data())
