"""SAM: the gradients of its paper, and nothing else of a step is changed."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import pytorch_optimizer
import torch
from tests.support import weights
from tests.unit.optimizer.wrappers.test_config import SGD, loss_of, network, train
from torch import Tensor, nn

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    ClippedConfig,
    SAMConfig,
    SchedulesConfig,
    SGDConfig,
    SkippingConfig,
    optimizer_registry,
)
from nshtrainer.exceptions import ConfigError, OptimizerError


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
    torch.testing.assert_close(weights(ours), weights(theirs))


def test_it_goes_on_from_a_saved_state() -> None:
    config, net = SAMConfig(optimizer=AdamWConfig()), network()
    optimizer = config.create_optimizer(net)
    train(net, optimizer, 4, closure=True)
    saved = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
    resumed = network(1)
    again = config.create_optimizer(resumed)
    resumed.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    one = train(resumed, again, 6, closure=True)
    assert one == train(net, optimizer, 6, closure=True)
    assert all(map(torch.equal, weights(resumed), weights(net)))


def test_a_skipped_update_changes_nothing() -> None:
    net = network()
    config = SkippingConfig(optimizer=SAMConfig(optimizer=AdamWConfig()))
    optimizer: Any = config.create_optimizer(net)
    train(net, optimizer, 3, closure=True)
    before, state = weights(net), copy.deepcopy(optimizer.state_dict()["state"])
    losses = iter([1.0, math.nan])

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = next(losses) * loss_of(net)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert all(map(torch.equal, before, weights(net)))
    assert str(optimizer.state_dict()["state"]) == str(state)
    assert optimizer.param_groups[0]["skipped"] == 1


def test_clipping_within_is_settled_before_the_gradients_are_read() -> None:
    within, loop = network(), network()
    for net, fused in ((within, None), (loop, False)):
        inner = ClippedConfig(optimizer=AdamWConfig(fused=fused), max_norm=0.01)
        train(net, SAMConfig(optimizer=inner).create_optimizer(net), 5, closure=True)
    torch.testing.assert_close(weights(within), weights(loop))


def test_a_radius_of_nothing_is_the_optimizer_alone() -> None:
    ours, theirs = network(), network()
    optimizer = SAMConfig(optimizer=SGD, rho=0.0).create_optimizer(ours)
    train(ours, optimizer, 4, closure=True)
    train(theirs, SGD.create_optimizer(theirs), 4)
    torch.testing.assert_close(weights(ours), weights(theirs))


def test_the_radius_may_follow_the_rate() -> None:
    ours, theirs = network(), network()
    config = SAMConfig(optimizer=SGD, rho=0.5)
    optimizer = config.create_optimizer(ours)
    schedule = SchedulesConfig.from_yaml(
        "default: {lr: {name: linear, min_factor: 0.2}, sam_rho: {follows: lr}}"
    )
    run = RunLength(total_steps=4)
    scheduler: Any = schedule.create_scheduler(optimizer, run)["scheduler"]
    scheduler.step(2)
    assert optimizer.param_groups[0]["sam_rho"] == pytest.approx(0.3)
    train(ours, optimizer, 2, closure=True)
    slow = SAMConfig(optimizer=SGDConfig(lr=0.06), rho=0.3)
    train(theirs, slow.create_optimizer(theirs), 2, closure=True)
    torch.testing.assert_close(weights(ours), weights(theirs))


def test_a_closure_without_gradients_is_no_trouble() -> None:
    net = network()
    optimizer: Any = SAMConfig(optimizer=SGD).create_optimizer(net)
    before = weights(net)
    optimizer.step(lambda: torch.zeros(()))
    assert all(map(torch.equal, before, weights(net)))


def test_sam_gives_the_loss_where_the_weights_are() -> None:
    net = network()
    expected = loss_of(net).item()
    optimizer = SAMConfig(optimizer=SGD, rho=1.0).create_optimizer(net)
    assert train(net, optimizer, 1, closure=True) == [expected]


def test_sam_puts_the_weights_back_where_the_second_loss_fails() -> None:
    net = network()
    optimizer: Any = SAMConfig(optimizer=SGD).create_optimizer(net)
    before, calls = weights(net), []

    def closure() -> Tensor:
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        loss = loss_of(net)
        loss.backward()
        return loss

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure=closure)
    assert all(map(torch.equal, before, weights(net)))


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


@pytest.mark.parametrize("given", ["module", "parameters"])
def test_batch_norm_collects_its_statistics_once_a_step(given: str) -> None:
    def built() -> nn.Module:
        torch.default_generator.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))

    ours, theirs = built(), built()
    params: Any = ours if given == "module" else list(ours.parameters())
    optimizer: Any = SAMConfig(optimizer=SGDConfig(lr=0.0), rho=0.5).create_optimizer(params)
    points = torch.arange(8.0).reshape(4, 2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = ours(points).square().mean()
        loss.backward()
        return loss

    for _ in range(6):
        optimizer.step(closure)
        theirs(points)
    assert ours[1].num_batches_tracked == 6
    torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()))
    assert not torch.nn.modules.module._global_forward_pre_hooks
