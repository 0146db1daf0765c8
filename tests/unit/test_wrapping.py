"""What is put around an optimizer: it stays that optimizer, and does what its paper says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import pytorch_optimizer
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from nshtrainer.configs import (
    AdamWConfig,
    ClippedConfig,
    LookaheadConfig,
    OptimizerConfigBase,
    SGDConfig,
    optimizer_registry,
)

SGD = SGDConfig(lr=0.1)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))


def loss_of(net: nn.Module) -> Tensor:
    x = torch.linspace(-2, 2, 16)[:, None]
    return (net(torch.cat([x, x.square()], 1)) - torch.sin(x)).square().mean()


def train(net: nn.Module, optimizer: Any, steps: int, *, closure: bool = False) -> list[float]:
    def compute() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(net)
        loss.backward()
        return loss

    losses = []
    for _ in range(steps):
        if closure:
            losses.append(optimizer.step(compute).item())
        else:
            losses.append(compute().item())
            optimizer.step()
    return losses


def values(net: nn.Module) -> list[Tensor]:
    return [param.detach().clone() for param in net.parameters()]


# -- Lookahead -------------------------------------------------------------------------------------


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.parametrize(
    ("inner", "make"),
    [
        (AdamWConfig(fused=False), torch.optim.AdamW),
        (SGDConfig(momentum=0.9), lambda params: torch.optim.SGD(params, momentum=0.9)),
        (SGD, lambda params: torch.optim.SGD(params, lr=0.1)),
    ],
)
def test_lookahead_is_pytorch_optimizers(inner: Any, make: Any, closure: bool) -> None:
    ours, theirs = network(), network()
    train(ours, LookaheadConfig(optimizer=inner, k=3).create_optimizer(ours), 7, closure=closure)
    wrapped = pytorch_optimizer.Lookahead(make(theirs.parameters()), k=3, alpha=0.5)
    train(theirs, wrapped, 7)
    torch.testing.assert_close(values(ours), values(theirs))


def test_lookahead_goes_on_from_a_saved_state() -> None:
    config = LookaheadConfig(optimizer=AdamWConfig(), k=3, alpha=0.8)
    net = network()
    optimizer = config.create_optimizer(net)
    train(net, optimizer, 4)
    saved = {"net": {k: v.clone() for k, v in net.state_dict().items()}}
    state = copy.deepcopy(optimizer.state_dict())
    resumed = network(1)
    again = config.create_optimizer(resumed)
    again.load_state_dict(state)
    resumed.load_state_dict(saved["net"])
    assert train(resumed, again, 6) == train(net, optimizer, 6)


def test_lookahead_leaves_alone_what_is_not_updated() -> None:
    net = network()
    frozen = net[0].weight.clone()
    net[0].requires_grad_(False)
    optimizer = LookaheadConfig(optimizer=SGD, k=1).create_optimizer(net.parameters())
    train(net, optimizer, 3)
    assert torch.equal(net[0].weight, frozen)
    assert set(optimizer.state) == {net[2].weight, net[2].bias}


# -- clipping --------------------------------------------------------------------------------------


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.parametrize("limit", [{"max_norm": 0.1}, {"max_value": 0.01}])
def test_gradients_are_clipped_as_torch_clips_them(limit: Any, closure: bool) -> None:
    ours, theirs = network(), network()
    config = ClippedConfig(optimizer=SGD, **limit)
    train(ours, config.create_optimizer(ours), 4, closure=closure)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        loss_of(theirs).backward()
        if "max_norm" in limit:
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.1)
        else:
            nn.utils.clip_grad_value_(theirs.parameters(), 0.01)
        optimizer.step()
    torch.testing.assert_close(values(ours), values(theirs))


def test_adaptive_clipping_bounds_each_unit_by_its_weights() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    vector = nn.Parameter(torch.tensor([3.0, 4.0]))
    weight.grad = torch.tensor([[0.0, 10.0], [0.0, 10.0]])
    vector.grad = torch.tensor([0.01, 0.0])
    optimizer = ClippedConfig(optimizer=SGDConfig(lr=1.0), adaptive=0.1).create_optimizer(
        [weight, vector]
    )
    optimizer.step()
    torch.testing.assert_close(weight.grad, torch.tensor([[0.0, 0.5], [0.0, 1e-4]]))
    torch.testing.assert_close(vector.grad, torch.tensor([0.01, 0.0]))


def test_a_config_that_clips_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing is clipped: give max_norm"):
        ClippedConfig(optimizer="sgd")  # type: ignore[arg-type]


# -- what is inside --------------------------------------------------------------------------------


def test_wrappers_nest_and_go_through_a_file() -> None:
    text = "{name: lookahead, optimizer: {name: clipped, max_norm: 1.0, optimizer: {name: lion}}}"
    config = LookaheadConfig.from_yaml(text)
    assert LookaheadConfig.from_yaml(config.to_yaml()) == config
    net = network()
    losses = train(net, config.create_optimizer(net), 10)
    assert losses[-1] < losses[0]


def test_an_optimizer_that_a_user_wrote_gets_parameters() -> None:
    given = []

    with optimizer_registry.scoped():
        from typing import Literal

        @optimizer_registry.register
        class Own(OptimizerConfigBase):
            name: Literal["own"] = "own"

            def create_optimizer(self, params: Any, /) -> torch.optim.Optimizer:
                given.append(list(params))
                return torch.optim.SGD(given[-1], lr=0.1)

        net = network()
        LookaheadConfig(optimizer=Own()).create_optimizer(net)
        LookaheadConfig(optimizer=Own()).create_optimizer(net.parameters())
        inner = {"name": "lookahead", "optimizer": "own"}
        route = {"name": "first", "select": "0", "optimizer": inner}
        routed = optimizer_registry["routed"].from_mapping({"routes": [route], "default": "sgd"})
        routed.create_optimizer(net)
    everything = list(net.parameters())
    assert [len(params) for params in given] == [4, 4, 2]
    assert all(one is other for one, other in zip(given[0], everything, strict=True))
