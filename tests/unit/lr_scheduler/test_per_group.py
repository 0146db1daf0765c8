"""Schedules of several hyperparameters and of named groups."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.optim import SGD, AdamW, Optimizer

from nshtrainer import Config, RunLength
from nshtrainer.configs import (
    AdamWConfig,
    ConstantScheduleConfig,
    CosineScheduleConfig,
    HyperparameterScheduleConfig,
    LinearScheduleConfig,
    LRSchedulerConfig,
    PiecewiseScheduleConfig,
    SchedulesConfig,
)
from nshtrainer.exceptions import ConfigError, ScheduleError

TEN = RunLength(total_steps=10)
COSINE, LINEAR = CosineScheduleConfig(), LinearScheduleConfig(min_factor=0.5)


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(2))


def adamw(**groups: dict[str, Any]) -> AdamW:
    named = [{"params": [parameter()], "name": name, **group} for name, group in groups.items()]
    return AdamW(named or [parameter()], lr=0.1, weight_decay=0.2)


def used(optimizer: Optimizer, config: Any, updates: int, *keys: str) -> list[Any]:
    scheduler: Any = config.create_scheduler(optimizer, TEN)["scheduler"]
    rows = []
    for _ in range(updates):
        rows.append([[group[key] for key in keys] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rows


def test_each_hyperparameter_follows_its_own_curve():
    config = SchedulesConfig(default={"lr": COSINE, "weight_decay": LINEAR})
    rows = used(adamw(), config, 13, "lr", "weight_decay")
    cosine, linear = COSINE.curve(TEN), LINEAR.curve(TEN)
    assert rows == [[[0.1 * cosine(t), 0.2 * linear(t)]] for t in range(13)]


def test_a_value_is_written_as_it_is():
    config = SchedulesConfig(default={"weight_decay": HyperparameterScheduleConfig(value=LINEAR)})
    rows = used(adamw(), config, 4, "weight_decay")
    assert rows == [[[LINEAR.curve(TEN)(t)]] for t in range(4)]


def test_weight_decay_may_follow_the_rate():
    motions = {
        "lr": HyperparameterScheduleConfig(factor=COSINE),
        "weight_decay": HyperparameterScheduleConfig(follows="lr"),
    }
    rows = used(adamw(), SchedulesConfig(default=motions), 12, "lr", "weight_decay")
    assert [row[0][1] for row in rows] == pytest.approx([2 * row[0][0] for row in rows])


def test_a_part_of_a_tuple_moves_and_the_rest_stays():
    optimizer = adamw()
    rows = used(optimizer, SchedulesConfig(default={"betas.0": LINEAR}), 3, "betas")
    assert rows == [[[(0.9 * LINEAR.curve(TEN)(t), 0.999)]] for t in range(3)]


def test_momentum_is_that_of_the_optimizer_whatever_its_name():
    config = SchedulesConfig(default={"momentum": LINEAR})
    sgd = SGD([parameter()], lr=0.1, momentum=0.8)
    assert used(sgd, config, 6, "momentum")[5] == [[0.8 * 0.75]]
    assert used(adamw(), config, 6, "betas")[5] == [[(0.9 * 0.75, 0.999)]]


def test_a_group_by_name_has_its_own_and_the_rest_the_default():
    config = SchedulesConfig(
        default={"lr": COSINE, "weight_decay": HyperparameterScheduleConfig(follows="lr")},
        groups={"backbone": {"lr": LINEAR}},
    )
    optimizer = adamw(backbone={"lr": 0.01}, head={})
    rows = used(optimizer, config, 11, "lr", "weight_decay")
    cosine, linear = COSINE.curve(TEN), LINEAR.curve(TEN)
    for t, (backbone, head) in enumerate(rows):
        assert backbone == [0.01 * linear(t), 0.2 * linear(t)]
        assert head == [0.1 * cosine(t), 0.2 * cosine(t)]


def test_a_name_is_also_that_of_the_parts_into_which_a_rule_was_split():
    config = SchedulesConfig(
        default={"lr": COSINE},
        groups={"head": {"lr": LINEAR}, "head/bias": {"lr": ConstantScheduleConfig()}},
    )
    optimizer = adamw(**{"head/weight": {}, "head/bias": {}, "header": {}})
    rows = used(optimizer, config, 6, "lr")
    assert rows[5] == [[0.1 * LINEAR.curve(TEN)(5)], [0.1], [0.1 * COSINE.curve(TEN)(5)]]


def test_without_a_default_other_groups_are_left_alone():
    config = SchedulesConfig(groups={"backbone": {"lr": LINEAR}})
    rows = used(adamw(backbone={}, head={}), config, 6, "lr")
    assert rows[5] == [[0.1 * 0.75], [0.1]]


def test_resuming_anywhere_equals_the_uninterrupted_run():
    config = SchedulesConfig(
        default={"lr": COSINE, "weight_decay": LINEAR, "betas.0": LINEAR},
        groups={"head": {"lr": LINEAR}},
    )
    keys = ("lr", "weight_decay", "betas")
    whole = used(adamw(body={}, head={"lr": 1.0}), config, 12, *keys)
    for at in range(11):
        first = adamw(body={}, head={"lr": 1.0})
        scheduler: Any = config.create_scheduler(first, TEN)["scheduler"]
        for _ in range(at):
            first.step()
            scheduler.step()
        state = pickle.loads(pickle.dumps((first.state_dict(), scheduler.state_dict())))
        second = adamw(body={"lr": 9.0, "weight_decay": 9.0}, head={})
        resumed: Any = config.create_scheduler(second, TEN)["scheduler"]
        second.load_state_dict(state[0])
        resumed.load_state_dict(state[1])
        for row in whole[at:]:
            assert [[group[key] for key in keys] for group in second.param_groups] == row
            second.step()
            resumed.step()


def test_a_group_that_joins_later_is_scheduled_by_its_name():
    config = SchedulesConfig(
        default={"lr": COSINE, "weight_decay": LINEAR}, groups={"body": {"lr": LINEAR}}
    )
    optimizer = adamw(body={}, head={})
    scheduler: Any = config.create_scheduler(optimizer, TEN)["scheduler"]
    optimizer.step()
    scheduler.step()
    optimizer.add_param_group({"params": [parameter()], "name": "late", "weight_decay": 1.0})
    optimizer.step()
    scheduler.step()
    late = optimizer.param_groups[2]
    assert late["lr"] == 0.1 * COSINE.curve(TEN)(2)
    assert late["weight_decay"] == LINEAR.curve(TEN)(2)


def test_an_untuned_warm_up_keeps_its_length_when_beta2_moves():
    rising = ConstantScheduleConfig(warmup_duration="untuned")
    config = SchedulesConfig(default={"lr": rising, "betas.1": LINEAR})
    optimizer = adamw(body={})
    scheduler: Any = config.create_scheduler(optimizer, TEN)["scheduler"]
    before = scheduler.state_dict()["curve"]
    scheduler.step(4)
    optimizer.add_param_group({"params": [parameter()], "name": "late"})
    scheduler.step()
    assert scheduler.state_dict()["curve"] == before
    assert optimizer.param_groups[0]["lr"] == 0.1 * rising.curve(TEN.replace(beta2=0.999))(5)


def test_the_state_and_what_is_in_it_are_plain_data():
    config = SchedulesConfig(
        default={"lr": LINEAR, "weight_decay": HyperparameterScheduleConfig(follows="lr")}
    )
    scheduler: Any = config.create_scheduler(adamw(), TEN)["scheduler"]
    curve = repr(LINEAR.curve(TEN))
    assert scheduler.state_dict() == {
        "last_epoch": 0,
        "base_values": {"lr": [0.1], "weight_decay": [0.2]},
        "curve": f"{curve}; weight_decay: {curve}",
        "config": config.to_dict(),
        "run": {"total_steps": 10},
    }


def test_it_is_read_from_a_file_and_written_to_one():
    class Run(Config):
        lr_scheduler: LRSchedulerConfig

    text = """
    lr_scheduler:
      name: schedules
      default:
        lr: {name: cosine, warmup_duration: 5%}
        weight_decay: {follows: lr}
        betas.0: {value: {name: piecewise, points: [{at: 0 steps, factor: 0.8}]}}
      groups:
        head:
          lr: constant
    """
    run = Run.from_yaml(text)
    assert Run.from_yaml(run.to_yaml()) == Run.from_json(run.to_json()) == run
    assert hash(run) == hash(Run.from_toml(run.to_toml()))
    assert run.lr_scheduler.groups["head"]["lr"] == ConstantScheduleConfig()  # type: ignore[attr-defined]
    changed = run.override("lr_scheduler.default.lr.warmup_duration=10%")
    assert changed.lr_scheduler.default["lr"].warmup_duration.value == 0.1  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"2:.*default\.lr.*unknown lr_scheduler 'cosin'"):
        Run.from_yaml("lr_scheduler:\n  {name: schedules, default: {lr: {name: cosin}}}")


def test_a_frozen_mapping_cannot_be_changed_and_pickles():
    config = SchedulesConfig(default={"lr": LINEAR})
    for change in (
        lambda: config.default.update(lr=COSINE),  # type: ignore[attr-defined]
        lambda: config.default.pop("lr"),  # type: ignore[attr-defined]
        lambda: config.default.__setitem__("lr", COSINE),  # type: ignore[attr-defined]
    ):
        with pytest.raises(TypeError, match="a config is frozen"):
            change()
    assert pickle.loads(pickle.dumps(config)) == config


REFUSED = {
    "nothing at all": ({}, "nothing is scheduled"),
    "two forms": ({"default": {"lr": {"value": "linear", "follows": "lr"}}}, "value, follows"),
    "no form": ({"default": {"lr": {}}}, "got none"),
    "a leader without a schedule": (
        {"default": {"weight_decay": {"follows": "lr"}}},
        "default.weight_decay follows 'lr', which has no schedule",
    ),
    "a leader that is a value": (
        {"groups": {"a": {"lr": {"value": "linear"}, "weight_decay": {"follows": "lr"}}}},
        "groups.a.weight_decay follows 'lr'",
    ),
    "a plateau": ({"default": {"lr": "reduce_lr_on_plateau"}}, "no function of the step"),
    "a number": ({"default": {"lr": 0.5}}, "write the lr_scheduler as a mapping"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_with_the_reason(case: str):
    given, reason = REFUSED[case]
    with pytest.raises(ValidationError) as caught:
        SchedulesConfig.model_validate(given)
    assert reason in str(caught.value)


def create(optimizer: Optimizer, **given: Any) -> Any:
    return SchedulesConfig.model_validate(given).create_scheduler(optimizer, TEN)


def test_a_hyperparameter_that_the_optimizer_lacks_is_an_error_that_lists_those_it_has():
    with pytest.raises(ScheduleError, match=r"no hyperparameter 'rho' .*\(it has: lr, betas\.0"):
        create(adamw(), default={"rho": "linear"})
    with pytest.raises(ScheduleError, match=r"no hyperparameter 'betas\.0'"):
        create(SGD([parameter()], lr=0.1).__class__([parameter()]), default={"betas.0": "linear"})


def test_a_group_that_the_optimizer_lacks_is_an_error_that_lists_those_it_has():
    with pytest.raises(ScheduleError, match=r"'neck', which .* \(its groups: body, head\)"):
        create(adamw(body={}, head={}), groups={"neck": {"lr": "linear"}})
    with pytest.raises(ScheduleError, match="none has a name"):
        create(adamw(), groups={"neck": {"lr": "linear"}})


def test_a_beta_that_leaves_its_range_is_an_error():
    with pytest.raises(ScheduleError, match=r"betas\.0 to 1\.8, which must be in \[0, 1\)"):
        create(adamw(), default={"betas.0": {"name": "constant", "factor": 2.0}})


def test_absolute_rates_are_another_factor_for_each_base():
    optimizer = adamw(fast={"lr": 0.1}, slow={"lr": 0.02})
    config = LinearScheduleConfig(min_lr=0.01)
    scheduler: Any = config.create_scheduler(optimizer, TEN)["scheduler"]
    scheduler.step(5)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([0.055, 0.015])
    scheduler.step(10)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.01])
    with pytest.raises(ScheduleError, match=r"min_lr: 0\.01 is above the rate .* 0\.001"):
        config.create_scheduler(adamw(tiny={"lr": 0.001}), TEN)


def test_with_another_rate_in_the_config_a_resumed_run_keeps_its_schedule_and_its_name():
    config = LinearScheduleConfig(min_lr=0.01)
    first = adamw(all={"lr": 0.1})
    scheduler: Any = config.create_scheduler(first, TEN)["scheduler"]
    scheduler.step(5)
    saved = scheduler.state_dict()
    second = adamw(all={"lr": 0.5})
    resumed: Any = config.create_scheduler(second, TEN)["scheduler"]
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(saved)  # a warning would be an error here
    assert resumed.state_dict() == saved
    assert second.param_groups[0]["lr"] == pytest.approx(0.055)


def test_a_scheduled_rate_in_a_tensor_is_filled_in_place():
    params = [{"params": [parameter()], "name": "a"}, {"params": [parameter()], "name": "b"}]
    optimizer = AdamWConfig(lr=0.1, tensor_lr=True).create_optimizer(params)
    rates = [group["lr"] for group in optimizer.param_groups]
    config = SchedulesConfig(default={"lr": LINEAR}, groups={"b": {"lr": COSINE}})
    used(optimizer, config, 5, "lr")
    assert [group["lr"] for group in optimizer.param_groups] == rates
    assert all(group["lr"] is rate for group, rate in zip(optimizer.param_groups, rates))  # noqa: B905
    assert [rate.item() for rate in rates] == pytest.approx([0.075, 0.05])


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_a_compiled_step_follows_without_being_compiled_anew():
    weight = parameter()
    optimizer = AdamWConfig(lr=0.1, tensor_lr=True).create_optimizer([weight])
    scheduler: Any = LINEAR.create_scheduler(optimizer, TEN)["scheduler"]
    compiled = torch.compile(optimizer.step, backend="eager")
    torch._dynamo.reset()
    weight.grad = torch.ones(2)
    for _ in range(2):  # the state is made in the first
        compiled()
        scheduler.step()
    before = weight.detach().clone()
    with torch.compiler.set_stance("fail_on_recompile"):
        for _ in range(8):
            compiled()
            scheduler.step()
    assert not torch.equal(before, weight)
    plain = parameter()
    other = AdamW([plain], lr=0.1)
    follower: Any = LINEAR.create_scheduler(other, TEN)["scheduler"]
    plain.grad = torch.ones(2)
    for _ in range(10):
        other.step()
        follower.step()
    torch.testing.assert_close(weight, plain)


def test_points_may_be_values():
    points = ({"at": "0 steps", "factor": 0.85}, {"at": "10 steps", "factor": 0.95})
    schedule = PiecewiseScheduleConfig.model_validate({"points": points})
    config = SchedulesConfig(default={"momentum": HyperparameterScheduleConfig(value=schedule)})
    sgd = SGD([parameter()], lr=0.1, momentum=0.5)
    rows = used(sgd, config, 11, "momentum")
    assert [rows[t][0][0] for t in (0, 5, 10)] == pytest.approx([0.85, 0.9, 0.95])
