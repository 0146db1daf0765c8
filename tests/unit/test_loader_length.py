"""`RunLength.of`: the length of a plain loop, from its data loader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from nshtrainer import RunLength
from nshtrainer.configs import ResumeConfig
from nshtrainer.exceptions import ScheduleError


def samples(count: int) -> TensorDataset:
    return TensorDataset(torch.zeros(count))


def loop(loader: Any, epochs: int, accumulate: int) -> list[list[int]]:
    """Train without a model; return the samples of each update, by epoch."""
    updates: list[list[int]] = []
    for _ in range(epochs):
        held, updates_of_epoch = 0, list[int]()
        for index, (batch,) in enumerate(loader, start=1):
            held += len(batch)
            if index % accumulate == 0 or index == len(loader):
                updates_of_epoch.append(held)
                held = 0
        updates.append(updates_of_epoch)
    return updates


@given(
    count=st.integers(1, 60),
    batch=st.integers(1, 12),
    epochs=st.integers(1, 4),
    accumulate=st.integers(1, 5),
    drop_last=st.booleans(),
)
def test_the_length_is_the_number_of_updates_of_a_loop(
    count: int, batch: int, epochs: int, accumulate: int, drop_last: bool
) -> None:
    loader = DataLoader(samples(count), batch_size=batch, drop_last=drop_last)
    if drop_last and count < batch:
        with pytest.raises(ScheduleError, match="DataLoader: has no batches; check the data"):
            RunLength.of(loader, epochs=epochs, accumulate=accumulate)
        return
    run = RunLength.of(loader, epochs=epochs, accumulate=accumulate)
    updates = loop(loader, epochs, accumulate)
    assert [len(each) for each in updates] == [run.steps_per_epoch] * epochs
    assert run.total_steps == sum(map(len, updates))
    assert run.samples_per_step == batch * accumulate
    assert all(size <= batch * accumulate for each in updates for size in each)


def test_samples_of_other_loaders_are_counted_where_they_are_known() -> None:
    data = samples(12)
    one_of_two = cast("Any", DistributedSampler)(data, num_replicas=2, rank=0)
    shared = RunLength.of(DataLoader(data, batch_size=3, sampler=one_of_two), accumulate=2)
    assert (shared.steps_per_epoch, shared.samples_per_step) == (1, 12)
    by_sampler = DataLoader(data, batch_sampler=BatchSampler(range(12), 5, drop_last=False))
    assert RunLength.of(by_sampler).samples_per_step == 5
    assert RunLength.of(DataLoader(data, batch_size=None)).samples_per_step is None
    assert RunLength.of([1, 2, 3]).samples_per_step is None


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


@pytest.mark.parametrize("loader", [DataLoader(Stream()), iter([1, 2]), None])
def test_a_loader_without_a_length_is_refused(loader: Any) -> None:
    name = type(loader).__name__
    with pytest.raises(ScheduleError, match=rf"^{name}: has no length.*total_steps=\.\.\.\)"):
        RunLength.of(loader, epochs=2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"accumulate": True}, "accumulate must be a whole number"),
    ],
)
def test_a_number_that_is_not_positive_and_whole_is_refused(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScheduleError, match=message):
        RunLength.of(range(3), **wrong)


def test_options_are_those_of_a_run_length() -> None:
    policy = ResumeConfig(policy="extend")
    run = RunLength.of(range(3), epochs=2, resume=policy, base_lr=0.1)
    assert run == RunLength(6, 3, resume=policy, base_lr=0.1)
