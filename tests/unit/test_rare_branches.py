"""Branches that few classes take: laws of every class meet them, and here each has one case."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from tests.models import Sine
from tests.support import advance, sgd, train, values
from torch import Tensor, nn

from nshtrainer import RunLength, TrainerConfig, configs, create
from nshtrainer.configs import AdamWConfig, LinearScheduleConfig, SGDConfig, SkippingConfig
from nshtrainer.exceptions import OptimizerError, ScheduleError
from nshtrainer.lr_scheduler.curves import phases_of
from nshtrainer.lr_scheduler.driver.hyperparameters import default_of, find
from nshtrainer.optimizer import OptimizerConfigBase
from nshtrainer.optimizer.checkpoint.fresh_state import state_bytes
from nshtrainer.optimizer.checkpoint.hooks import OptimizerStateHooks, resume_by_name
from nshtrainer.optimizer.groups.parameters import inventory
from nshtrainer.optimizer.wrappers.config import unwrapped
from nshtrainer.optimizer_record import make_skippable
from nshtrainer.run_length import LazyRunLength

RUN = RunLength(total_steps=10)


class Sharded(nn.Linear):
    """A layer whose weight seems to be in parts."""

    def __init__(self) -> None:
        super().__init__(4, 4)
        for param in self.parameters():
            vars(param)["placements"] = [SimpleNamespace(is_shard=lambda: True)]


# -- what is declared ------------------------------------------------------------------------------


def test_what_an_optimizer_asks_is_told_in_words() -> None:
    assert AdamWConfig.asks() == []
    assert configs.AliGConfig.asks() == [
        "a closure",
        "whole parameters (no FSDP2)",
        "no `tensor_lr`",
    ]
    assert "one `lr` for all groups" in configs.ProdigyConfig.asks()


def test_a_rate_of_a_group_is_refused_where_one_holds_for_all() -> None:
    rule = {"name": "last", "select": "layers.2", "options": {"lr": 0.5}}
    with pytest.raises(ValidationError, match="so it has no effect"):
        configs.ProdigyConfig(groups=[rule])
    with pytest.raises(ValidationError, match="so it has no effect"):
        configs.ProdigyConfig(groups=[{**rule, "lr_mult": 2, "options": {}}])
    rates = zip(Sine(bias=True).parameters(), (0.5, 0.25), strict=False)
    with pytest.raises(OptimizerError, match="Leave lr out of the groups"):
        configs.ProdigyConfig().create_optimizer([{"params": [p], "lr": r} for p, r in rates])


def test_a_schedule_of_one_group_is_refused_where_one_rate_holds_for_all() -> None:
    config = configs.ProdigyConfig(groups=[{"name": "last", "select": "layers.2"}])
    one = configs.SchedulesConfig(groups={"last": {"lr": LinearScheduleConfig()}})
    with pytest.raises(ScheduleError, match="give all groups the same schedule of lr"):
        create(config, one, Sine(bias=True), RUN)


def test_a_schedule_that_begins_at_0_is_refused_where_no_rate_may_be_0() -> None:
    schedule = LinearScheduleConfig(warmup_duration="2 steps", warmup_start_factor=0.0)
    with pytest.raises(ScheduleError, match="the first lr must be above 0"):
        create(configs.FTRLConfig(), schedule, Sine(bias=True), RUN)


def test_a_class_that_may_hold_itself_has_a_schema_with_its_fields_at_the_top() -> None:
    schema = configs.SelectorConfig.json_schema()
    assert schema["properties"].keys() == configs.SelectorConfig.model_fields.keys()


def test_a_name_that_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ValidationError, match="has control characters"):
        AdamWConfig(groups=[{"name": "a\x1b", "select": "*"}])


def test_a_time_in_another_form_is_refused() -> None:
    assert TrainerConfig(max_time="00:12:30:00").max_time == "00:12:30:00"
    with pytest.raises(ValidationError, match="must be days:hours:minutes:seconds"):
        TrainerConfig(max_time="an hour")


def test_an_average_may_be_given_by_its_name() -> None:
    assert (
        TrainerConfig(weight_averaging="swa").weight_averaging == configs.SWAWeightAveragingConfig()
    )


# -- optimizers ------------------------------------------------------------------------------------


def test_an_optimizer_with_modes_begins_to_train() -> None:
    optimizer: Any = configs.ScheduleFreeSGDConfig().create_optimizer(Sine(bias=True))
    assert optimizer.param_groups[0]["train_mode"]


def test_a_closure_computes_gradients_where_the_package_does_not_see_to_it() -> None:
    model = Sine(bias=True)
    optimizer = configs.AliGConfig().create_optimizer(model)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model.loss()
        loss.backward()
        return loss

    with torch.no_grad():
        assert float(optimizer.step(closure)) > 0  # type: ignore[arg-type]


def test_where_parameters_are_sharded_an_optimizer_loops_or_is_refused() -> None:
    group = configs.ScheduleFreeAdamWConfig().create_optimizer(Sharded()).param_groups[0]
    assert group["foreach"] is False
    with pytest.raises(OptimizerError, match="does not work where FSDP2 shards parameters"):
        configs.LBFGSConfig().create_optimizer(Sharded())


def test_what_needs_shapes_is_refused_before_they_are_known() -> None:
    with pytest.raises(OptimizerError, match="needs the shapes of all parameters"):
        configs.AdagradConfig().create_optimizer(nn.LazyLinear(3))


def test_what_tells_parameters_apart_by_shape_is_refused_before_it_is_known() -> None:
    with pytest.raises(OptimizerError, match="parameters are told apart by shape"):
        configs.MuonConfig().create_optimizer(nn.LazyLinear(3, bias=False))


def test_the_size_of_a_state_is_not_known_before_the_shapes_and_counts_few_bits() -> None:
    lazy = AdamWConfig().create_optimizer(nn.LazyLinear(3))
    assert state_bytes(lazy, lazy.param_groups[0]) is None
    small = configs.AOAdamW8bitConfig().create_optimizer(nn.Linear(64, 64, bias=False))
    assert 2 * 4096 <= (state_bytes(small, small.param_groups[0]) or 0) < 3 * 4096


def test_lbfgs_cannot_skip_a_step() -> None:
    with pytest.raises(OptimizerError, match="LBFGS computes several gradients within one"):
        SkippingConfig(optimizer="lbfgs").create_optimizer(Sine(bias=True))


def test_an_optimizer_is_made_skippable_once() -> None:
    optimizer = sgd(1.0)
    undo = make_skippable(optimizer)
    make_skippable(optimizer)()
    assert "step" in vars(optimizer)
    undo()
    assert "step" not in vars(optimizer)


def test_the_first_model_that_is_named_gives_its_names() -> None:
    model = Sine(bias=True)
    optimizer = torch.optim.SGD(model.parameters())
    resume_by_name(optimizer, nn.Linear(1, 1))
    resume_by_name(optimizer, model)
    assert optimizer.state_dict()["param_groups"][0]["param_names"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("initial_lr", "text", "initial_lr is text, not a number"),
        ("params", [[]], "params has a list in it"),
    ],
)
def test_a_group_of_another_form_is_refused(key: str, value: Any, message: str) -> None:
    optimizer = SGDConfig().create_optimizer(Sine(bias=True))
    state = optimizer.state_dict()
    with pytest.raises(OptimizerError, match=message):
        optimizer.load_state_dict(
            {**state, "param_groups": [{**state["param_groups"][0], key: value}]}
        )


def test_a_state_of_lbfgs_without_values_is_refused() -> None:
    model = Sine(bias=True)
    optimizer = configs.LBFGSConfig().create_optimizer(model)
    train(model, optimizer, 1)
    state = optimizer.state_dict()
    row = state["state"][0]
    with pytest.raises(OptimizerError, match="has no values"):
        optimizer.load_state_dict({**state, "state": {0: {**row, "d": row["d"].to("meta")}}})


def test_a_tensor_that_a_new_optimizer_lacks_has_the_shape_of_the_parameter() -> None:
    model = nn.Linear(3, 4, bias=False)
    optimizer = AdamWConfig().create_optimizer(model)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    for extra in (torch.ones(3), torch.ones(9, 9)):
        held = {**state["state"][0], "extra": extra}
        with pytest.raises(OptimizerError, match="its saved extra is"):
            optimizer.load_state_dict({**state, "state": {0: held}})
    held = {**state["state"][0], "extra": torch.ones(4, 3)}
    optimizer.load_state_dict({**state, "state": {0: held}})


def test_the_wrappers_of_an_optimizer_are_found_and_have_labels() -> None:
    wrappers, within = unwrapped(configs.LookaheadConfig(optimizer="sgd"))
    assert [wrapper.label() for wrapper in wrappers] == ["lookahead (k 5, alpha 0.5)"]
    assert within == SGDConfig()


# -- schedules -------------------------------------------------------------------------------------


def test_curves_without_an_end_have_phases() -> None:
    noam = configs.NoamScheduleConfig(warmup_duration="4 steps").curve(RUN)
    assert [phase.label for phase in phases_of(noam)] == ["warm-up", "inverse sqrt"]
    config = configs.ChebyshevScheduleConfig.from_yaml(f"{configs.ChebyshevScheduleConfig.example}")
    assert [phase.label for phase in phases_of(config.curve(RUN))] == ["chebyshev"]
    uneven = RunLength(total_steps=10, steps_per_epoch=(1, 3, 2))
    assert config.replace(step_duration="1 epochs").curve(uneven)(0) == config.curve(RUN)(0)


def test_the_peaks_of_triangles_fall() -> None:
    cycle: Any = {"rise_duration": "2 steps", "min_factor": 0.0}
    halved = configs.CyclicScheduleConfig(**cycle, mode="triangular2").curve(RUN)
    faded = configs.CyclicScheduleConfig(**cycle, mode="exp_range", gamma=0.5).curve(RUN)
    assert halved(6) / halved(2) == pytest.approx(0.5)
    assert faded(6) / faded(2) == pytest.approx(0.5**4)
    assert [phase.label for phase in phases_of(halved)] == ["triangles"]


def test_the_polynomial_of_torch_falls_to_0() -> None:
    assert values(configs.PolynomialLRConfig(total_iters=2), range(4), RUN) == [1.0, 0.5, 0.0, 0.0]


class ByHand(RunLength):
    """A run under manual optimization."""

    automatic_optimization = False


def test_what_lightning_ignores_by_hand_is_left_out() -> None:
    entry = LinearScheduleConfig().create_scheduler(sgd(1.0), ByHand(total_steps=10))
    assert entry.keys() == {"scheduler", "interval", "frequency"}


class Timed(LazyRunLength):
    """A run that is limited by time alone."""

    def by_time(self) -> Any:
        return RunLength(total_time=10.0)


def test_a_run_without_steps_is_followed_by_its_time() -> None:
    optimizer = sgd(1.0)
    scheduler = LinearScheduleConfig().create_scheduler(optimizer, Timed(_trainer=None))
    assert advance(optimizer, scheduler["scheduler"], 1) == [[1.0]]


# -- states of users' optimizers -------------------------------------------------------------------


def state_with(**entries: Any) -> Any:
    """Return a state of SGD with momentum whose one parameter has these entries, too."""
    layer = nn.Linear(3, 2, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), momentum=0.9)
    layer.weight.grad = torch.ones_like(layer.weight)
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0] |= entries
    return state


def test_text_in_a_state_is_refused() -> None:
    optimizer = torch.optim.SGD(nn.Linear(3, 2, bias=False).parameters(), momentum=0.9)
    resume_by_name(optimizer, None)
    with pytest.raises(OptimizerError, match="its saved mask is text"):
        optimizer.load_state_dict(state_with(mask="x"))


def test_a_declared_key_has_the_shape_of_the_parameter() -> None:
    optimizer = torch.optim.SGD(nn.Linear(3, 2, bias=False).parameters(), momentum=0.9)
    OptimizerStateHooks([], unchecked={"": ("mask",)}).attach(optimizer)
    optimizer.load_state_dict(state_with(mask=torch.ones(2, 3, dtype=torch.bool)))
    with pytest.raises(OptimizerError, match=r"its saved mask is bool tensor \(1, 3\)"):
        optimizer.load_state_dict(state_with(mask=torch.ones(1, 3, dtype=torch.bool)))


class Forgetful(OptimizerConfigBase):
    name: Literal["forgetful"] = "forgetful"

    def create_optimizer(self, params: Any) -> Any:
        torch.optim.SGD(params)


def test_a_method_that_returns_no_optimizer_is_refused() -> None:
    with pytest.raises(
        OptimizerError, match=r"Forgetful\.create_optimizer returned None; add a `return`"
    ):
        create(Forgetful(), None, nn.Linear(2, 1))


def test_a_parametrized_weight_is_that_of_its_layer() -> None:
    layer = torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    names = [parameter.names[0] for parameter in inventory(nn.Sequential(layer))]
    assert names[0] == "0.bias"
    assert all(name.startswith("0.parametrizations.weight.") for name in names[1:])


def test_a_group_of_no_optimizer_has_no_default() -> None:
    optimizer = sgd(1.0)
    group = optimizer.param_groups[0]
    assert default_of(optimizer, group, find(group, "lr")) == 1.0
    assert default_of(optimizer, dict(group), find(group, "lr")) is None


class Scaled(nn.Module):
    """A parametrization with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, weight: Tensor) -> Tensor:
        return self.scale * weight


def test_a_parameter_of_a_parametrization_is_its_own() -> None:
    layer = nn.Linear(3, 2, bias=False)
    torch.nn.utils.parametrize.register_parametrization(layer, "weight", Scaled())
    whole, scale = (parameter.places[0] for parameter in inventory(layer))
    assert (whole.module, whole.leaf) == (layer, "weight")
    assert (type(scale.module), scale.leaf) == (Scaled, "scale")
