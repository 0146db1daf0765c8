"""What a run says about how it is optimised."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from nshtrainer import RunLength
from nshtrainer.analysis.sentences import group_sentence, sentences
from nshtrainer.analysis.summary import (
    OptimizationSummary,
    Sources,
    bytes_text,
    print_explained,
    summarize,
)
from nshtrainer.configs import (
    AdamWConfig,
    ClippedConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LookaheadConfig,
    MetricConfig,
    MuonWithAdamWConfig,
    ReduceLROnPlateauConfig,
    RouteConfig,
    RoutedOptimizerConfig,
    SchedulesConfig,
)
from nshtrainer.optimizer.groups.parameters import inventory
from nshtrainer.runs.reports import metrics_text


def look(optimizer: torch.optim.Optimizer, module: nn.Module) -> OptimizationSummary:
    return summarize(Sources(inventory(module), [optimizer]))


def made(config: Any, optimizer: torch.optim.Optimizer, steps: int | None = None) -> Any:
    """A scheduler as Lightning keeps it."""
    run = RunLength(total_steps=steps)
    return SimpleNamespace(**config.create_scheduler(optimizer, run))


def test_each_group_is_a_row_with_what_is_its_own() -> None:
    module = nn.Linear(3, 2)
    groups = [
        {"params": [module.weight], "name": "matrices", "weight_decay": 0.1},
        {"params": [module.bias], "lr": 0.5, "fused": False},
    ]
    first, second = look(AdamWConfig(lr=0.1).create_optimizer(groups), module).groups
    assert (first.name, first.optimizer, first.implementation) == ("matrices", "AdamW", "fused")
    assert (first.tensors, first.parameters, first.share) == (1, 6, 0.75)
    assert (first.lr, first.weight_decay, first.state_bytes) == (0.1, 0.1, 2 * 6 * 4 + 4)
    assert (first.names, first.schedule) == (["weight"], None)
    assert first.options["betas"] == [0.9, 0.999]
    assert (second.name, second.implementation, second.lr) == ("1", "plain", 0.5)


def test_the_share_of_a_group_is_of_what_is_frozen_too() -> None:
    module = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    module[1].requires_grad_(requires_grad=False)
    assert look(AdamWConfig().create_optimizer(module), module).groups[0].share == 0.5


def test_what_is_in_no_group_is_told_apart_from_what_is_frozen() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1), nn.Linear(1, 1))
    module[2].requires_grad_(requires_grad=False)
    found = look(torch.optim.SGD(module[0].parameters(), lr=1.0), module)
    assert (found.uncovered.tensors, found.uncovered.parameters) == (2, 3)
    assert found.uncovered.names == ["1.weight", "1.bias"]
    assert (found.frozen.tensors, found.frozen.parameters) == (2, 2)


def test_a_tied_weight_counts_once_under_all_its_names() -> None:
    module = nn.ModuleDict({"table": nn.Embedding(5, 2), "head": nn.Linear(2, 5, bias=False)})
    module["head"].weight = module["table"].weight
    found = look(AdamWConfig().create_optimizer(module), module)
    assert (found.tied.tensors, found.tied.parameters) == (1, 10)
    assert found.tied.names == ["table.weight = head.weight"]
    assert found.groups[0].tensors == 1


@pytest.mark.parametrize(
    ("flags", "on_cpu", "text"),
    [
        ({"foreach": True}, None, "foreach"),
        ({"fused": True}, None, "fused"),
        ({}, None, "plain"),
        ({}, False, "foreach"),
        ({"foreach": False}, False, "plain"),
    ],
)
def test_the_implementation_is_what_the_group_says(
    flags: dict[str, bool], on_cpu: bool | None, text: str
) -> None:
    module = nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(module.parameters(), **flags)
    sources = Sources(inventory(module), [optimizer])
    assert summarize(sources, on_cpu=on_cpu).groups[0].implementation == text


def test_an_optimizer_without_such_flags_computes_its_own_way_and_its_state_is_unknown() -> None:
    module = nn.Linear(1, 1)
    (row,) = look(torch.optim.LBFGS(module.parameters()), module).groups
    assert (row.optimizer, row.implementation, row.state_bytes) == ("LBFGS", "its own", None)


def test_a_group_of_several_optimizers_behind_one_is_that_of_its_part() -> None:
    module = nn.Linear(3, 2)
    whole = MuonWithAdamWConfig().create_optimizer(module)
    rows = look(whole, module).groups
    assert [(row.name, row.names, row.state_bytes) for row in rows] == [
        ("muon", ["weight"], 24),
        ("adamw", ["bias"], 20),
    ]
    assert [row.optimizer for row in rows] == [type(whole.routes[n]).__name__ for n in whole.routes]


def test_what_is_put_around_an_optimizer_or_a_route_of_it_is_told() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    around = LookaheadConfig(optimizer=ClippedConfig(optimizer="sgd", max_value=1.0))
    (row,) = look(around.create_optimizer(module), module).groups
    assert row.update == "lookahead(clipped(SGD))"
    assert row.around[0] == "lookahead (k 5, alpha 0.5)"
    assert row.state_bytes == 4 * 13  # the slow weights; SGD keeps nothing

    route = RouteConfig(name="first", select="0", optimizer=around.optimizer)
    routed = RoutedOptimizerConfig(routes=[route], default="adamw")
    rows = look(LookaheadConfig(optimizer=routed).create_optimizer(module), module).groups
    assert [row.update for row in rows] == ["lookahead(clipped(SGD))", "lookahead(AdamW)"]


def test_sizes_of_lazy_parameters_are_missing_until_a_batch_was_seen() -> None:
    model = nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    found = look(optimizer, model)
    assert (found.groups[0].tensors, found.groups[0].parameters) == (4, 3)
    assert found.groups[0].state_bytes is None
    assert found.missing == [
        "sizes of lazy parameters: unknown until a batch has passed through the model"
    ]
    model(torch.ones(1, 3))
    again = look(optimizer, model)
    assert (again.groups[0].parameters, again.groups[0].state_bytes) == (11, 44)
    assert again.missing == []


def test_looking_changes_nothing() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    optimizer = AdamWConfig(lr=0.1).create_optimizer(module)
    weight, random = module[0].weight.clone(), torch.random.get_rng_state()
    look(optimizer, module)
    assert torch.equal(module[0].weight, weight)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert not optimizer.state
    assert module[0].weight.grad is None


def test_options_in_tensors_are_numbers_in_the_data() -> None:
    module = nn.Linear(1, 1)
    found = look(AdamWConfig(lr=0.5, tensor_lr=True).create_optimizer(module), module)
    data = json.loads(json.dumps(found.to_dict()))
    assert data["groups"][0]["lr"] == 0.5
    assert data["groups"][0]["state_bytes"] == 2 * (4 + 4 + 4)


def test_all_that_is_counted_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    print_explained(look(torch.optim.SGD(module[0].parameters(), lr=0.5), module))
    out = capsys.readouterr().out
    (row,) = [line.split() for line in out.splitlines() if "SGD" in line]
    assert row == [
        *("0", "SGD", "plain", "2", "8", "72.7%", "0.5", "0", "0", "B"),
        "0.weight,",
        "0.bias",
    ]
    assert "frozen     0\n" in out
    assert "unassigned 2 tensors, 3 parameters: 1.weight, 1.bias\n" in out


def test_bytes_have_three_digits() -> None:
    assert [bytes_text(size) for size in (999, 1000, 2**20, 10**15)] == [
        "999 B",
        "0.977 KiB",
        "1 MiB",
        "909 TiB",
    ]


# -- schedules -------------------------------------------------------------------------------------


def test_a_curve_is_described_by_its_numbers() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    config = LinearWarmupCosineDecayLRSchedulerConfig(warmup_duration="10%", max_duration="100%")
    scheduler = made(config, optimizer, 50)
    text = "warm-up 0 to 5, cosine 5 to 50, last update 0.00122, by the step"
    assert list(sentences(scheduler)) == [text]
    assert group_sentence(scheduler, optimizer.param_groups[0]) == text


def test_with_several_rates_the_last_value_is_a_share_of_each() -> None:
    groups = [{"params": [torch.zeros(1)], "lr": rate, "name": str(rate)} for rate in (0.1, 1.0)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.5)
    config = SchedulesConfig(default={"lr": "constant", "weight_decay": "linear"})  # type: ignore[dict-item]
    scheduler = made(config, optimizer, 50)
    (text,) = sentences(scheduler)
    assert text == (
        "lr: constant 0 to 50, last update 1 of the base rate; "
        "weight_decay: linear 0 to 50, last update 0.01, by the step"
    )
    assert group_sentence(scheduler, optimizer.param_groups[0]) == (
        "lr: constant 0 to 50, last update 0.1; "
        "weight_decay: linear 0 to 50, last update 0.01, by the step"
    )


def test_groups_that_move_differently_are_told_apart() -> None:
    groups = [{"params": [torch.zeros(1)], "name": name} for name in ("body", "head", "rest")]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    config = SchedulesConfig(groups={"body": {"lr": "constant"}, "head": {"lr": "linear"}})  # type: ignore[dict-item]
    scheduler = made(config, optimizer, 50)
    assert list(sentences(scheduler)) == [
        "body: constant 0 to 50, last update 1, by the step",
        "head: linear 0 to 50, last update 0.02, by the step",
        "rest: not scheduled",
    ]
    assert group_sentence(scheduler, optimizer.param_groups[2]) is None


def test_a_plateau_is_described_by_its_metric() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    config = ReduceLROnPlateauConfig(metric=MetricConfig(monitor="val/loss", mode="min"))
    scheduler = made(config, optimizer)
    text = "ReduceLROnPlateau, by the epoch, monitors val/loss"
    assert list(sentences(scheduler)) == [text]
    assert group_sentence(scheduler, optimizer.param_groups[0]) == text


def test_metrics_are_rounded_to_four_digits() -> None:
    assert metrics_text({"a": torch.tensor(0.123456), "b": 12}) == "a 0.1235  b 12"
