"""What is put around an optimizer: it stays that optimizer, and does what its paper says."""

from __future__ import annotations

import contextlib
import copy
import math
from typing import Any

import pytest
import pytorch_optimizer
import torch
from pydantic import ValidationError
from tests.support import weights
from torch import Tensor, nn

from nshtrainer.configs import (
    AdamWConfig,
    ClippedConfig,
    LBFGSConfig,
    LookaheadConfig,
    OptimizerConfigBase,
    SGDConfig,
    SkippingConfig,
    optimizer_registry,
)
from nshtrainer.exceptions import NshtrainerWarning, OptimizerError

SGD = SGDConfig(lr=0.1)


def network(seed: int = 0) -> nn.Sequential:
    torch.default_generator.manual_seed(seed)
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
    torch.testing.assert_close(weights(ours), weights(theirs))


@pytest.mark.parametrize("inner", [AdamWConfig(), LBFGSConfig()], ids=["adamw", "lbfgs"])
@pytest.mark.parametrize("order", [1, -1])
def test_lookahead_goes_on_from_a_saved_state(inner: Any, order: int) -> None:
    config = LookaheadConfig(optimizer=inner, k=3, alpha=0.8)
    net, closure = network(), isinstance(inner, LBFGSConfig)
    optimizer = config.create_optimizer([*net.named_parameters()][::order])
    train(net, optimizer, 4, closure=closure)
    saved = {"net": {k: v.clone() for k, v in net.state_dict().items()}}
    state = copy.deepcopy(optimizer.state_dict())
    resumed = network(1)
    again = config.create_optimizer([*resumed.named_parameters()][::order])
    again.load_state_dict(state)
    resumed.load_state_dict(saved["net"])
    after = train(net, optimizer, 6, closure=closure)
    assert train(resumed, again, 6, closure=closure) == after


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
    torch.testing.assert_close(weights(ours), weights(theirs))


def test_gradients_of_several_types_are_clipped_as_torch_clips_them() -> None:
    ours, theirs = network(), network()
    for net in (ours, theirs):
        net[2].to(torch.bfloat16)
        for param in net.parameters():
            param.grad = torch.full_like(param, 3.0)
    config = ClippedConfig(optimizer=SGDConfig(lr=0.0), max_norm=1.0)
    config.create_optimizer(ours).step()
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


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


@pytest.mark.parametrize("options", [{}, {"maximize": True, "weight_decay": 0.1}])
def test_a_fused_kernel_clips_in_its_own_pass(options: Any) -> None:
    ours, theirs = network(), network()
    optimizer = ClippedConfig(optimizer=AdamWConfig(**options), max_norm=0.01).create_optimizer(
        ours
    )
    loss_of(ours).backward()
    loss_of(theirs).backward()
    given = [param.grad.clone() for param in ours.parameters() if param.grad is not None]
    left = []
    optimizer.register_step_pre_hook(lambda own, *_: left.append(own.grad_scale.item()))
    optimizer.step()
    nn.utils.clip_grad_norm_(theirs.parameters(), 0.01)
    assert left[0] > 1
    assert optimizer.grad_scale is None  # type: ignore[attr-defined]
    for own, other, before in zip(ours.parameters(), theirs.parameters(), given, strict=True):
        torch.testing.assert_close(own.grad, other.grad)
        torch.testing.assert_close(own.grad, before / left[0])


def test_gradients_that_are_not_finite_are_clipped_as_torch_does_it() -> None:
    for bad in (math.nan, math.inf):
        ours, theirs = network(), network()
        optimizer = ClippedConfig(optimizer=AdamWConfig(), max_norm=1.0).create_optimizer(ours)
        for net in (ours, theirs):
            loss_of(net).backward()
            net[0].bias.grad[0] = bad
        optimizer.step()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(own.grad, other.grad, equal_nan=True)


def test_clipping_in_two_ways_clips_what_the_first_left() -> None:
    ours, theirs = network(), network()
    inner = ClippedConfig(optimizer=AdamWConfig(), max_norm=0.01)
    config = ClippedConfig(optimizer=inner, max_value=0.001)
    train(ours, config.create_optimizer(ours), 3)
    optimizer = AdamWConfig().create_optimizer(theirs)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(theirs).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.01)
        nn.utils.clip_grad_value_(theirs.parameters(), 0.001)
        optimizer.step()
    torch.testing.assert_close(weights(ours), weights(theirs))


@pytest.mark.parametrize("fused", [None, True])
def test_scaled_gradients_are_clipped_at_the_size_they_have(fused: bool | None) -> None:
    ours, theirs = network(), network()
    config = ClippedConfig(optimizer=AdamWConfig(fused=fused), max_norm=0.01)
    optimizer, scaler = config.create_optimizer(ours), torch.amp.GradScaler("cpu")
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(loss_of(ours)).backward()
        scaler.step(optimizer)
        scaler.update()
    train(theirs, config.create_optimizer(theirs), 3)
    torch.testing.assert_close(weights(ours), weights(theirs))


# -- skipping --------------------------------------------------------------------------------------


def test_an_update_far_too_large_is_skipped_where_a_limit_is_given() -> None:
    net = network()
    config = SkippingConfig(optimizer=AdamWConfig(), max_norm=10.0)
    optimizer = config.create_optimizer(net)
    train(net, optimizer, 1)
    before = weights(net)
    optimizer.zero_grad()
    (1e6 * loss_of(net)).backward()
    optimizer.step()
    assert all(map(torch.equal, before, weights(net)))
    assert optimizer.param_groups[0]["skipped"] == 1


@pytest.mark.parametrize(("size", "skipped"), [(1e17, 0), (1e19, 1)])
def test_finite_gradients_are_good_while_the_sum_of_their_squares_is_finite(
    size: float, skipped: int
) -> None:
    param = nn.Parameter(torch.ones(1000))
    param.grad = torch.full((1000,), size)
    optimizer = SkippingConfig(optimizer=AdamWConfig()).create_optimizer([param])
    optimizer.step()
    assert optimizer.param_groups[0]["skipped"] == skipped


def test_too_many_bad_updates_in_a_row_are_an_error() -> None:
    net = network()
    optimizer = SkippingConfig(optimizer=AdamWConfig(), max_in_a_row=1).create_optimizer(net)
    for row in ((math.nan, 1.0), (math.nan, math.nan)):
        with pytest.raises(OptimizerError) if row[1] != 1.0 else contextlib.nullcontext() as raised:
            for scale in row:
                optimizer.zero_grad()
                (scale * loss_of(net)).backward()
                optimizer.step()
    assert "2 updates in a row were bad, and max_in_a_row is 1" in str(raised.value)
    assert "(3 skipped in all)" in str(raised.value)


@pytest.mark.parametrize("fused", [None, True])
def test_a_scaler_and_skipping_agree(fused: bool | None) -> None:
    net = network()
    optimizer = SkippingConfig(optimizer=AdamWConfig(fused=fused)).create_optimizer(net)
    scaler = torch.amp.GradScaler("cpu")
    for scale in (1.0, math.nan, 1.0):
        optimizer.zero_grad()
        before = weights(net)
        scaler.scale(scale * loss_of(net)).backward()
        scaler.step(optimizer)
        scaler.update()
        assert all(map(torch.equal, before, weights(net))) == (scale != 1.0)
    assert all(state["step"] == 2 for state in optimizer.state.values())


def test_a_skipped_update_is_none_for_the_slow_weights() -> None:
    net = network()
    config = LookaheadConfig(optimizer=SkippingConfig(optimizer=AdamWConfig()))
    optimizer = config.create_optimizer(net)
    train(net, optimizer, 2)
    (math.nan * loss_of(net)).backward()
    optimizer.step()
    assert optimizer.param_groups[0]["lookahead_step"] == 2


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


@pytest.mark.parametrize("name", ["clipped", "routed"])
def test_a_late_group_is_held_against_the_config_within(name: str):
    rates = {"name": "adamw", "no_decay": "bias_and_norm"}
    wrapped = {"name": "clipped", "optimizer": rates, "max_norm": 1.0}
    route = {"name": "first", "select": "0", "optimizer": wrapped}
    fields = wrapped if name == "clipped" else {"routes": [route], "default": wrapped}
    net = network()
    net.late = nn.LayerNorm(2)
    net.late.requires_grad_(False)
    config = optimizer_registry[name].from_mapping(
        {key: fields[key] for key in fields if key != "name"}
    )
    optimizer = config.create_optimizer(net)
    net.late.requires_grad_(True)
    late = {"params": [*net.late.parameters()], "weight_decay": 0.1, "name": "first/late"}
    if name == "routed":
        late["route"] = "first"
    optimizer.add_param_group(late)
    with pytest.warns(NshtrainerWarning, match=r"late\.weight.* are decayed against no_decay"):
        optimizer.step()
