"""Accelerate: a schedule moves once an update, in one process and in two."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.peers.accelerated import EVERY, Loop, accelerator, model, work
from tests.peers.characters import gpt2
from tests.support import torchs_optimizers
from torch import nn
from torch.multiprocessing import spawn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, IterableDataset

import nshtrainer
from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    LinearScheduleConfig,
    MetricConfig,
    MuonWithAdamWConfig,
    ReduceLROnPlateauConfig,
    SGDConfig,
)
from nshtrainer.exceptions import RunLengthError, ScheduleError
from nshtrainer.integrations.accelerate import UpdateScheduler, prepare, run_length

TOTALS = {1: 20, 3: 8}
"""Accumulated batches -> updates in two epochs of ten batches: 3 + 3 + 3 + 1 are four updates."""


def cosine(total: int, lr: float = 1.0) -> list[float]:
    curve = CosineScheduleConfig().curve(RunLength(total_steps=total))
    return [lr * curve(step) for step in range(total)]


# -- a prepared optimizer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        CosineScheduleConfig(),
        ReduceLROnPlateauConfig(metric=MetricConfig(monitor="loss", mode="min")),
    ],
    ids=lambda config: config.name,
)
def test_a_schedule_of_a_prepared_optimizer_drives_the_one_within(config: Any):
    own = accelerator()
    net, loader = own.prepare(model(), DataLoader(torch.ones(10, 2)))
    inner = SGDConfig(lr=1.0).create_optimizer(net)
    optimizer = own.prepare(inner)
    run = run_length(own, loader, num_epochs=1)
    scheduler: Any = config.create_scheduler(optimizer, run)["scheduler"]
    assert scheduler.optimizer is inner
    optimizer, scheduler = prepare(own, optimizer, scheduler)
    seen = []
    for batch in loader:
        seen.append(optimizer.param_groups[0]["lr"])
        own.backward(net(batch).sum())
        optimizer.step()
        scheduler.step(*([1.0] if config.name != "cosine" else []))
    assert seen == pytest.approx(cosine(10) if config.name == "cosine" else [1.0] * 10)


# -- one process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("every", EVERY)
def test_the_rates_are_those_of_the_updates(every: int):
    loop = Loop.of(accelerator(every))
    assert loop.run.total_steps == TOTALS[every]
    assert loop.run.samples_per_step == 2 * every
    assert loop.train() == pytest.approx(cosine(TOTALS[every]))
    assert loop.scheduler.last_epoch == TOTALS[every]


GRID = list(product((1, 4, 6), (1, 2, 4), (1, 3), (True, False)))


@pytest.mark.parametrize(("batches", "every", "epochs", "sync"), GRID)
def test_the_length_is_that_of_the_run(batches: int, every: int, epochs: int, sync: bool):
    own = accelerator(every, sync_with_dataloader=sync)
    net, loader = own.prepare(model(), DataLoader(torch.ones(batches, 2)))
    updates = 0
    for _ in range(epochs):
        for _ in loader:
            with own.accumulate(net):
                updates += own.sync_gradients
    if updates:
        assert run_length(own, loader, num_epochs=epochs).total_steps == updates
        assert run_length(own, loader, num_epochs=epochs, max_steps=1).total_steps == 1
    else:
        with pytest.raises(ScheduleError, match="total_steps must be at least 1"):
            run_length(own, loader, num_epochs=epochs)
    assert run_length(own, loader, max_steps=7).total_steps == 7


def test_a_stream_is_as_long_as_max_steps():
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(torch.ones(5, 2))

    own = accelerator()
    loader = own.prepare(DataLoader(Stream(), batch_size=2))
    run = run_length(own, loader, num_epochs=3, max_steps=10)
    assert (run.total_steps, run.steps_per_epoch) == (10, None)
    endless = run_length(own, loader, num_epochs=3)
    with pytest.raises(RunLengthError, match="the length of the run is unknown"):
        nshtrainer.create(SGDConfig(), CosineScheduleConfig(), model(), endless)


@pytest.mark.parametrize("config", [None, MuonWithAdamWConfig()], ids=["groups", "muon_with_adamw"])
def test_a_saved_state_resumes_exactly(tmp_path: Path, config: Any):
    whole = Loop.of(accelerator(3), config)
    whole.train(1)
    whole.accelerator.save_state(str(tmp_path))
    resumed = Loop.of(accelerator(3), config)
    resumed.accelerator.load_state(str(tmp_path))
    assert resumed.scheduler.get_last_lr() == whole.scheduler.get_last_lr()
    assert resumed.train(1) == whole.train(1)


def test_a_scheduler_of_torchs_own_moves_once_an_update_too():
    own = accelerator(2)
    optimizer = SGDConfig(lr=1.0).create_optimizer(model())
    net, scheduler, optimizer = prepare(
        own, model(), LambdaLR(optimizer, lambda step: 1 / (1 + step)), optimizer
    )
    for _ in range(4):
        with own.accumulate(net):
            optimizer.step()
            scheduler.step()
    assert isinstance(scheduler, UpdateScheduler)
    assert scheduler.get_last_lr() == [pytest.approx(1 / 3)]


@pytest.mark.parametrize("warmup", ["0 steps", "1 steps"])
def test_a_metric_is_shown_as_in_a_loop_of_ones_own(warmup: str):
    own = accelerator()
    plateau = ReduceLROnPlateauConfig(
        metric=MetricConfig(monitor="loss", mode="min"),
        factor=0.5,
        patience=0,
        warmup_duration=warmup,
    )
    pair = nshtrainer.create(SGDConfig(lr=1.0), plateau, model(), RunLength(total_steps=10))
    optimizer, scheduler = prepare(own, *pair)
    show = scheduler.step if warmup == "0 steps" else scheduler.observe
    if warmup != "0 steps":
        optimizer.step()
        scheduler.step()
    for value in (1.0, 2.0, 2.0):
        show(value)
    assert optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("cls", torchs_optimizers(), ids=lambda cls: cls.__name__)
def test_to_be_prepared_changes_nothing_of_an_optimizer(cls: Any):
    net = nn.Linear(2, 2, bias=cls.needs_dimensions is None)
    optimizer = cls(lr=0.5).create_optimizer(net)
    before = [{**group} for group in optimizer.param_groups]
    prepared = accelerator().prepare(optimizer)
    assert prepared.optimizer is optimizer
    assert [{**group} for group in prepared.param_groups] == before


# -- the wrong way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [LinearScheduleConfig(), CosineScheduleConfig()])
def test_accelerates_own_prepare_is_an_error_that_says_what_to_write(schedule: Any):
    own = accelerator()
    pair = nshtrainer.create(SGDConfig(), schedule, model(), RunLength(total_steps=10))
    text = r"once for each process at each update; write nshtrainer\.integrations\.accelerate\.prep"
    with pytest.raises(ScheduleError, match=text):
        own.prepare(*pair)


def test_a_scheduler_without_its_optimizer_is_refused():
    pair = nshtrainer.create(SGDConfig(), CosineScheduleConfig(), model(), RunLength(total_steps=5))
    with pytest.raises(
        ScheduleError, match=r"a CurveScheduler was passed without its optimizer; prep"
    ):
        prepare(accelerator(), pair[1])


def test_a_loader_that_was_not_prepared_is_refused():
    with pytest.raises(ScheduleError, match=r"pass what accelerator.prepare\(loader\) returned"):
        run_length(accelerator(), DataLoader(torch.ones(4, 2)), num_epochs=1)


def test_an_accelerator_knows_no_length():
    own = accelerator()
    loader = own.prepare(DataLoader(torch.ones(4, 2)))
    for wrong, name in ((own, "an Accelerator"), (loader, "a DataLoaderShard")):
        with pytest.raises(
            ScheduleError, match=f"{name} does not know the length of the run; pass ns"
        ):
            nshtrainer.create(AdamWConfig(), CosineScheduleConfig(), model(), wrong)


# -- two processes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("processes")
    spawn(work, (2, folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("every", EVERY)
def test_two_processes_use_the_rates_of_one(results: list[Any], every: int):
    for found in (result[every] for result in results):
        assert found["processes"] == 2
        assert found["total"] == TOTALS[every]
        assert found["samples"] == 2 * 2 * every
        assert found["rates"] == pytest.approx(cosine(TOTALS[every]))


@pytest.mark.slow
@pytest.mark.parametrize("every", EVERY)
def test_two_processes_resume_exactly_under_the_names_of_the_model(results: list[Any], every: int):
    for found in (result[every] for result in results):
        assert found["resumed"] == found["rates"][TOTALS[every] // 2 :]
        assert found["names"] == ["0.weight", "2.weight"]
        whole, resumed = found["weights"]
        assert all(map(torch.equal, whole, resumed))
    first, second = (result[every]["weights"][0] for result in results)
    assert all(map(torch.equal, first, second))


@pytest.mark.slow
def test_the_trainer_of_transformers_counts_the_processes(results: list[Any]):
    names = [name for name, _ in gpt2().named_parameters()]
    rates = dict(enumerate(cosine(4), 1))
    for found in (result["trainer"] for result in results):
        # 20 pieces, 2 in a batch, 2 processes: 5 batches, 3 and 2 of them an update.
        *numbers, named, logs = found
        assert numbers == [4, 2, 12, 4]
        assert named == names
        assert logs == pytest.approx(rates if logs else {})
    assert results[0]["trainer"][-1]
