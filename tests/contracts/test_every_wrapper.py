"""Laws of what is put around an optimizer, with every optimizer of torch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.contracts.test_every_optimizer import Config, every_optimizer, make_model
from tests.contracts.test_every_package_optimizer import EVERY as PACKAGES
from tests.contracts.test_every_package_optimizer import make_model as make_package_model
from tests.contracts.test_every_package_optimizer import modest
from tests.contracts.test_every_package_optimizer import train as train_package
from tests.support import saved_and_loaded, train, weights
from torch import Tensor

from nshtrainer import RunLength, create
from nshtrainer.configs import (
    ClippedConfig,
    LBFGSConfig,
    LinearScheduleConfig,
    SAMConfig,
    SGDConfig,
    SkippingConfig,
    optimizer_registry,
)
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.checkpoint.fresh_state import state_bytes
from nshtrainer.optimizer.wrappers.config import WrappingConfigBase

WRAPPERS = [cls for cls in optimizer_registry.values() if issubclass(cls, WrappingConfigBase)]
ON_CPU = [cls for cls in PACKAGES if not cls.instead_on_cpu]
REQUIRED = {"clipped": {"max_norm": 1.0}}

pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")


@pytest.fixture(autouse=True)
def _as_written() -> Iterator[None]:
    """The steps of torchao without the half minute in which they are compiled."""
    with torch.compiler.set_stance("force_eager"):
        yield


def gradients(model: Any, *, scale: float = 1.0) -> None:
    """The gradients of the loss, made anew."""
    model.zero_grad()
    (scale * model.loss()).backward()


def without_counts(state: Any) -> Any:
    """A state as plain data, without what skipping counts in each group."""
    if isinstance(state, dict):
        keys = [key for key in state if key not in ("skipped", "skipped_in_a_row")]
        return {key: without_counts(state[key]) for key in keys}
    if isinstance(state, (list, tuple, deque)):
        return [without_counts(each) for each in state]
    if isinstance(state, Tensor):
        return repr(state.tolist())  # which nan is equal in
    own = getattr(state, "__dict__", None)
    return without_counts(own) if isinstance(own, dict) else repr(state)


@pytest.mark.parametrize("cls", WRAPPERS)
def test_what_a_wrapper_keeps_in_a_group_is_checked_when_it_is_loaded(cls: Any) -> None:
    config = cls(optimizer=SGDConfig(), **REQUIRED.get(cls.model_fields["name"].default, {}))
    model = make_model(SGDConfig)
    optimizer = config.create_optimizer(model)
    train(model, optimizer, 2)
    saved = saved_and_loaded(optimizer.state_dict())
    (group,) = saved["param_groups"]
    own = group.keys() - SGDConfig().create_optimizer(model).state_dict()["param_groups"][0].keys()
    for key in own:
        for bad in ("text", None, math.nan, -1, [1], torch.ones(2)):
            with pytest.raises(OptimizerError, match=f"does not fit: the option {key} is "):
                optimizer.load_state_dict({**saved, "param_groups": [{**group, key: bad}]})
    optimizer.load_state_dict(saved)


@pytest.mark.parametrize("inner", [SGDConfig(), LBFGSConfig()], ids=["sgd", "lbfgs"])
@pytest.mark.parametrize("cls", WRAPPERS)
def test_what_a_wrapper_keeps_of_a_parameter_is_checked_when_it_is_loaded(
    cls: Any, inner: Any
) -> None:
    if isinstance(inner, LBFGSConfig) and cls in {SkippingConfig, SAMConfig}:
        return  # they refuse it
    model, plain = make_model(SGDConfig), make_model(SGDConfig)
    config = cls(optimizer=inner, **REQUIRED.get(cls.model_fields["name"].default, {}))
    optimizer, bare = config.create_optimizer(model), inner.create_optimizer(plain)
    train(model, optimizer, 2)
    train(plain, bare, 2)
    saved = saved_and_loaded(optimizer.state_dict())
    for number, state in saved["state"].items():
        for key in state.keys() - bare.state_dict()["state"].get(number, {}).keys():
            own = state[key]
            kinds = (own.long(), own + 1j, own.to_sparse(), own[None], own.to("meta"))
            for bad in ("text", None, 1.0, [own], *kinds):
                states = {**saved["state"], number: {**state, key: bad}}
                with pytest.raises(OptimizerError, match=f"does not fit: .*saved {key} "):
                    optimizer.load_state_dict({**saved, "state": states})
    optimizer.load_state_dict(saved)


@pytest.mark.parametrize(
    ("cls", "in_route"),
    [(cls, False) for cls in WRAPPERS]
    + [(cls, True) for cls in WRAPPERS if cls is not SAMConfig],  # it is refused in a route
)
def test_a_wrapper_that_keeps_values_in_groups_is_refused_around_itself(
    cls: Any, in_route: bool
) -> None:
    own = REQUIRED.get(cls.model_fields["name"].default, {})
    inner: Any = cls(optimizer=SGDConfig(), **own)
    if in_route:
        inner = {"name": "routed", "routes": [{"name": "all", "select": "*", "optimizer": inner}]}
    config, model = cls(optimizer=inner, **own), make_model(SGDConfig)
    once = cls(optimizer=SGDConfig(), **own).create_optimizer(model)
    train(model, once, 1)
    new = once.param_groups[0].keys() - SGDConfig().create_optimizer(model).param_groups[0].keys()
    assert cls.keeps == bool(new)
    if cls.keeps:
        with pytest.raises(OptimizerError, match=f"^{config.name}: there is another {config.name}"):
            config.create_optimizer(model)
    else:
        config.create_optimizer(model)


@every_optimizer
def test_where_nothing_is_clipped_not_a_bit_is_changed(cls: Config) -> None:
    ours, theirs = make_model(cls), make_model(cls)
    train(ours, ClippedConfig(optimizer=cls(), max_norm=1e4).create_optimizer(ours), 4)
    train(theirs, cls().create_optimizer(theirs), 4)
    assert all(map(torch.equal, weights(ours), weights(theirs)))


@every_optimizer
def test_what_is_clipped_is_clipped_as_torch_does_it(cls: Config) -> None:
    ours, theirs = make_model(cls), make_model(cls)
    optimizer = ClippedConfig(optimizer=cls(), max_norm=0.05).create_optimizer(ours)
    own = cls().create_optimizer(theirs)

    def clipped() -> Tensor:
        own.zero_grad()
        loss = theirs.loss()
        loss.backward()
        grads = [param.grad for param in theirs.parameters()]
        size = torch.stack([grad.norm() for grad in grads]).norm()  # torch's takes no sparse ones
        assert size > 0.05
        for grad in grads:
            grad.mul_(0.05 / (size + 1e-6))
        return loss

    for _ in range(4):
        train(ours, optimizer, 1)
        own.step(clipped)  # type: ignore[arg-type]
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(weights(ours), weights(theirs))


@every_optimizer
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_update_changes_nothing_and_is_counted(cls: Config, bad: float) -> None:
    model = make_model(cls)
    if cls().name == "lbfgs":
        with pytest.raises(OptimizerError, match="LBFGS computes several gradients within one"):
            SkippingConfig(optimizer=cls()).create_optimizer(model)
        return
    decay = {"weight_decay": 0.1} if "weight_decay" in cls.model_fields else {}
    optimizer = SkippingConfig(optimizer=cls(**decay)).create_optimizer(model)
    train(model, optimizer, 2)
    before, state = weights(model), without_counts(optimizer.state_dict())
    gradients(model, scale=bad)
    optimizer.step()
    assert all(map(torch.equal, before, weights(model)))
    assert without_counts(optimizer.state_dict()) == state
    assert optimizer.param_groups[0]["skipped"] == 1
    train(model, optimizer, 1)
    assert not all(map(torch.equal, before, weights(model)))
    counts = saved_and_loaded(optimizer.state_dict())["param_groups"][0]
    assert (counts["skipped"], counts["skipped_in_a_row"]) == (1, 0)


@every_optimizer
def test_a_run_with_bad_batches_left_out_is_the_run_without_them(cls: Config) -> None:
    if cls().name in {"lbfgs", "rprop"}:  # refused, as above; takes no schedule
        return

    def run(batches: list[float]) -> tuple[Any, ...]:
        model, length = make_model(cls), RunLength(total_steps=10)
        config = SkippingConfig(optimizer=cls(lr=0.01))
        optimizer, scheduler = create(config, LinearScheduleConfig(), model, length)
        rates = []
        for scale in batches:
            if math.isfinite(scale):
                rates.append(float(optimizer.param_groups[0]["lr"]))
            gradients(model, scale=scale)
            optimizer.step()
            scheduler.step()
        return rates, scheduler.last_epoch, weights(model), optimizer.state_dict()["state"]

    ours = run([math.nan, 1.0, math.inf, 2.0, math.nan, -math.inf, 0.5])
    assert ours[:2] == (pytest.approx([0.01, 0.009, 0.008]), 3)
    torch.testing.assert_close(ours, run([1.0, 2.0, 0.5]), rtol=0, atol=0)


@pytest.mark.parametrize("cls", WRAPPERS, ids=lambda cls: cls.__name__)
def test_it_keeps_as_many_copies_of_the_weights_as_it_says(cls: type[WrappingConfigBase]) -> None:
    model = make_model(SGDConfig)
    inner = SGDConfig(lr=0.01, momentum=0.9)
    name = cls.model_fields["name"].default
    optimizer = cls(optimizer=inner, **REQUIRED.get(name, {})).create_optimizer(model)
    told = state_bytes(optimizer, optimizer.param_groups[0], copies=cls.copies)
    train(model, optimizer, 4)
    tensors = [value for state in optimizer.state.values() for value in state.values()]
    assert told == sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("cls", ON_CPU, ids=lambda cls: cls.__name__)
def test_a_skipped_step_does_not_reach_an_optimizer_of_another_package(cls: Any) -> None:
    def closure() -> Tensor:
        loss = model.loss()
        for param in model.parameters():
            param.grad = torch.full_like(param, math.nan)
        return loss.detach()

    model = make_package_model(cls)
    optimizer: Any = SkippingConfig(optimizer=modest(cls)).create_optimizer(model)
    train_package(cls, model, optimizer, 1)
    before, state = weights(model), without_counts(optimizer.state_dict())
    closure()
    optimizer.step() if not cls.needs_closure else optimizer.step(closure)
    assert float(optimizer.step(closure)) == model.loss().item()
    assert all(map(torch.equal, before, weights(model)))
    assert without_counts(optimizer.state_dict()) == state
    assert optimizer.param_groups[0]["skipped"] == 2
    train_package(cls, model, optimizer, 1)
    assert optimizer.param_groups[0]["skipped_in_a_row"] == 0


def test_a_skipped_step_runs_no_other_hook() -> None:
    seen: list[str] = []
    model = make_model(SGDConfig)
    optimizer = SkippingConfig(optimizer="adamw").create_optimizer(model)
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    gradients(model, scale=math.nan)
    assert optimizer.step() is None
    assert seen == []
    train(model, optimizer, 1)
    assert seen == ["after"]


def test_a_scheduler_of_torchs_and_skipping_go_together() -> None:
    model = make_model(SGDConfig)
    optimizer = SkippingConfig(optimizer=SGDConfig(lr=0.1)).create_optimizer(model)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    before = weights(model)
    gradients(model, scale=math.nan)
    optimizer.step()
    scheduler.step()  # without a warning: there was a step
    assert all(map(torch.equal, before, weights(model)))
    train(model, optimizer, 1)
    assert not all(map(torch.equal, before, weights(model)))


def test_clipping_by_value_around_skipping_and_without_gradients_does_nothing() -> None:
    model = make_model(SGDConfig)
    config = ClippedConfig(optimizer=SkippingConfig(optimizer="adamw"), max_value=0.1)
    optimizer = config.create_optimizer(model)
    optimizer.step()
    before = weights(model)
    gradients(model, scale=math.nan)
    optimizer.step()
    assert all(map(torch.equal, before, weights(model)))
