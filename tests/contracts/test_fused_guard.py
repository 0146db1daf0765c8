"""Gradients that the fused kernel would get wrong, or fail at, are left to PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.contracts.test_implementation import (
    Config,
    every_fused,
    flag,
    model,
    param,
    sparse,
    train,
)
from tests.support import saved_and_loaded, weights
from torch import Tensor, nn

from nshtrainer.configs import (
    AdamWConfig,
    SGDConfig,
)

# -- the guard: gradients that the kernel would get wrong, or fail at ----------------------------


def transposed(tensor: nn.Parameter) -> None:
    tensor.grad = torch.arange(float(tensor.numel())).view(tensor.shape[::-1]).t()


def expanded(tensor: nn.Parameter) -> None:
    tensor.grad = torch.full((1, 1), 0.5).expand(tensor.shape)


def by_closure(optimizer: torch.optim.Optimizer, give: Callable[[], None]) -> None:
    def closure() -> Tensor:
        give()
        return torch.zeros(())

    optimizer.step(closure)  # type: ignore[arg-type]


def by_keyword(optimizer: torch.optim.Optimizer, give: Callable[[], None]) -> None:
    def closure() -> float:
        give()
        return 0.0

    assert optimizer.step(closure=closure) == 0.0


def before(optimizer: torch.optim.Optimizer, give: Callable[[], None]) -> None:
    give()
    optimizer.step()


ways = pytest.mark.parametrize("way", [before, by_closure, by_keyword])


def failure_of(optimizer: Any, way: Any, tensor: nn.Parameter, gradient: Any) -> str | None:
    tensor.grad = torch.ones(3, 5)
    optimizer.step()
    try:
        for _ in range(2):
            way(optimizer, lambda: gradient(tensor))
    except RuntimeError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's own, once a process
@every_fused
@ways
@pytest.mark.parametrize("gradient", [transposed, expanded, sparse])
def test_odd_gradients_do_what_they_do_with_torchs_default(config: Config, way: Any, gradient: Any):
    tensors = [param(3, 5), param(3, 5)]
    ours = config.create_optimizer(tensors[:1])
    theirs = config.replace(fused=False).create_optimizer(tensors[1:])
    failures = [
        failure_of(optimizer, way, tensor, gradient)
        for optimizer, tensor in zip((ours, theirs), tensors, strict=True)
    ]
    assert failures[0] == failures[1]  # both fail alike, or none
    torch.testing.assert_close(tensors[0], tensors[1], rtol=1e-5, atol=1e-6)
    if failures[0] is None:
        assert flag(ours) is None


@ways
def test_sgd_takes_a_parameter_whose_gradients_begin_later(way: Any):
    pairs = [[param(4), param(4)] for _ in range(2)]
    config = SGDConfig(lr=0.1, momentum=0.9)
    for optimizer, pair in zip(
        (config.create_optimizer(pairs[0]), config.replace(fused=False).create_optimizer(pairs[1])),
        pairs,
        strict=True,
    ):
        for late in (False, True, True):

            def give(late: bool = late, pair: list[nn.Parameter] = pair) -> None:
                for tensor in pair[: 1 + late]:
                    tensor.grad = torch.ones(4)

            way(optimizer, give)
    torch.testing.assert_close(pairs[0], pairs[1])


def test_adam_stays_fused_when_the_gradients_of_a_parameter_begin_later():
    pair = [param(4), param(4)]
    optimizer = AdamWConfig().create_optimizer(pair)
    for tensor in pair:
        tensor.grad = torch.ones(4)
        optimizer.step()
    assert flag(optimizer) is True


def test_strides_of_dimensions_of_size_one_do_not_matter():
    tensor = param(5, 1)
    optimizer = AdamWConfig().create_optimizer([tensor])
    tensor.grad = torch.ones(1, 5).t()
    assert tensor.grad.stride() != tensor.stride()
    optimizer.step()
    assert flag(optimizer) is True


@every_fused
def test_a_state_in_another_order_in_memory_is_followed(config: Config):
    """As when a checkpoint of a model in `channels_last` is loaded into one that is not."""
    source = model().to(memory_format=torch.channels_last)
    trained = config.create_optimizer(source)
    train(source, trained, range(2))
    assert flag(trained) is True
    finals = []
    for fused in (None, False):
        target = model()
        target.load_state_dict(source.state_dict())
        optimizer = config.replace(fused=fused).create_optimizer(target)
        optimizer.load_state_dict(saved_and_loaded(trained.state_dict()))
        train(target, optimizer, range(2, 4))
        finals.append(weights(target))
    torch.testing.assert_close(*finals, rtol=1e-5, atol=1e-6)


def test_a_group_that_somebody_asked_to_be_fused_is_not_guarded():
    tensor = param(3, 5)
    optimizer = AdamWConfig(fused=True).create_optimizer([tensor])
    transposed(tensor)
    optimizer.step()
    assert flag(optimizer) is True


@pytest.mark.filterwarnings("ignore")
def test_the_guard_leaves_a_compiled_step_alone(monkeypatch: pytest.MonkeyPatch):
    tensor = param(3, 5)
    optimizer = AdamWConfig().create_optimizer([tensor])
    tensor.grad = torch.ones(3, 5)
    optimizer.step()
    (hook,) = optimizer._optimizer_step_pre_hooks.values()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert hook(optimizer, (optimizer,), {}) is None
