"""Bad updates in plain loops: what is one, and what a schedule makes of those left out."""

from __future__ import annotations

import copy
import math
from collections import deque
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from nshtrainer import RunLength, create
from nshtrainer.configs import (
    AdamWConfig,
    ClippedConfig,
    LinearScheduleConfig,
    SGDConfig,
    SkippingConfig,
)
from nshtrainer.exceptions import NshtrainerWarning, ScheduleError
from nshtrainer.optimizer.wrappers.hooks import are_finite, is_finite
from nshtrainer.optimizer_record import make_skippable, skip_step

every_clock = pytest.mark.parametrize("clock", ["optimizer_steps", "successful_steps"])
OVERFLOWS = [1.0, math.inf, 1.0, math.nan, math.nan, 1.0]


def built(config: Any, clock: Any = "optimizer_steps") -> tuple[nn.Module, Any, Any]:
    torch.default_generator.manual_seed(0)
    net = nn.Linear(2, 1)
    run = RunLength(total_steps=10, schedule_clock=clock)
    return net, *create(config, LinearScheduleConfig(), net, run)


def train(net: nn.Module, optimizer: Any, scheduler: Any, scales: list[float]) -> list[int]:
    """The positions of the schedule after updates with gradients of these sizes, and a scaler."""
    scaler, positions = torch.amp.GradScaler("cpu", init_scale=8.0), []
    for scale in scales:
        optimizer.zero_grad()
        scaler.scale(scale * net(torch.ones(1, 2)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        positions.append(scheduler.last_epoch)
    return positions


def test_without_gradients_nothing_is_counted() -> None:
    _, optimizer, _ = built(SkippingConfig(optimizer=AdamWConfig()))
    optimizer.step()
    assert "skipped" not in optimizer.param_groups[0]


# -- the clock of a schedule -------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("clock", "expected"),
    [("optimizer_steps", [1, 2, 3, 4, 5, 6]), ("successful_steps", [1, 1, 2, 2, 2, 3])],
)
def test_what_a_scaler_leaves_out_moves_the_schedule_by_its_clock(
    fused: bool, clock: str, expected: list[int]
) -> None:
    assert train(*built(AdamWConfig(fused=fused), clock), OVERFLOWS) == expected


@pytest.mark.parametrize("fused", [False, True])
def test_what_a_scaler_leaves_out_is_not_counted_as_skipped(fused: bool) -> None:
    net, optimizer, scheduler = built(SkippingConfig(optimizer=AdamWConfig(fused=fused)))
    assert train(net, optimizer, scheduler, OVERFLOWS) == [1, 2, 3, 4, 5, 6]
    assert optimizer.param_groups[0]["skipped"] == 0


@every_clock
def test_what_is_skipped_moves_the_schedule_by_no_clock(clock: str) -> None:
    config = SkippingConfig(optimizer=AdamWConfig(), max_norm=100.0)
    large = [1e6, 1.0, 1e6, 1e6, 1.0]
    assert train(*built(config, clock), large) == [0, 1, 1, 1, 2]


@every_clock
@pytest.mark.parametrize("steps_always", [True, False])
@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize("bad", [{0, 1}, {1, 2, 3}, {0, 2}, set(range(6))])
def test_a_skipped_update_is_none_that_lacks_a_step(
    clock: str, steps_always: bool, closes: bool, bad: set[int]
) -> None:
    net, optimizer, scheduler = built(SkippingConfig(optimizer=AdamWConfig()), clock)
    for step in range(9):
        scale = math.nan if step in bad else 1.0

        def closure(scale: float = scale) -> torch.Tensor:
            optimizer.zero_grad()
            loss = scale * net(torch.ones(1, 2)).sum()
            loss.backward()
            return loss

        if not closes:
            closure()
        optimizer.step(*[closure] * closes)  # a warning would be an error
        if steps_always or step not in bad:
            scheduler.step()


def test_beside_skipped_updates_a_schedule_that_never_steps_is_told() -> None:
    net, optimizer, _scheduler = built(SkippingConfig(optimizer=AdamWConfig()))

    def closure(scale: float) -> torch.Tensor:
        optimizer.zero_grad()
        loss = scale * net(torch.ones(1, 2)).sum()
        loss.backward()
        return loss

    scales = iter([math.nan] * 2 + [1.0] * 18)
    with pytest.warns(NshtrainerWarning, match="5 updates without one") as told:
        deque((optimizer.step(partial(closure, scale)) for scale in scales), maxlen=0)
    assert len(told) == 1


def test_a_skipped_update_and_one_that_a_scaler_left_out_are_told_apart() -> None:
    config = SkippingConfig(optimizer=AdamWConfig(fused=False), max_norm=100.0)
    scales = [1.0, 1e6, math.inf, 1.0]
    assert train(*built(config, "optimizer_steps"), scales) == [1, 1, 2, 3]
    assert train(*built(config, "successful_steps"), scales) == [1, 1, 1, 2]


def test_a_resumed_schedule_goes_on_from_the_successful_updates() -> None:
    first, second = (built(AdamWConfig(), "successful_steps") for _ in range(2))
    train(*first, OVERFLOWS)
    for old, new in zip(first, second, strict=True):
        new.load_state_dict(old.state_dict())
    assert second[1].param_groups[0]["lr"] == first[1].param_groups[0]["lr"]
    assert train(*second, OVERFLOWS[:3]) == [4, 4, 5]


@every_clock
def test_a_copy_follows_its_own_optimizer(clock: str) -> None:
    net, optimizer, scheduler = copy.deepcopy(built(AdamWConfig(), clock))
    assert scheduler.optimizer is optimizer
    scale = {"optimizer_steps": [1, 2], "successful_steps": [1, 1]}
    assert train(net, optimizer, scheduler, [1.0, math.nan]) == scale[clock]


def test_a_position_that_is_asked_for_is_taken_after_a_skipped_update() -> None:
    net, optimizer, scheduler = built(SkippingConfig(optimizer=AdamWConfig()))
    (math.nan * net(torch.ones(1, 2)).sum()).backward()
    optimizer.step()
    scheduler.step(4)
    assert scheduler.last_epoch == 4


def test_a_rate_found_during_skipped_updates_is_the_base() -> None:
    net, optimizer, scheduler = built(SkippingConfig(optimizer=AdamWConfig(lr=0.1)))
    for scale in (math.nan, 1.0):
        optimizer.param_groups[0]["lr"] = 0.5
        optimizer.zero_grad()
        (scale * net(torch.ones(1, 2)).sum()).backward()
        optimizer.step()
        scheduler.step()
    assert scheduler.base_lrs == [0.5]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.45)


def test_a_clock_that_does_not_exist_is_refused() -> None:
    message = "schedule_clock must be 'optimizer_steps' or 'successful_steps', not 'steps'"
    with pytest.raises(ScheduleError, match=message):
        RunLength(total_steps=1, schedule_clock="steps")  # type: ignore[arg-type]


# -- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.complex64])
def test_one_bad_element_among_many_is_seen(bad: float, dtype: torch.dtype) -> None:
    params = [nn.Parameter(torch.ones(40, 25, dtype=dtype)), nn.Parameter(torch.ones(1))]
    for param in params:
        param.grad = torch.ones_like(param)
    assert are_finite(params)
    params[0].grad[39, 24] = bad  # type: ignore[index]
    assert not are_finite(params)
    assert [is_finite(param) for param in params] == [False, True]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_gradient_is_bad_whose_square_overflows_and_all_are_whose_norm_does(
    dtype: torch.dtype,
) -> None:
    most = torch.finfo(torch.promote_types(dtype, torch.float32)).max
    param = nn.Parameter(torch.zeros(1000, dtype=dtype))
    param.grad = torch.full_like(param, min(math.sqrt(most) / 2, torch.finfo(dtype).max))
    assert is_finite(param)
    assert are_finite([param]) == (dtype is torch.float16)  # in 32 bits it does not overflow
    param.grad.div_(1000)
    assert are_finite([param])
    if dtype is not torch.float16:  # which has no such number
        param.grad[7] = torch.finfo(dtype).max
        assert not is_finite(param)
        assert not are_finite([param])


def test_a_gradient_of_3e38_is_skipped_and_leaves_no_nan_in_the_state() -> None:
    net, optimizer, _ = built(SkippingConfig(optimizer=AdamWConfig()))
    for scale in (1.0, 3e38, 1.0):
        optimizer.zero_grad()
        (scale * net(torch.ones(1, 2)).sum()).backward()
        optimizer.step()
    tensors = [value for state in optimizer.state.values() for value in state.values()]
    assert all(bool(value.isfinite().all()) for value in tensors)
    assert optimizer.param_groups[0]["skipped"] == 1


def _moved(config: Any) -> tuple[float, Any]:
    """How far all of a large matrix moves in a step, each gradient of which is 1e18."""
    net = nn.Linear(4096, 64, bias=False)
    optimizer = config.create_optimizer(net)
    before = net.weight.detach().clone()
    (net.weight.double().sum() * 1e18).float().backward()
    optimizer.step()
    return float((net.weight.detach() - before).norm()), optimizer


def test_gradients_whose_norm_overflows_are_skipped_though_each_is_finite() -> None:
    moved, optimizer = _moved(SkippingConfig(optimizer=AdamWConfig()))
    assert (moved, optimizer.param_groups[0]["skipped"]) == (0.0, 1)


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_whose_norm_overflows_are_clipped_to_the_limit(fused: bool) -> None:
    moved, _ = _moved(ClippedConfig(optimizer=SGDConfig(lr=0.1, fused=fused), max_norm=1.0))
    assert moved == pytest.approx(0.1, rel=1e-2)  # of weights that are rounded


def test_gradients_in_16_bits_whose_norm_has_no_number_there_are_clipped() -> None:
    param = nn.Parameter(torch.zeros(100, dtype=torch.float16))
    param.grad = torch.full_like(param, 6e4)
    ClippedConfig(optimizer=SGDConfig(lr=1.0), max_norm=10.0).create_optimizer([param]).step()
    assert param.tolist() == pytest.approx([-1.0] * 100, rel=1e-2)


@pytest.mark.parametrize("fp", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("config", [{"adaptive": 0.01}, {"max_norm": 0.05}], ids=str)
@pytest.mark.parametrize("path", ["looked at", "not looked at"])
def test_the_largest_gradients_are_clipped_on_every_path(
    path: str, config: Any, fp: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, and in a compiled step, nothing looks at a norm."""
    if path == "not looked at":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    params = [nn.Parameter(torch.ones(5, 4, dtype=fp)), nn.Parameter(torch.ones(5, dtype=fp))]
    for param in params:
        param.grad = torch.full_like(param, torch.finfo(fp).max / 1000)
    ClippedConfig(optimizer=SGDConfig(lr=1.0), **config).create_optimizer(params).step()
    for param in params:
        assert torch.equal(param, 1 - param.grad)  # type: ignore[operator]
        torch.testing.assert_close(param.grad, torch.full_like(param, 0.01), rtol=0.05, atol=0)


@pytest.mark.parametrize("config", [{"adaptive": 0.01}, {"max_norm": 0.05}], ids=str)
def test_the_path_that_looks_at_no_norm_clips_as_the_other(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = [built(ClippedConfig(optimizer=SGDConfig(lr=1.0), **config)) for _ in range(2)]
    for looks, (net, optimizer, _) in enumerate(nets):
        for size in (10.0, 1e-3):
            optimizer.zero_grad()
            (size * net(torch.ones(1, 2)).sum()).backward()
            if not looks:
                monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
            optimizer.step()
            monkeypatch.undo()
    for one, other in zip(nets[0][0].parameters(), nets[1][0].parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_an_infinite_gradient_is_not_clipped_to_0() -> None:
    param = nn.Parameter(torch.zeros(2))
    param.grad = torch.tensor([1.0, math.inf])
    ClippedConfig(optimizer=SGDConfig(lr=1.0), max_norm=1.0).create_optimizer([param]).step()
    assert bool(param[1].isnan())


def test_a_sparse_gradient_is_looked_at() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    (table(torch.tensor([1, 1])) * torch.tensor([1.0, math.nan])).sum().backward()
    assert not are_finite([table.weight])
    assert not is_finite(table.weight)


# -- a step that is skipped ------------------------------------------------------------------------


def test_a_step_that_is_skipped_before_it_begins_is_the_next_one() -> None:
    net, optimizer, scheduler = built(SkippingConfig(optimizer=AdamWConfig()))
    before = copy.deepcopy(net.state_dict())
    skip_step(optimizer)
    for expected in (True, False):
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
        assert torch.equal(net.state_dict()["weight"], before["weight"]) is expected
    assert scheduler.last_epoch == 1


def test_a_step_that_torchs_scheduler_wraps_can_be_made_skippable_and_is_put_back() -> None:
    param = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([param], lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    wrapped = vars(optimizer)["step"]
    undo = make_skippable(optimizer)
    optimizer.register_step_pre_hook(lambda own, *_: skip_step(own))
    param.grad = torch.ones(1)
    optimizer.step()
    assert param.item() == 1
    undo()
    assert vars(optimizer)["step"] is wrapped
