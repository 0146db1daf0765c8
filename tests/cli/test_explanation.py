"""`nshtrainer.explain`, for any model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.distributed import destroy_process_group, init_process_group

import nshtrainer
from nshtrainer import RunLength, explain
from nshtrainer.analysis.explanation import Explanation
from nshtrainer.configs import AdamWConfig, CosineScheduleConfig
from nshtrainer.exceptions import ArgumentError, ConfigError, OptimizerError, ScheduleError

CONFIG = AdamWConfig(lr=0.1, no_decay="bias_and_norm")
RUN = RunLength(total_steps=100)


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2, bias=False))


def rows(found: Explanation) -> list[tuple[str, list[str]]]:
    return [(group.name, group.names) for group in found.groups]


EXPECTED = [("default", ["0.weight", "2.weight"]), ("no_decay", ["0.bias", "1.weight", "1.bias"])]


class Lit(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        for name, layer in make_model().named_children():
            self.add_module(name, layer)


MODELS: dict[str, Callable[[], Any]] = {
    "plain": make_model,
    "meta": lambda: make_model().to("meta"),
    "bfloat16": lambda: make_model().to(torch.bfloat16),
    "compiled": lambda: torch.compile(make_model(), backend="eager"),
    "wrapped": lambda: nn.DataParallel(make_model()),
    "lightning": Lit,
}


@pytest.mark.parametrize("name", MODELS)
def test_any_module_has_the_same_groups_under_the_same_names(name: str) -> None:
    model = MODELS[name]()
    assert rows(explain(model, CONFIG)) == EXPECTED
    assert explain(model, CONFIG).parameter("1.weight").group is not None


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    destroy_process_group()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_sharded_module_is_explained_like_a_whole_one(alone: None, device: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model: Any = fully_shard(make_model().to(device), mesh=init_device_mesh("cpu", (1,)))
    found = explain(model, CONFIG)
    assert rows(found) == EXPECTED
    assert sum(group.parameters for group in found.groups) == 36
    assert found.groups[0].state_bytes == explain(make_model(), CONFIG).groups[0].state_bytes
    with pytest.raises(OptimizerError, match="does not work where FSDP2 shards parameters"):
        explain(model, "adafactor")


def test_adapters_on_a_frozen_model_are_all_that_is_trained() -> None:
    model = make_model().requires_grad_(requires_grad=False)
    model.add_module("lora_A", nn.Linear(4, 1, bias=False))
    found = explain(model, CONFIG)
    assert rows(found) == [("default", ["lora_A.weight"])]
    assert (found.frozen.tensors, found.frozen.parameters) == (5, 36)


def test_a_rule_that_freezes_does_not_freeze_the_model() -> None:
    model = make_model()
    config = {"name": "sgd", "groups": [{"name": "stem", "select": "0", "freeze": True}]}
    found = explain(model, config)
    assert found.frozen.names == ["0.weight", "0.bias"]
    assert all(param.requires_grad for param in model.parameters())
    assert not found.parameter("0.weight").trained


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", {"name": "adamw"}, AdamWConfig()])
def test_names_and_dicts_are_configs(optimizer: Any) -> None:
    found = explain(make_model(), optimizer, "cosine", RUN)
    assert found == explain(make_model(), AdamWConfig(), CosineScheduleConfig(), RUN)
    assert found.schedules[0].startswith("cosine 0 to 100")
    assert found.total_steps == 100


def test_a_missing_length_is_a_remark() -> None:
    found = explain(make_model(), "adamw", "cosine")
    assert (found.schedules, found.total_steps) == ([], None)
    (text,) = found.missing
    assert text.endswith("; pass run=RunLength(total_steps=...)")
    scaling = {"base_batch_size": 8, "rule": "linear"}
    found = explain(
        make_model(), {"name": "lookahead", "optimizer": {"name": "sgd", "lr_scaling": scaling}}
    )
    assert found.missing[0].endswith("; pass run=RunLength(samples_per_step=...)")


def test_a_trainer_tells_the_length_and_is_not_changed() -> None:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = Trainer(max_steps=7, accelerator="cpu", enable_progress_bar=False, **quiet)
    before = list(trainer.callbacks)  # type: ignore[attr-defined]
    found = explain(make_model(), "adamw", "cosine", trainer)
    assert (found.total_steps, found.missing) == (7, [])
    assert trainer.callbacks == before  # type: ignore[attr-defined]


def test_a_run_that_is_limited_by_time_has_no_number_of_steps() -> None:
    found = explain(make_model(), "adamw", "cosine", RunLength(total_time=3600))
    assert (found.total_steps, len(found.schedules)) == (None, 1)


def test_what_is_no_model_or_no_config_is_refused() -> None:
    with pytest.raises(OptimizerError, match="explain takes the model first, then the "):
        explain(CONFIG, make_model())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown optimizer 'adamv'; did you mean 'adam'"):
        explain(make_model(), "adamv")
    with pytest.raises(ConfigError, match=r"^optimizer: lr: must be >= 0 \(got -1\)"):
        explain(make_model(), {"name": "sgd", "lr": -1})
    with pytest.raises(ArgumentError, match=r"^explain: 'cosine' is a schedule; write explain\("):
        explain(make_model(), "cosine", "sgd")
    with pytest.raises(
        ArgumentError, match=r"^explain: the lr_scheduler config is an object of int"
    ):
        explain(make_model(), "sgd", 3)  # type: ignore[arg-type]
    with pytest.raises(ScheduleError, match=r"the run length of builtins\.int is unknown"):
        explain(make_model(), "sgd", "cosine", 100)
    with pytest.raises(OptimizerError, match="there are no parameters to optimize"):
        explain(make_model().requires_grad_(requires_grad=False), "sgd")


# -- an optimizer that was built -------------------------------------------------------------------


def test_an_optimizer_made_by_hand_is_explained_with_names_of_the_model() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters()}, {"params": model[2].weight}], 0.1
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    state = optimizer.state_dict()
    found = explain(model, optimizer, scheduler)
    assert rows(found) == [("0", ["0.weight", "0.bias"]), ("1", ["2.weight"])]
    assert found.uncovered.names == ["1.weight", "1.bias"]
    assert found.schedules == ["StepLR, by the call of step()"]
    assert found.parameter("1.bias").group is None
    assert found.parameter("0.bias").rules == []
    assert optimizer.state_dict() == state


def test_an_optimizer_that_a_config_built_has_its_rules() -> None:
    model = make_model()
    built = nshtrainer.create(CONFIG, CosineScheduleConfig(), model, RUN)
    found = explain(model, *built)
    assert found.groups == explain(model, CONFIG, "cosine", RUN).groups
    assert (found.total_steps, found.parameter("1.bias").rules[0].takes) == (100, True)


def test_parameters_of_another_model_are_a_remark() -> None:
    found = explain(make_model(), torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1))
    assert found.missing == ["names of 2 tensors in the optimizer that the model lacks"]


def test_a_config_of_a_schedule_does_not_go_with_an_optimizer_that_was_built() -> None:
    model = make_model()
    with pytest.raises(OptimizerError, match="pass its scheduler, or the config of the optimizer"):
        explain(model, torch.optim.SGD(model.parameters(), 0.1), "cosine")


# -- results ---------------------------------------------------------------------------------------


def test_a_parameter_tells_its_rule_and_why_others_do_not_match() -> None:
    found = explain(make_model(), CONFIG)
    assert str(found.parameter("1.weight")).splitlines() == [
        "1.weight",
        "  4, in LayerNorm, role norm, trained",
        "  in group 'no_decay' of AdamW, lr 0.1, weight decay 0",
        "  applied  optimizer: no_decay: bias_and_norm",
        "            its role is norm",
    ]
    assert not found.parameter("0.weight").rules[0].takes
    with pytest.raises(ConfigError, match=r"unknown parameter '0.wieght'; did you mean '0.weight'"):
        found.parameter("0.wieght")


def test_names_with_the_parts_of_wrappers_are_known_too() -> None:
    found = explain(MODELS["compiled"](), CONFIG)
    assert found.parameter("_orig_mod.0.weight") == found.parameter("0.weight")


def test_a_parameter_that_the_model_exempts_says_so() -> None:
    class Exempt(nn.Linear):
        def no_weight_decay(self) -> set[str]:
            return {"weight"}

    (rule,) = explain(Exempt(2, 2), CONFIG).parameter("weight").rules
    assert (rule.takes, rule.why) == (True, "the model exempts it")


def test_two_explanations_differ_by_parameter() -> None:
    model = make_model()
    one, two = explain(model, CONFIG), explain(model, CONFIG.replace(no_decay="none"))
    (line,) = map(str, one.diff(two))
    assert line == "0.bias, 1.weight, 1.bias: weight_decay: 0.0 -> 0.01"
    assert str(one.diff(two)) == repr(one.diff(two)) == line
    same = one.diff(explain(make_model().to("meta"), CONFIG))
    assert same == []
    assert str(same) == "no difference in optimizers and schedules"


def test_it_is_data_and_escaped_html() -> None:
    model = nn.ModuleDict({"<b>": nn.Linear(2, 2)})
    found = explain(model, "adamw")
    assert json.loads(found.to_json()) == found.to_dict()
    assert "sources" not in found.to_dict()
    assert "&lt;b&gt;.weight" in found._repr_html_()
    assert "<b>" not in found._repr_html_()


def test_control_characters_in_names_are_escaped() -> None:
    model = nn.Module()
    model._parameters["a\x1b[2J\n"] = nn.Parameter(torch.ones(2))
    found = explain(model, {"name": "sgd", "groups": [{"name": "g", "select": "*"}]})
    for text in (str(found), str(found.parameter("a\x1b[2J\n")), found._repr_html_()):
        assert r"a\x1b[2J\n" in text


# -- widths ----------------------------------------------------------------------------------------


def test_a_wide_terminal_has_a_table_and_a_narrow_one_blocks(monkeypatch: Any) -> None:
    found = explain(make_model(), CONFIG)
    monkeypatch.setenv("COLUMNS", "80")
    in_a_file = str(found)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    assert str(found) == in_a_file
    wide = in_a_file.splitlines()
    assert wide[1].split()[:3] == ["group", "optimizer", "implementation"]
    assert max(map(len, wide)) <= 160
    monkeypatch.setenv("COLUMNS", "80")
    narrow = str(found)
    assert narrow.startswith("group default\n  optimizer       AdamW\n  implementation  fused\n")
    assert max(map(len, narrow.splitlines())) <= 80
    numbers = {word for line in wide for word in line.split() if word[0].isdigit()}
    assert numbers <= set(narrow.split())
    assert "\x1b" not in narrow


def test_a_config_is_no_explanation_to_compare_with() -> None:
    other: Any = CONFIG
    with pytest.raises(ArgumentError, match=r"^diff: AdamWConfig is no explanation; give explain"):
        explain(make_model(), CONFIG).diff(other)


# -- size ------------------------------------------------------------------------------------------


def test_seventy_billion_parameters_take_no_memory(
    monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    benchmark = import_module("explain")
    for name in ("adamw", "muon"):
        benchmark.measure(name)
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["met", "met"]
    del sys.modules["explain"]
