"""Several optimizers as one in two processes: DDP, FSDP2, and checkpoints of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import ModelParallelStrategy
from tests.trainers.processes import CONFIG, FIRST, SECOND, Run, always, make_model, values, work
from tests.trainers.support import MID_EPOCH, NO_SAVER, TinyConfig, data, trainer
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from nshtrainer import LightningModuleBase
from nshtrainer.optimizer import muon

pytestmark = [
    pytest.mark.slow,
    # torch 2.13 says so itself when one process saves or loads alone.
    pytest.mark.filterwarnings(
        "ignore:torch.distributed is disabled, unavailable or uninitialized"
    ),
]

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
"""Sums over two processes are rounded otherwise."""


def trained(*steps: range) -> dict[str, Tensor]:
    run = Run.of(make_model())
    for some in steps:
        run.train(some)
    return values(run.model)


@pytest.fixture(scope="module", autouse=True)
def _in_float32() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(muon, "bfloat16_is_emulated", always)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    Run.of(make_model()).train(FIRST).save(folder / "by_one")
    mp.spawn(work, (2, folder), nprocs=2)
    return folder


def result(folder: Path, name: str) -> Any:
    return torch.load(folder / f"{name}.pt", weights_only=True)


def assert_close(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **CLOSE)


def test_under_ddp_it_does_what_one_process_does(folder: Path) -> None:
    assert_close(result(folder, "ddp"), trained(FIRST))


def test_under_fsdp2_it_does_what_one_process_does(folder: Path) -> None:
    assert_close(result(folder, "fsdp"), trained(FIRST))
    assert_close(result(folder, "fsdp_longer"), trained(FIRST, SECOND))


def test_a_run_resumed_under_fsdp2_equals_the_uninterrupted_one(folder: Path) -> None:
    one, other = result(folder, "by_two_resumed"), result(folder, "fsdp_longer")
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_what_one_process_saved_two_go_on_with(folder: Path) -> None:
    assert_close(result(folder, "by_one_resumed"), trained(FIRST, SECOND))


def test_what_two_processes_saved_one_goes_on_with(folder: Path) -> None:
    run = Run.of(make_model()).load(folder / "by_two")
    parts = run.optimizer.routes.values()  # type: ignore[attr-defined]
    shared = [group for part in parts for group in part.param_groups]
    groups = run.optimizer.param_groups
    assert all(ours is theirs for ours, theirs in zip(groups, shared, strict=True))
    assert_close(values(run.train(SECOND).model), result(folder, "fsdp_longer"))


class Sharded(LightningModuleBase[TinyConfig]):
    """Shards itself, as Lightning's strategy for FSDP2 wants it."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.net = make_model()

    def configure_model(self) -> None:
        if not isinstance(self.net.norm.weight, DTensor):
            fully_shard(self.net, mesh=self.device_mesh["data_parallel"])

    def training_step(self, batch: Tensor) -> Tensor:
        return self.net.loss()


@pytest.mark.filterwarnings(MID_EPOCH, NO_SAVER)
@pytest.mark.parametrize("distributed", [False, True])
def test_lightnings_strategy_for_fsdp2_saves_and_resumes_it(
    distributed: bool, tmp_path: Path
) -> None:
    def fitted(**options: Any) -> dict[str, Tensor]:
        strategy = ModelParallelStrategy(1, 1, save_distributed_checkpoint=distributed)
        resume = options.pop("resume", None)
        model = Sharded({"optimizer": CONFIG, "lr_scheduler": "cosine"})
        trainer(max_steps=8, strategy=strategy, **options).fit(model, data(), ckpt_path=resume)
        return values(model)

    try:
        saver = ModelCheckpoint(tmp_path, every_n_train_steps=4, save_top_k=-1)
        uninterrupted = fitted(callbacks=[saver])
        resumed = fitted(resume=next(tmp_path.glob("*step=4.ckpt")))
    finally:
        dist.destroy_process_group()
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)
