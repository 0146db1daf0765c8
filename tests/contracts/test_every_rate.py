"""Laws of learning rates: what a group or a schedule sets has an effect, or is refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.contracts import test_every_optimizer as natives
from tests.contracts import test_every_package_optimizer as packaged
from tests.support import same, torchs_optimizers
from torch import Tensor

from nshtrainer import RunLength, configs, create
from nshtrainer.configs import (
    AdamWConfig,
    CosineScheduleConfig,
    LinearScheduleConfig,
    SchedulesConfig,
)
from nshtrainer.exceptions import OptimizerError, ScheduleError
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase

Config = type[TorchOptimizerConfigBase]
Rates = Callable[[int, int], float]
"""The step and the group -> the factor on the rate of the config."""

STEPS = (4, 12)
"""Steps to measure; RAdam and its kin change nothing in the first few."""

EVERY: list[Config] = [
    cls
    for cls in [*torchs_optimizers(), *packaged.EVERY]
    if "lr" in cls.model_fields and not getattr(cls, "instead_on_cpu", "")
]
every_optimizer = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")


@pytest.fixture(autouse=True)
def _eager() -> Any:
    """The steps of torchao without the half minute in which they are compiled."""
    with torch.compiler.set_stance("force_eager"):
        yield


def make_config(cls: Config) -> Any:
    return packaged.modest(cls) if issubclass(cls, PackageOptimizerConfigBase) else cls()


def make_model(cls: Config) -> Any:
    is_packaged = issubclass(cls, PackageOptimizerConfigBase)
    return packaged.make_model(cls) if is_packaged else natives.make_model(cls)


def required(config: Any) -> Any:
    """The config with the field that the rate of a group needs."""
    return config.replace(**dict([config.lr_requires])) if config.lr_requires else config


def trained(
    config: Any, rates: Rates, *, steps: int = STEPS[0], groups: bool = False
) -> list[list[Tensor]]:
    """The weights of each group after some steps, with rates that are written by hand."""
    model = make_model(type(config))
    first, *rest = model.parameters()
    parts = [[first], rest] if groups and rest else [[first, *rest]]
    optimizer = config.create_optimizer([{"params": part} for part in parts])
    began = [group["lr"] for group in optimizer.param_groups]
    vars(optimizer)["_optimizer_step_pre_hooks"].clear()  # what refuses a rate is not measured

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model.loss()
        loss.backward(create_graph=config.needs_second_backward)
        return loss.detach()

    for step in range(steps):
        torch.default_generator.manual_seed(step)
        for place, group in enumerate(optimizer.param_groups):
            group["lr"] = began[place] * rates(step, place)
        optimizer.step(closure)
    return [[param.detach().clone() for param in part] for part in parts]


# -- what is declared is what is measured ----------------------------------------------------------


def measured_scope(config: Any, steps: int) -> str:
    train = partial(trained, config, steps=steps)

    def constant(_step: int, _group: int) -> float:
        return 1.0

    if same(train(constant)[0], train(lambda step, _: 0.25 if step else 1.0)[0]):
        return "first_step"
    if config.needs_one_group or getattr(config, "pairs_by", None):
        return "group"
    base = train(constant, groups=True)
    if len(base) == 1:
        return "group"
    changed = train(lambda _, group: 0.25 if group else 1.0, groups=True)
    return "optimizer" if same(base[1], changed[1]) else "group"


@every_optimizer
def test_the_rate_that_is_read_is_the_one_that_is_declared(cls: Config) -> None:
    config = make_config(cls)
    scopes = (measured_scope(required(config), steps) for steps in STEPS)
    assert any(scope == cls.lr_scope for scope in scopes)
    if cls.lr_requires:
        assert measured_scope(config, STEPS[0]) == "first_step"  # neither group's nor schedule's


@every_optimizer
def test_a_rate_of_0_is_allowed_where_it_is_declared_to_be(cls: Config) -> None:
    config, start = required(make_config(cls)), list(make_model(cls).parameters())
    base = trained(config, lambda _, __: 1.0)[0]

    def works(zero: int) -> bool:
        try:
            (weights,) = trained(config, lambda step, _: float(step != zero))
        except ZeroDivisionError:
            return False
        ways = zip(weights, base, start, strict=True)
        moved = [
            (a - c).norm() > 0.02 * (b - c).norm() for a, b, c in ways if not torch.equal(b, c)
        ]
        return all(moved) and all(bool(weight.isfinite().all()) for weight in weights)

    first, later = works(0), works(2)
    assert cls.lr_zero == ("allowed" if first and later else "not_first" if later else "never")


@every_optimizer
def test_a_step_that_writes_the_rate_is_declared(cls: Config) -> None:
    optimizer = make_config(cls).create_optimizer(make_model(cls))
    step = inspect.getsource(inspect.unwrap(type(optimizer).step))
    writes = re.search(r"group\[.lr.\] = (?!group\.get)", step)
    assert bool(writes) == cls.lr_is_written


@every_optimizer
def test_what_has_no_effect_is_refused(cls: Config) -> None:
    config, model = make_config(cls), make_model(cls)
    name = next(name for name, _ in model.named_parameters())
    rule = {"name": "some", "select": name}
    if config.lr_problem:
        for wrong in ({"lr_mult": 0.5}, {"options": {"lr": 0.5}}):
            with pytest.raises(ValidationError, match="so it has no effect"):
                config.replace(groups=[{**rule, **wrong}])
        with pytest.raises(ValidationError, match="so layer_decay has no effect"):
            config.replace(layer_decay=0.5)
        rates = zip(model.parameters(), (0.5, 0.25), strict=False)
        groups: list[Any] = [{"params": [param], "lr": rate} for param, rate in rates]
        with pytest.raises(OptimizerError, match=r"Leave lr out of the groups|lr has no effect"):
            config.create_optimizer(groups)
    if config.lr_requires or cls.lr_scope == "first_step" or cls.lr_is_written:
        with pytest.raises(ScheduleError, match="so a schedule of lr has no effect"):
            create(config, CosineScheduleConfig(), model, RunLength(total_steps=10))


@every_optimizer
def test_a_schedule_that_begins_at_0_is_refused_where_it_does_harm(cls: Config) -> None:
    config, model = required(make_config(cls)), make_model(cls)
    if cls.lr_zero == "allowed" or cls.lr_scope == "first_step":
        return
    run = RunLength(total_steps=10)
    schedule = CosineScheduleConfig(warmup_duration="2 steps", warmup_start_factor=0.0)
    if cls.lr_is_written:
        optimizer = config.create_optimizer(model)
    else:
        with pytest.raises(ScheduleError, match="Set warmup_start_factor above 0"):
            create(config, schedule, model, run)
        optimizer, _ = create(config, schedule.replace(warmup_start_factor=0.1), model, run)
    with pytest.raises(ValidationError, match="lr"):
        cls(lr=0)
    with pytest.raises(OptimizerError, match="lr: must be > 0"):
        cls().create_optimizer([{"params": model.parameters(), "lr": 0.0}])
    optimizer.param_groups[0]["lr"] = 0.0
    model.loss().backward()
    with pytest.raises(OptimizerError, match="Give a schedule that begins above 0"):
        optimizer.step()


# -- single ones -----------------------------------------------------------------------------------


def test_a_schedule_of_one_group_is_refused_where_the_first_group_holds_for_all() -> None:
    model = packaged.make_model(configs.ProdigyConfig)
    config = configs.ProdigyConfig(groups=[{"name": "last", "select": "layers.2"}])
    one = SchedulesConfig(groups={"last": {"lr": CosineScheduleConfig()}})
    with pytest.raises(ScheduleError, match="give all groups the same schedule of lr"):
        create(config, one, model, RunLength(total_steps=10))
    optimizer, scheduler = create(config, CosineScheduleConfig(), model, RunLength(total_steps=10))
    optimizer.step(lambda: _loss(model))  # type: ignore[arg-type]
    assert scheduler is not None
    scheduler.step()
    assert {group["lr"] for group in optimizer.param_groups} == {scheduler.get_last_lr()[0]}


def _loss(model: Any) -> Any:
    model.loss().backward()
    return model.loss()


def test_a_schedule_of_another_hyperparameter_is_none_of_the_rate() -> None:
    model = packaged.make_model(configs.POAdaFactorConfig)
    decay = SchedulesConfig(default={"weight_decay": {"value": CosineScheduleConfig()}})
    assert create(configs.POAdaFactorConfig(), decay, model, RunLength(total_steps=10))


def test_a_schedule_on_plateau_is_refused_where_it_has_no_effect() -> None:
    optimizer = configs.RpropConfig().create_optimizer(packaged.make_model(configs.LionConfig))
    schedule = configs.ReduceLROnPlateauConfig(metric={"monitor": "loss", "mode": "min"})
    with pytest.raises(ScheduleError, match="rprop reads lr at its first step only, so a schedule"):
        schedule.create_scheduler(optimizer, RunLength())


def test_rprop_that_begins_at_0_is_refused_in_any_loop() -> None:
    model = natives.make_model(configs.RpropConfig)
    optimizer = configs.RpropConfig().create_optimizer(model)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: float(step > 0))
    model.loss().backward()
    with pytest.raises(OptimizerError, match=r"rprop: the first lr must be above 0"):
        optimizer.step()
    rates.step()
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize(
    "cls", [cls for cls in EVERY if cls.lr_zero == "never" and not cls.lr_is_written]
)
def test_a_schedule_that_is_0_before_the_end_is_told_to_stay_above_0(cls: Config) -> None:
    def run(schedule: LinearScheduleConfig, length: RunLength) -> None:
        model = make_model(cls)
        optimizer, scheduler = create(make_config(cls), schedule, model, length)
        for _ in range(6):
            optimizer.zero_grad()
            _loss(model).backward()
            optimizer.step()
            scheduler.step()

    early, six = LinearScheduleConfig(max_duration="3 steps"), RunLength(total_steps=6)
    with pytest.raises(ScheduleError, match=r"up to the last step of the run, 5, .*min_factor"):
        run(early, six)
    with pytest.raises(OptimizerError, match=r"the lr must be.* and ends above 0 \(min_factor\)"):
        run(early, RunLength())
    run(LinearScheduleConfig(max_duration="3 steps", min_factor=0.1), six)
    run(LinearScheduleConfig(), six)


def test_an_optimizer_that_writes_its_rate_takes_the_factor_of_a_group_and_no_schedule() -> None:
    model = packaged.make_model(configs.POASGDConfig)
    config = configs.POASGDConfig(groups=[{"name": "last", "select": "layers.2", "lr_mult": 0.5}])
    with pytest.raises(ScheduleError, match="po_asgd replaces lr by one of its own, so a schedule"):
        create(config, LinearScheduleConfig(), model, RunLength(total_steps=6))
    optimizer = config.create_optimizer(model)
    optimizer.step(lambda: _loss(model))  # type: ignore[arg-type]
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates["last"] == pytest.approx(0.5 * rates["default"])


def test_routes_are_checked_one_by_one() -> None:
    model = natives.make_model(AdamWConfig)
    routed = configs.RoutedOptimizerConfig(
        routes=[
            {"name": "rest", "select": "*.bias", "optimizer": "rprop"},
            {"name": "matrices", "select": "*", "optimizer": "adamw"},
        ]
    )
    run = RunLength(total_steps=10)
    with pytest.raises(ScheduleError, match="rprop reads lr at its first step only"):
        create(routed, CosineScheduleConfig(), model, run)
    some = SchedulesConfig(groups={"matrices": {"lr": CosineScheduleConfig()}})
    assert create(routed, some, model, run)


def test_a_rate_that_is_not_read_stays_at_its_default() -> None:
    with pytest.raises(ValidationError, match="po_adafactor reads lr only with relative_step: fal"):
        configs.POAdaFactorConfig(lr=0.01)
    with pytest.raises(ValidationError, match="so lr_scaling has no effect"):
        configs.POAdaFactorConfig(lr_scaling={"base_batch_size": 8})
    assert configs.POAdaFactorConfig(lr=0.01, relative_step=False).lr == 0.01


def test_sara_without_a_rate_has_none_to_multiply() -> None:
    groups = [{"name": "last", "select": "layers.2", "lr_mult": 0.1}]
    with pytest.raises(ValidationError, match="the lr of sara is none, not a number, so it has no"):
        configs.SaRAConfig(groups=groups)
    config = configs.SaRAConfig(lr=0.01, groups=groups)
    optimizer = config.create_optimizer(packaged.make_model(configs.SaRAConfig))
    assert {group["lr"] for group in optimizer.param_groups} == {0.01, 0.001}


def test_lorarite_without_pairs_of_factors_is_refused() -> None:
    with pytest.raises(OptimizerError, match="takes parameters of 2 dimensions only"):
        configs.LoRARiteConfig().create_optimizer(torch.nn.Linear(4, 1))
    with pytest.raises(OptimizerError, match=r"'weight' \(1, 4\) is not followed by the other"):
        configs.LoRARiteConfig().create_optimizer(torch.nn.Linear(4, 1, bias=False))
    pairs = torch.nn.Sequential(
        torch.nn.Linear(4, 2, bias=False), torch.nn.Linear(3, 4, bias=False)
    )
    with pytest.raises(OptimizerError, match=r"'0\.weight' \(2, 4\) is not followed by"):
        configs.LoRARiteConfig().create_optimizer(pairs)
