"""Telemetry measures what a step does, whatever does the step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

import nshtrainer
from nshtrainer.configs import (
    AdamWConfig,
    ClippedConfig,
    LBFGSConfig,
    LookaheadConfig,
    RoutedOptimizerConfig,
    SAMConfig,
    SGDConfig,
    SkippingConfig,
)
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.wrappers import hooks

GROUPS = [{"name": "bias", "select": "*.bias", "lr_mult": 2}]
CLIPPED_SGD = {"name": "clipped", "optimizer": "sgd", "max_norm": 1e-3}
ROUTE = {"name": "bias", "select": "*.bias", "optimizer": CLIPPED_SGD}
CONFIGS: dict[str, Any] = {
    "fused": AdamWConfig(lr=0.1, fused=True, groups=GROUPS),
    "foreach": AdamWConfig(lr=0.1, foreach=True, groups=GROUPS),
    "momentum": SGDConfig(lr=0.1, momentum=0.9, weight_decay=0.1, groups=GROUPS),
    "clipped": ClippedConfig(optimizer=AdamWConfig(lr=0.1, groups=GROUPS), max_norm=1e-3),
    "clipped sgd": ClippedConfig(optimizer=SGDConfig(lr=0.1, fused=False), max_norm=1e-3),
    "routed": RoutedOptimizerConfig(routes=[ROUTE], default="adamw"),
    "lookahead": LookaheadConfig(optimizer=SGDConfig(lr=0.1), k=1, alpha=0.5),
    "sam": SAMConfig(optimizer=SGDConfig(lr=0.1)),
    "lbfgs": LBFGSConfig(lr=0.1),
}


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))


def loss_of(model: nn.Module) -> Tensor:
    inputs = torch.linspace(-1, 1, 12).reshape(4, 3)
    return (model(inputs) - 1).square().mean()


def norm(values: list[Tensor]) -> float:
    return math.sqrt(sum(float(value.double().square().sum()) for value in values))


def backward(model: nn.Module) -> Tensor:
    model.zero_grad()
    loss = loss_of(model)
    loss.backward()
    return loss


@pytest.mark.parametrize("kind", CONFIGS)
def test_values_are_those_of_the_step(kind: str) -> None:
    model = make_model()
    optimizer = CONFIGS[kind].create_optimizer(model)
    telemetry = nshtrainer.watch_telemetry(optimizer, every=2)
    for step in range(4):
        backward(model)
        before = {param: param.detach().clone() for param in model.parameters()}
        grads = {
            param: param.grad.clone() for param in model.parameters() if param.grad is not None
        }
        optimizer.step(lambda: backward(model))
        if step % 2 == 0:
            assert bool(telemetry.latest) == (step > 0)
            continue
        for place, group in enumerate(optimizer.param_groups):
            name, params = group.get("name", place), group["params"]
            found = {
                key.removeprefix(f"telemetry/{name}/"): value
                for key, value in telemetry.latest.items()
            }
            update = norm([param.detach() - before[param] for param in params])
            size = sum(param.numel() for param in params)
            assert found["update_norm"] == pytest.approx(update, rel=1e-4)
            assert found["weight_norm"] == pytest.approx(norm([before[p] for p in params]))
            ratio = found["update_norm"] / found["weight_norm"]
            assert found["update_ratio"] == pytest.approx(ratio)
            assert found["lr"] == group["lr"]
            effective = update / group["lr"] / math.sqrt(size)
            assert found["effective_step"] == pytest.approx(effective, rel=1e-4)
            if kind not in {"sam", "lbfgs"}:  # which compute gradients elsewhere as well
                assert found["grad_norm"] == pytest.approx(norm([grads[p] for p in params]))


def measured(optimizer: Any, model: nn.Module, *, steps: int = 4) -> dict[str, float]:
    telemetry = nshtrainer.watch_telemetry(optimizer, every=steps)
    for step in range(steps):
        backward(model)
        if step == 1:
            for param in model.parameters():
                param.grad = torch.zeros_like(param)
        optimizer.step()
    return telemetry.latest


@pytest.mark.parametrize("is_readable", [True, False])  # False as on an accelerator
@pytest.mark.parametrize("kind", ["clipped", "clipped sgd"])
def test_share_of_clipped_steps(
    kind: str, is_readable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_readable:
        monkeypatch.setattr(hooks, "_is_readable", lambda _: False)
    model = make_model()
    found = measured(CONFIGS[kind].create_optimizer(model), model)
    assert {value for name, value in found.items() if name.endswith("/clipped")} == {0.75}


def test_steps_before_the_telemetry_do_not_count() -> None:
    model = make_model()
    optimizer = CONFIGS["clipped"].create_optimizer(model)
    for _ in range(3):
        backward(model)
        optimizer.step()
    found = measured(optimizer, model)
    assert {value for name, value in found.items() if name.endswith("/clipped")} == {0.75}


def test_a_rate_in_a_tensor_is_that_of_the_step() -> None:
    model = make_model()
    optimizer = AdamWConfig(lr=0.5, tensor_lr=True).create_optimizer(model)
    found = nshtrainer.watch_telemetry(optimizer, every=1)
    backward(model)
    optimizer.step()
    optimizer.param_groups[0]["lr"].fill_(0.25)  # as a schedule does
    assert found.latest["telemetry/0/lr"] == 0.5


def test_groups_of_other_types_and_without_parameters() -> None:
    param = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    groups = [{"params": []}, {"params": [param]}, {"params": [nn.Parameter(torch.ones(1))]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    telemetry = nshtrainer.watch_telemetry(optimizer, every=1)
    optimizer.step()
    norms = [telemetry.latest[f"telemetry/{place}/weight_norm"] for place in range(3)]
    assert norms == [0, 5, 1]


def test_a_part_of_a_routed_optimizer_has_its_own_share() -> None:
    model = make_model()
    found = measured(CONFIGS["routed"].create_optimizer(model), model)
    shares = {name: value for name, value in found.items() if name.endswith("/clipped")}
    assert shares == {"telemetry/bias/clipped": 0.75}


def test_clipping_by_a_wrapper_counts() -> None:
    model = make_model()
    config = ClippedConfig(optimizer=SGDConfig(lr=0.1), max_norm=1e-3)
    found = measured(config.create_optimizer(model), model)
    assert {value for name, value in found.items() if name.endswith("/clipped")} == {0.75}


def test_share_of_skipped_steps() -> None:
    model = make_model()
    optimizer = SkippingConfig(optimizer=AdamWConfig()).create_optimizer(model)
    telemetry = nshtrainer.watch_telemetry(optimizer, every=3)
    for step in range(4):
        backward(model)
        if step == 1:
            next(model.parameters()).grad.fill_(math.nan)  # type: ignore[union-attr]
        optimizer.step()
    assert telemetry.latest["telemetry/skipped"] == 0.25
    assert telemetry.steps == 3


def test_a_large_parameter_is_estimated_from_a_sample() -> None:
    torch.manual_seed(0)
    scales = torch.linspace(0.1, 2, 1024)  # columns differ
    param = nn.Parameter(torch.randn(512, 1024) * scales)
    optimizer = torch.optim.SGD([param], lr=0.1)
    telemetry = nshtrainer.watch_telemetry(optimizer, every=1)
    param.grad = torch.randn(512, 1024) * scales.flip(0)
    weight, grad = float(param.detach().norm()), float(param.grad.norm())
    optimizer.step()
    assert telemetry.latest["telemetry/0/weight_norm"] == pytest.approx(weight, rel=0.02)
    assert telemetry.latest["telemetry/0/update_norm"] == pytest.approx(0.1 * grad, rel=0.02)
    assert telemetry.latest["telemetry/0/grad_norm"] == pytest.approx(grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.complex64])
def test_types_of_parameters(dtype: torch.dtype) -> None:
    param = nn.Parameter(torch.tensor([3, 4], dtype=dtype))
    optimizer = torch.optim.SGD([param, nn.Parameter(torch.zeros(()))], lr=0.5)
    telemetry = nshtrainer.watch_telemetry(optimizer, every=1)
    param.grad = torch.tensor([0, 2], dtype=dtype)
    optimizer.step()
    found = telemetry.latest
    assert found["telemetry/0/grad_norm"] == pytest.approx(2)
    assert found["telemetry/0/weight_norm"] == pytest.approx(5)
    assert found["telemetry/0/update_norm"] == pytest.approx(1)


def test_sparse_gradients() -> None:
    embedding = nn.Embedding(5, 2, sparse=True)
    optimizer = torch.optim.SGD(embedding.parameters(), lr=1.0)
    telemetry = nshtrainer.watch_telemetry(optimizer, every=1)
    embedding(torch.tensor([1, 1])).sum().backward()
    optimizer.step()
    assert telemetry.latest["telemetry/0/grad_norm"] == pytest.approx(math.sqrt(8))


def test_sharded_and_replicated_parameters(tmp_path: Path) -> None:
    dist.init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1, 1))
        whole = torch.tensor([3.0, 4.0])
        params = [nn.Parameter(distribute_tensor(whole, mesh, [Replicate(), Shard(0)]))]
        optimizer = torch.optim.SGD([*params, nn.Parameter(torch.tensor([12.0]))], lr=0.5)
        telemetry = nshtrainer.watch_telemetry(optimizer, every=1)
        params[0].sum().backward()
        optimizer.step()
        assert telemetry.latest["telemetry/0/weight_norm"] == pytest.approx(13)
        assert telemetry.latest["telemetry/0/update_norm"] == pytest.approx(0.5 * math.sqrt(2))
    finally:
        dist.destroy_process_group()


def test_loss_scaling_is_undone() -> None:
    model = make_model()
    optimizer = AdamWConfig(fused=True).create_optimizer(model)
    telemetry = nshtrainer.watch_telemetry(optimizer, every=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    scaler.scale(loss_of(model)).backward()
    expected = norm([param.grad for param in model.parameters() if param.grad is not None]) / 64
    scaler.step(optimizer)
    assert telemetry.latest["telemetry/0/grad_norm"] == pytest.approx(expected)


def test_measured_steps_are_logged_until_removed() -> None:
    model = make_model()
    optimizer = AdamWConfig().create_optimizer(model)
    steps: list[int] = []
    telemetry = nshtrainer.watch_telemetry(optimizer, 2, lambda _, step: steps.append(step))
    for step in range(6):
        if step == 5:
            telemetry.remove()
        backward(model)
        optimizer.step()
    assert steps == [2, 4]


def test_updates_are_the_same_bits() -> None:
    models = [make_model(), make_model()]
    for model, watched in zip(models, (True, False), strict=True):
        optimizer = CONFIGS["clipped"].create_optimizer(model)
        if watched:
            nshtrainer.watch_telemetry(optimizer, every=1)
        for _ in range(3):
            backward(model)
            optimizer.step()
    assert all(map(torch.equal, models[0].parameters(), models[1].parameters()))


@pytest.mark.parametrize(("every", "what"), [(0, "optimizer"), (1, "model")])
def test_bad_arguments(every: int, what: str) -> None:
    model = make_model()
    subject = model if what == "model" else torch.optim.SGD(model.parameters())
    with pytest.raises(OptimizerError, match=r"every must be >= 1|Sequential is not an optimizer"):
        nshtrainer.watch_telemetry(subject, every=every)
