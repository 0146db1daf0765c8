"""What is put around an optimizer, in real runs: bad batches, second gradients, what is saved."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision
from tests.trainers.support import trainer
from tests.trainers.test_driving import (
    Model,
    data,
    loss_of,
    model,
    network,
    weights,
)
from torch import Tensor

ADAMW = {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}


class Bad(Model):
    """The gradients of one batch, the third, are not finite."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:  # type: ignore[override]
        return loss_of(self.net, batch) * (math.nan if batch_idx == 2 else 1.0)


class Weights(Callback):
    """The weights after each batch, and what was logged of skipped updates."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []
        self.logged: list[float] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.seen.append(weights(module))
        if "skipped_updates" in trainer.callback_metrics:
            self.logged.append(trainer.callback_metrics["skipped_updates"].item())


def skipping(**options: Any) -> dict[str, Any]:
    return {"optimizer": {"name": "skipping", "optimizer": ADAMW, **options}}


@pytest.mark.parametrize("every", [1, 2])
def test_a_bad_batch_changes_nothing_and_is_counted_in_the_log(every: int) -> None:
    watch, module = Weights(), Bad(skipping())
    options: Any = {"max_epochs": 1, "callbacks": [watch], "accumulate_grad_batches": every}
    run = trainer(**options)
    run.fit(module, data())
    moved = [
        not torch.equal(one["0.weight"], other["0.weight"])
        for one, other in zip(watch.seen, watch.seen[1:], strict=False)
    ]
    assert (
        moved == {1: [True, False, True, True, True], 2: [True, False, False, False, True]}[every]
    )
    (optimizer,) = run.optimizers
    assert {float(state["step"]) for state in optimizer.state.values()} == {6 / every - 1}
    assert optimizer.param_groups[0]["skipped"] == 1
    assert watch.logged[-1] == 1.0


def test_the_schedule_stands_still_for_a_skipped_update() -> None:
    schedule = {"name": "linear", "max_duration": "100%"}
    run = trainer(max_epochs=1)
    run.fit(Bad({**skipping(), "lr_scheduler": schedule}), data())
    assert run.lr_scheduler_configs[0].scheduler.last_epoch == 5
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01 / 6)


@pytest.mark.parametrize("fused", [None, False])
def test_beside_a_scaler_of_gradients_a_bad_batch_changes_nothing(fused: bool | None) -> None:
    watch = Weights()
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=8.0))
    optimizer = {"name": "clipped", "max_norm": 1.0, "optimizer": {**ADAMW, "fused": fused}}
    module = Bad({"optimizer": {"name": "skipping", "optimizer": optimizer}})
    run = trainer(max_epochs=1, callbacks=[watch], plugins=[plugin])
    run.fit(module, data())
    one, other = watch.seen[1:3]
    assert torch.equal(one["0.weight"], other["0.weight"])
    assert {float(state["step"]) for state in run.optimizers[0].state.values()} == {5.0}
    assert all(bool(value.isfinite().all()) for value in weights(module).values())


def test_sam_takes_both_gradients_from_the_batch_that_it_is_at() -> None:
    inner = {"name": "sgd", "lr": 0.1, "momentum": 0.9}
    module = model(name="sam", rho=0.1, optimizer=inner)
    trainer(max_epochs=2).fit(module, data())
    net = network()
    optimizer = module.hparams.optimizer.create_optimizer(net.parameters())

    for batch in [*data(), *data()]:

        def closure(batch: Tensor = batch) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(net, batch)
            loss.backward()
            return loss

        optimizer.step(closure)  # type: ignore[arg-type]
    torch.testing.assert_close(weights(module), net.state_dict())
