"""SAM and its relatives: the gradients of their papers, and nothing else of a step is changed."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import pytorch_optimizer
import torch
from tests.unit.test_wrapping import SGD, loss_of, network, train, values
from torch import Tensor, nn

from nshtrainer import RunLength
from nshtrainer.configs import (
    A2GradConfig,
    AdamWConfig,
    ClippedConfig,
    FriendlySAMConfig,
    GSAMConfig,
    LookSAMConfig,
    SAMConfig,
    SchedulesConfig,
    SGDConfig,
    SkippingConfig,
    WSAMConfig,
    optimizer_registry,
)
from nshtrainer.exceptions import ConfigError, OptimizerError

EVERY: list[Any] = [
    SAMConfig,
    GSAMConfig,
    WSAMConfig,
    lambda **options: WSAMConfig(decouple=False, **options),
    lambda **options: LookSAMConfig(k=3, **options),
    FriendlySAMConfig,
]
every_relative = pytest.mark.parametrize(
    "make", EVERY, ids=["sam", "gsam", "wsam", "wsam-coupled", "looksam", "friendlysam"]
)
both_neighbourhoods = pytest.mark.parametrize("adaptive", [False, True])


def peer_step(net: Any, wrapped: Any) -> None:
    """An update of a wrapper of pytorch_optimizer's, which wants the first gradients before it."""

    def closure() -> Tensor:
        wrapped.zero_grad()
        loss = loss_of(net)
        loss.backward()
        return loss

    closure()
    wrapped.step(closure)


# -- parity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("adaptive", [False, True])
def test_sam_is_pytorch_optimizers(adaptive: bool) -> None:
    ours, theirs = network(), network()
    config = SAMConfig(optimizer=SGD, rho=0.2, adaptive=adaptive)
    train(ours, config.create_optimizer(ours), 5, closure=True)
    wrapped = pytorch_optimizer.SAM(
        theirs.parameters(), torch.optim.SGD, rho=0.2, adaptive=adaptive, lr=0.1
    )
    for _ in range(5):
        loss_of(theirs).backward()
        wrapped.first_step(zero_grad=True)
        loss_of(theirs).backward()
        wrapped.second_step(zero_grad=True)
    torch.testing.assert_close(values(ours), values(theirs))


@both_neighbourhoods
@pytest.mark.parametrize("decouple", [False, True])
def test_wsam_is_pytorch_optimizers(adaptive: bool, decouple: bool) -> None:
    ours, theirs = network(), network()
    options: Any = {"rho": 0.2, "gamma": 0.7, "adaptive": adaptive, "decouple": decouple}
    inner = SGDConfig(lr=0.1, momentum=0.9)
    train(ours, WSAMConfig(optimizer=inner, **options).create_optimizer(ours), 5, closure=True)
    wrapped = pytorch_optimizer.WSAM(
        theirs, theirs.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9, **options
    )
    train(theirs, wrapped, 5, closure=True)
    torch.testing.assert_close(values(ours), values(theirs))


@both_neighbourhoods
def test_gsam_is_pytorch_optimizers(adaptive: bool) -> None:
    class Radius:
        def step(self) -> float:
            return 0.2

    ours, theirs = network(), network()
    config = GSAMConfig(optimizer=SGD, rho=0.2, alpha=0.3, adaptive=adaptive)
    train(ours, config.create_optimizer(ours), 5, closure=True)
    base = torch.optim.SGD(theirs.parameters(), lr=0.1)
    wrapped: Any = pytorch_optimizer.GSAM(
        theirs.parameters(), base, theirs, Radius(), alpha=0.3, adaptive=adaptive
    )

    def closure() -> tuple[None, Tensor]:
        base.zero_grad()
        with torch.enable_grad():
            loss = loss_of(theirs)
        loss.backward()
        return None, loss.detach()

    for _ in range(5):
        wrapped.step(closure)
    torch.testing.assert_close(values(ours), values(theirs))


@both_neighbourhoods
def test_looksam_is_pytorch_optimizers(adaptive: bool) -> None:
    # Of one tensor: theirs takes the norms of each tensor, the paper's are those of all.
    ours, theirs = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    theirs.load_state_dict(ours.state_dict())
    options: Any = {"rho": 0.2, "k": 3, "alpha": 0.5, "adaptive": adaptive}
    train(ours, LookSAMConfig(optimizer=SGD, **options).create_optimizer(ours), 7, closure=True)
    wrapped = pytorch_optimizer.LookSAM(theirs.parameters(), torch.optim.SGD, lr=0.1, **options)
    for _ in range(7):
        peer_step(theirs, wrapped)
    torch.testing.assert_close(values(ours), values(theirs))


def test_looksam_has_the_formula_of_the_paper() -> None:
    net = network()
    config = LookSAMConfig(optimizer=SGD, rho=0.2, k=2, alpha=0.5)
    optimizer = config.create_optimizer(net)
    flat = nn.utils.parameters_to_vector

    def gradient(at: Tensor) -> Tensor:
        there = network()
        nn.utils.vector_to_parameters(at, there.parameters())
        return flat(torch.autograd.grad(loss_of(there), list(there.parameters())))

    weights = flat(net.parameters()).detach()
    g = gradient(weights)
    h = gradient(weights + 0.2 * g / g.norm())
    v = h - (h @ g) * g / g.square().sum()
    weights = weights - 0.1 * h
    g = gradient(weights)
    weights = weights - 0.1 * (g + 0.5 * g.norm() * v / v.norm())
    train(net, optimizer, 2, closure=True)
    torch.testing.assert_close(flat(net.parameters()).detach(), weights)


@both_neighbourhoods
def test_friendly_sam_is_pytorch_optimizers(adaptive: bool) -> None:
    ours, theirs = network(), network()
    config = FriendlySAMConfig(optimizer=SGD, rho=0.2, sigma=0.7, decay=0.8, adaptive=adaptive)
    train(ours, config.create_optimizer(ours), 5, closure=True)
    wrapped = pytorch_optimizer.FriendlySAM(
        theirs.parameters(), torch.optim.SGD, 0.2, 0.7, 0.8, adaptive=adaptive, lr=0.1
    )
    for _ in range(5):
        peer_step(theirs, wrapped)
    torch.testing.assert_close(values(ours), values(theirs))


# -- what holds for all ----------------------------------------------------------------------------


@every_relative
def test_it_goes_on_from_a_saved_state(make: Any) -> None:
    config, net = make(optimizer=AdamWConfig()), network()
    optimizer = config.create_optimizer(net)
    train(net, optimizer, 4, closure=True)
    saved = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
    resumed = network(1)
    again = config.create_optimizer(resumed)
    resumed.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    one = train(resumed, again, 6, closure=True)
    assert one == train(net, optimizer, 6, closure=True)
    assert all(map(torch.equal, values(resumed), values(net)))


@every_relative
def test_a_skipped_update_changes_nothing(make: Any) -> None:
    net = network()
    optimizer: Any = SkippingConfig(optimizer=make(optimizer=AdamWConfig())).create_optimizer(net)
    train(net, optimizer, 3, closure=True)
    before, state = values(net), copy.deepcopy(optimizer.state_dict()["state"])
    losses = iter([1.0, math.nan])

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = next(losses) * loss_of(net)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert all(map(torch.equal, before, values(net)))
    assert str(optimizer.state_dict()["state"]) == str(state)
    assert optimizer.param_groups[0]["skipped"] == 1


@every_relative
def test_clipping_within_is_settled_before_the_gradients_are_read(make: Any) -> None:
    within, loop = network(), network()
    for net, fused in ((within, None), (loop, False)):
        inner = ClippedConfig(optimizer=AdamWConfig(fused=fused), max_norm=0.01)
        train(net, make(optimizer=inner).create_optimizer(net), 5, closure=True)
    torch.testing.assert_close(values(within), values(loop))


@every_relative
def test_a_radius_of_nothing_is_the_optimizer_alone(make: Any) -> None:
    ours, theirs = network(), network()
    optimizer = make(optimizer=SGD, rho=0.0).create_optimizer(ours)
    train(ours, optimizer, 4, closure=True)
    train(theirs, SGD.create_optimizer(theirs), 4)
    torch.testing.assert_close(values(ours), values(theirs))


def test_the_radius_may_follow_the_rate() -> None:
    ours, theirs = network(), network()
    config = GSAMConfig(optimizer=SGD, rho=0.5)
    optimizer = config.create_optimizer(ours)
    schedule = SchedulesConfig.from_yaml(
        "default: {lr: {name: linear, min_factor: 0.2}, sam_rho: {follows: lr}}"
    )
    run = RunLength(total_steps=4)
    scheduler: Any = schedule.create_scheduler(optimizer, run)["scheduler"]
    scheduler.step(2)
    assert optimizer.param_groups[0]["sam_rho"] == pytest.approx(0.3)
    train(ours, optimizer, 2, closure=True)
    slow = GSAMConfig(optimizer=SGDConfig(lr=0.06), rho=0.3)
    train(theirs, slow.create_optimizer(theirs), 2, closure=True)
    torch.testing.assert_close(values(ours), values(theirs))


def test_a_closure_without_gradients_is_no_trouble() -> None:
    net = network()
    optimizer: Any = SAMConfig(optimizer=SGD).create_optimizer(net)
    before = values(net)
    optimizer.step(lambda: torch.zeros(()))
    assert all(map(torch.equal, before, values(net)))


def test_looksam_computes_the_loss_twice_every_k_updates_only() -> None:
    net = network()
    optimizer: Any = LookSAMConfig(optimizer=SGD, k=3).create_optimizer(net)
    calls = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        calls.append(optimizer.param_groups[0].get("look_sam_step", 0))
        loss = loss_of(net)
        loss.backward()
        return loss

    for _ in range(7):
        optimizer.step(closure)
    assert calls == [0, 0, 1, 2, 3, 3, 4, 5, 6, 6]


def test_sharpness_by_the_rate_needs_a_rate() -> None:
    with pytest.raises(OptimizerError, match="A2Grad has no lr; set decouple to false"):
        WSAMConfig(optimizer=A2GradConfig()).create_optimizer(network())


# -- SAM -------------------------------------------------------------------------------------------


def test_sam_gives_the_loss_where_the_weights_are() -> None:
    net = network()
    expected = loss_of(net).item()
    optimizer = SAMConfig(optimizer=SGD, rho=1.0).create_optimizer(net)
    assert train(net, optimizer, 1, closure=True) == [expected]


def test_sam_puts_the_weights_back_where_the_second_loss_fails() -> None:
    net = network()
    optimizer: Any = SAMConfig(optimizer=SGD).create_optimizer(net)
    before, calls = values(net), []

    def closure() -> Tensor:
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        loss = loss_of(net)
        loss.backward()
        return loss

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure=closure)
    assert all(map(torch.equal, before, values(net)))


def test_sam_without_a_closure_says_what_it_needs() -> None:
    optimizer = SAMConfig(optimizer=SGD).create_optimizer(network())
    with pytest.raises(OptimizerError, match="computes the loss twice an update, so step"):
        optimizer.step()


def test_sam_cannot_be_one_of_several_routes_but_may_be_around_them() -> None:
    routed = optimizer_registry["routed"]
    route = {"name": "all", "select": "*", "optimizer": {"name": "sam", "optimizer": "sgd"}}
    with pytest.raises(ConfigError, match="sam computes the loss several times an update"):
        routed.from_mapping({"routes": [route]})
    around = {**route["optimizer"], "optimizer": "lookahead"}  # type: ignore[dict-item]
    around["optimizer"] = {"name": "lookahead", "optimizer": {"name": "sam", "optimizer": "sgd"}}
    with pytest.raises(ConfigError, match="lookahead computes the loss several times"):
        routed.from_mapping({"routes": [{**route, "optimizer": around["optimizer"]}]})
    inner = {"name": "routed", "routes": [{**route, "optimizer": "adamw"}]}
    net = network()
    optimizer = SAMConfig.from_mapping({"optimizer": inner}).create_optimizer(net)
    losses = train(net, optimizer, 5, closure=True)
    assert losses[-1] < losses[0]
