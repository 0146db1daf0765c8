"""Gradients that are not finite in one of two processes: both decide the same."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from tests.trainers.processes import group
from tests.trainers.support import QUIET
from tests.trainers.test_non_finite import BAD, GOOD, SKIP, Model, data
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

import nshtrainer
from nshtrainer.exceptions import BadUpdateError

pytestmark = pytest.mark.slow

STRATEGIES: dict[str, Any] = {
    "ddp": DDPStrategy,
    "fsdp2": lambda: ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1),
}
ADAMW = {"name": "adamw", "lr": 0.01, "fused": False}


class BadInOne(Model):
    """The loss of a bad batch is not finite in the second process alone."""

    def training_step(self, batch: Tensor) -> Tensor:
        good = self.global_rank == 0 and not batch.isfinite()
        return self(torch.ones(()) if good else batch)


class BadShard(BadInOne):
    """Sharded; of a bad batch one shard of a gradient, in the second process, is not finite."""

    def configure_model(self) -> None:
        if not isinstance(self.net[0].bias, DTensor):
            fully_shard(self.net, mesh=self.device_mesh["data_parallel"])

    def training_step(self, batch: Tensor) -> Tensor:
        self.factor = 1.0 if batch.isfinite() else math.nan
        return self(batch.nan_to_num(1.0))

    def on_after_backward(self) -> None:
        if self.global_rank == 1:
            self.net[0].bias.grad.to_local().mul_(self.factor)


def fit(kind: str, scales: list[float], **hparams: Any) -> dict[str, Any]:
    module = (BadInOne if kind == "ddp" else BadShard)(ADAMW, **hparams)
    options: Any = {**QUIET, "devices": 2, "max_epochs": 1, "use_distributed_sampler": False}
    run = nshtrainer.Trainer(strategy=STRATEGIES[kind](), **options)
    try:
        run.fit(module, data(scales))
    except BadUpdateError as error:
        return {"error": str(error)}
    weights = [getattr(p, "full_tensor", lambda p=p: p)() for p in module.parameters()]
    return {
        "weights": [weight.detach().clone() for weight in weights],
        "skipped": run.optimizers[0].param_groups[0].get("skipped"),
        "position": run.lr_scheduler_configs[0].scheduler.last_epoch,
    }


def work(rank: int, folder: str) -> None:
    os.environ["WORLD_SIZE"] = "2"
    choices = (("stop", BAD, {}), ("skip", BAD, SKIP), ("good", GOOD, {}))
    with group(Path(folder), rank, 2):
        found = {
            (kind, choice): fit(kind, scales, **hparams)
            for kind in STRATEGIES
            for choice, scales, hparams in choices
        }
        torch.save(found, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(work, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("kind", STRATEGIES)
def test_both_skip_what_is_bad_in_one(results: Any, kind: str) -> None:
    for result in results:
        skipped, good = result[kind, "skip"], result[kind, "good"]
        assert (skipped["skipped"], skipped["position"]) == (1, 4)
        assert good["position"] == 4
        assert all(map(torch.equal, skipped["weights"], good["weights"]))


def test_both_stop_and_the_one_with_the_loss_says_so(results: Any) -> None:
    first, second = (result["ddp", "stop"]["error"] for result in results)
    assert "is not applied: the gradients of 4 of 4 parameters are not finite" in first
    assert "is not applied: the loss is not finite, and the gradients of 4 of 4" in second


def test_both_name_the_parameter_of_which_one_has_the_bad_shard(results: Any) -> None:
    for result in results:
        message = "the gradients of 1 of 4 parameters are not finite (net.0.bias)"
        assert message in result["fsdp2", "stop"]["error"]
