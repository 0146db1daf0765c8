"""What a run says about how it is optimised."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from nshtrainer import RunLength
from nshtrainer.cli.reports import metrics_text, plan_rows, schedule_text
from nshtrainer.configs import (
    AdamWConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    MetricConfig,
    ReduceLROnPlateauConfig,
    SchedulesConfig,
)


def rows(optimizer: torch.optim.Optimizer, module: nn.Module) -> list[tuple[str, ...]]:
    return list(plan_rows(SimpleNamespace(optimizers=[optimizer]), module))


def test_each_group_is_a_row_with_what_is_its_own() -> None:
    module = nn.Linear(3, 2)
    groups = [
        {"params": [module.weight], "name": "matrices", "weight_decay": 0.1},
        {"params": [module.bias], "lr": 0.5, "fused": False},
    ]
    assert rows(AdamWConfig(lr=0.1).create_optimizer(groups), module) == [
        ("matrices", "AdamW", "fused", "1", "6", "0.1", "0.1"),
        ("1", "AdamW", "plain", "1", "2", "0.5", "0.01"),
    ]


def test_what_is_in_no_group_is_said_unless_it_is_frozen() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1), nn.Linear(1, 1))
    module[2].requires_grad_(requires_grad=False)
    optimizer = torch.optim.SGD(module[0].parameters(), lr=1.0)
    assert rows(optimizer, module)[-1] == ("(in none)", "-", "-", "2", "3", "-", "-")


@pytest.mark.parametrize(
    ("flags", "text"),
    [({"foreach": True}, "foreach"), ({"fused": True}, "fused"), ({}, "plain")],
)
def test_the_implementation_is_what_the_group_says(flags: dict[str, bool], text: str) -> None:
    module = nn.Linear(1, 1)
    assert rows(torch.optim.AdamW(module.parameters(), **flags), module)[0][2] == text


def test_an_optimizer_without_such_flags_computes_its_own_way() -> None:
    module = nn.Linear(1, 1)
    optimizer = torch.optim.LBFGS(module.parameters())
    assert rows(optimizer, module)[0][1:3] == ("LBFGS", "its own")


def test_a_curve_is_described_by_its_numbers() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    config = LinearWarmupCosineDecayLRSchedulerConfig(warmup_duration="10%", max_duration="100%")
    made = SimpleNamespace(**config.create_scheduler(optimizer, RunLength(total_steps=50)))
    assert schedule_text(made) == (
        "warm-up 0 to 5, cosine 5 to 50, last update 0.00122, by the step"
    )


def test_with_several_rates_the_last_value_is_a_share_of_each() -> None:
    groups = [{"params": [torch.zeros(1)], "lr": rate, "name": str(rate)} for rate in (0.1, 1.0)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.5)
    config = SchedulesConfig(default={"lr": "constant", "weight_decay": "linear"})  # type: ignore[dict-item]
    made = SimpleNamespace(**config.create_scheduler(optimizer, RunLength(total_steps=50)))
    assert schedule_text(made) == (
        "lr: constant 0 to 50, last update 1 of the base rate; "
        "weight_decay: linear 0 to 50, last update 0.01, by the step"
    )


def test_a_plateau_is_described_by_its_metric() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    config = ReduceLROnPlateauConfig(metric=MetricConfig(monitor="val/loss", mode="min"))
    made = SimpleNamespace(**config.create_scheduler(optimizer, RunLength()))
    assert schedule_text(made) == "ReduceLROnPlateau, by the epoch, looks at val/loss"


def test_metrics_are_rounded_to_four_digits() -> None:
    assert metrics_text({"a": torch.tensor(0.123456), "b": 12}) == "a 0.1235  b 12"
