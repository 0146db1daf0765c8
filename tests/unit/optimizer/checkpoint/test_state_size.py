"""The bytes of an optimizer's state, before there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from nshtrainer.optimizer.checkpoint.fresh_state import state_bytes


def size_of(optimizer: Optimizer) -> int | None:
    return state_bytes(optimizer, optimizer.param_groups[0])


def test_what_is_frozen_has_no_state() -> None:
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad = False
    assert size_of(torch.optim.SGD(layer.parameters(), momentum=0.9)) == 24


def test_the_precision_of_the_parameters_counts() -> None:
    layer = nn.Linear(3, 2, dtype=torch.bfloat16)
    assert size_of(torch.optim.SGD(layer.parameters(), momentum=0.9)) == 16


def test_an_optimizer_that_takes_sparse_gradients_only_is_given_one() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    assert size_of(torch.optim.SparseAdam(table.parameters())) == 80


def test_a_function_and_data_that_refers_to_itself_are_copied() -> None:
    optimizer = torch.optim.SGD(nn.Linear(3, 2).parameters(), momentum=0.9)
    node: list[Any] = [size_of]
    node.append(node)
    vars(optimizer)["node"] = node
    assert size_of(optimizer) == 32


class Picky(Optimizer):
    """Has its weights in a list of its own, which a copy lacks."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})
        self.notes: list[Any] = list(self.param_groups[0]["params"])

    @override
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        self.notes.append("a step")


class Reader(Optimizer):
    """Looks at the numbers in its parameters."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})

    @override
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for param in self.param_groups[0]["params"]:
            self.state[param]["norm"] = torch.tensor(param.norm().item())
            self.state[param]["parts"] = [torch.zeros_like(param), {"inner": torch.zeros(2)}]


def test_what_a_copy_cannot_do_is_unknown_and_the_optimizer_is_not_touched() -> None:
    optimizer = Picky([torch.zeros(2, requires_grad=True)])
    assert size_of(optimizer) is None
    assert len(optimizer.notes) == 1


class Writer(Optimizer):
    """Notes what it did, in a list and in an object that knows itself."""

    class Notes:
        def __init__(self) -> None:
            self.lines: list[str] = []
            self.itself = self

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})
        self.notes = self.Notes()

    @override
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        self.notes.lines.append("a step")
        assert self.notes.itself is self.notes


def test_what_a_copy_writes_down_it_writes_into_its_own() -> None:
    optimizer = Writer([torch.zeros(2, requires_grad=True)])
    assert size_of(optimizer) == 0
    assert optimizer.notes.lines == []


def test_an_update_that_reads_numbers_is_one_of_zeros(monkeypatch: Any) -> None:
    param: Tensor = torch.zeros(3, requires_grad=True)
    assert size_of(Reader([param])) == 4 + 12 + 8
    monkeypatch.setattr("nshtrainer.optimizer.checkpoint.fresh_state._MOST_ON_CPU", 2)
    assert size_of(Reader([param])) is None


def test_hooks_of_the_optimizer_do_not_run() -> None:
    optimizer = torch.optim.SGD([torch.zeros(2, requires_grad=True)], momentum=0.9)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("a step"))
    assert size_of(optimizer) == 8
    assert seen == []


class Joint(torch.optim.SGD):
    """Keeps one state for all parameters, with the first."""

    @override
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            numbers = sum(param.numel() for param in group["params"])
            first = group["params"][0]
            self.state[first]["joint"] = first.new_zeros(numbers)


@pytest.mark.parametrize("sizes", [[3], [3, 3], [3] * 5, [2, 3, 3, 3], [3, 3, 3, 2]])
def test_a_state_for_all_parameters_counts_once(sizes: list[int]) -> None:
    params = [torch.zeros(size, requires_grad=True) for size in sizes]
    assert size_of(Joint(params, lr=0.1)) == sum(sizes) * 4


def test_states_of_many_parameters_of_few_forms_are_their_sum() -> None:
    sizes = [3, 5, 3, 3, 5, 7]
    params = [torch.zeros(size, requires_grad=True) for size in sizes]
    assert size_of(torch.optim.SGD(params, lr=0.1, momentum=0.9)) == sum(sizes) * 4


def test_the_size_of_a_lazy_parameter_is_unknown() -> None:
    assert size_of(torch.optim.SGD(nn.LazyLinear(2).parameters(), momentum=0.9)) is None
