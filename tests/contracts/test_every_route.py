"""Laws of several optimizers as one: each does what it does alone, to the bit."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from tests.support import same, saved_and_loaded, torchs_optimizers
from torch import Tensor, nn

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    OptimizerConfigBase,
    RouteConfig,
    RoutedOptimizerConfig,
    StepsConfig,
)
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase

EVERY = [cls for cls in torchs_optimizers() if not cls.needs_closure]
every_optimizer = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
every_scheduled_optimizer = pytest.mark.parametrize(
    "cls", [cls for cls in EVERY if cls.lr_scope == "group"], ids=lambda cls: cls.__name__
)

Config = type[TorchOptimizerConfigBase]


class Two(nn.Module):
    """A first part for the optimizer of the route, and a second for the default one."""

    def __init__(self, sparse: bool, matrices: bool) -> None:
        super().__init__()
        embedding, linear = nn.Embedding(6, 4, sparse=sparse), nn.Linear(4, 4, bias=not matrices)
        self.first = embedding if sparse else nn.Sequential(embedding, linear)
        self.second = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 1))

    def loss(self, step: int) -> Tensor:
        rows = torch.tensor([step % 6, 1, 2])
        return self.second(self.first(rows)).square().mean()


def make_model(cls: Config, seed: int = 0) -> Two:
    torch.default_generator.manual_seed(seed)
    return Two(cls.needs_sparse_gradients, cls.needs_dimensions is not None)


def make_routed(cls: Config, model: nn.Module) -> torch.optim.Optimizer:
    route = RouteConfig(name="one", select="first", optimizer=cls())
    return RoutedOptimizerConfig(routes=(route,), default=AdamWConfig()).create_optimizer(model)


class Bare:
    """The two optimizers by hand."""

    def __init__(self, cls: Config, model: Two) -> None:
        self.both = [
            cls().create_optimizer(model.first),
            AdamWConfig().create_optimizer(model.second),
        ]

    def __getattr__(self, method: str) -> Any:
        return lambda: [getattr(optimizer, method)() for optimizer in self.both]


def schedule(optimizer: torch.optim.Optimizer) -> Any:
    config = LinearWarmupCosineDecayLRSchedulerConfig(
        warmup_duration=StepsConfig(value=2), max_duration=StepsConfig(value=8)
    )
    return config.create_scheduler(optimizer, RunLength(total_steps=8))["scheduler"]


def train(model: Two, optimizer: Any, steps: range, *schedulers: Any) -> None:
    for step in steps:
        optimizer.zero_grad()
        model.loss(step).backward()
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


@every_optimizer
def test_it_does_what_the_optimizers_do_by_themselves(cls: Config):
    routed, bare = make_model(cls), make_model(cls)
    train(routed, make_routed(cls, routed), range(5))
    train(bare, Bare(cls, bare), range(5))
    assert same(routed.parameters(), bare.parameters())


@every_scheduled_optimizer
def test_a_schedule_drives_every_rate_as_if_each_had_its_own(cls: Config):
    routed, bare = make_model(cls), make_model(cls)
    optimizer, both = make_routed(cls, routed), Bare(cls, bare)
    train(routed, optimizer, range(5), schedule(optimizer))
    train(bare, both, range(5), *[schedule(part) for part in both.both])
    rates = [group["lr"] for part in both.both for group in part.param_groups]
    assert [group["lr"] for group in optimizer.param_groups] == rates
    assert len(set(rates)) == len(rates) or cls().lr == AdamWConfig().lr  # type: ignore[attr-defined]
    assert same(routed.parameters(), bare.parameters())


@every_scheduled_optimizer
def test_a_resumed_run_equals_the_uninterrupted_one(cls: Config):
    model = make_model(cls)
    optimizer = make_routed(cls, model)
    scheduler = schedule(optimizer)
    train(model, optimizer, range(3), scheduler)
    everything = (model, optimizer, scheduler)
    saved = saved_and_loaded([each.state_dict() for each in everything])
    train(model, optimizer, range(3, 6), scheduler)

    resumed = make_model(cls, seed=1)
    again = make_routed(cls, resumed)
    also = schedule(again)
    for each, state in zip((resumed, again, also), saved, strict=True):
        each.load_state_dict(state)
    train(resumed, again, range(3, 6), also)
    assert same(model.parameters(), resumed.parameters())


@every_optimizer
def test_its_state_has_the_form_of_any_optimizers(cls: Config):
    model = make_model(cls)
    optimizer = make_routed(cls, model)
    train(model, optimizer, range(2))
    state, flat = optimizer.state_dict(), torch.optim.Optimizer.state_dict(optimizer)
    assert state.keys() == flat.keys()
    assert state["param_groups"] == flat["param_groups"]
    assert state["state"].keys() == flat["state"].keys()
    ids = [number for group in state["param_groups"] for number in group["params"]]
    assert ids == list(range(len(list(model.parameters()))))
    for number, values in state["state"].items():
        assert all(value is flat["state"][number][key] for key, value in values.items())


@every_optimizer
@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_goes_on_as_the_original(cls: Config, twin_of: Any):
    model = make_model(cls)
    optimizer = make_routed(cls, model)
    train(model, optimizer, range(2))
    twin, copied = twin_of((model, optimizer))
    train(model, optimizer, range(2, 4))
    train(twin, copied, range(2, 4))
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)  # fused here, a loop there
    shared = [group for part in copied.routes.values() for group in part.param_groups]
    assert all(map(lambda ours, theirs: ours is theirs, copied.param_groups, shared))


@every_optimizer
def test_it_has_each_optimizers_own_choice_of_implementation(cls: Config):
    model = make_model(cls)
    optimizer, bare = make_routed(cls, model), Bare(cls, model)
    alone = [group for part in bare.both for group in part.param_groups]
    for ours, theirs in zip(optimizer.param_groups, alone, strict=True):
        assert {**ours, "name": None} == {**theirs, "name": None}


def test_an_optimizer_that_needs_a_closure_is_no_part():
    needy = [cls for cls in torchs_optimizers() if cls.needs_closure]
    assert needy
    for cls in needy:
        config: OptimizerConfigBase = cls()
        with pytest.raises(ValueError, match="computes the loss several times an update"):
            RouteConfig(name="one", select="*", optimizer=config)
