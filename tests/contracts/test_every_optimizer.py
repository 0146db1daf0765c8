"""Laws that hold for every optimizer of torch."""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.models import Sine
from tests.support import (
    CONFIG_CHANGED,
    built_class,
    saved_and_loaded,
    torchs_optimizers,
    train,
    weights,
)
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase, target_class

EVERY = torchs_optimizers()
every_optimizer = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)

Config = type[TorchOptimizerConfigBase]


class Table(nn.Module):
    """For optimizers of sparse gradients: learns a table of four rows."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 3, sparse=True)

    def loss(self) -> Tensor:
        rows = torch.arange(4)
        return mse_loss(self.table(rows), rows[:, None].expand(4, 3) / 4)


def make_model(cls: Config, seed: int = 0) -> Any:
    torch.default_generator.manual_seed(seed)
    return Table() if cls.needs_sparse_gradients else Sine(cls.needs_dimensions is None)


def test_every_optimizer_of_torch_has_a_config():
    torchs = {
        cls
        for cls in vars(torch.optim).values()
        if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)
    } - {torch.optim.Optimizer}
    assert torchs <= {target_class(cls.target) for cls in EVERY}


@every_optimizer
def test_the_fields_are_the_constructors_arguments_with_equal_defaults(cls: Config):
    parameters = inspect.signature(target_class(cls.target)).parameters
    expected = {key: p.default for key, p in parameters.items() if key != "params"}
    ours = {"name", *TorchOptimizerConfigBase.model_fields, *cls.own_options}
    fields = {key: field.default for key, field in cls.model_fields.items() if key not in ours}
    assert fields == expected


@every_optimizer
def test_the_name_is_the_class_in_lower_case(cls: Config):
    torchs = cls.target.partition(":")[2]
    assert cls.__name__ == f"{torchs}Config"
    assert cls().name == torchs.lower()


@every_optimizer
def test_the_name_and_the_rate_are_the_first_fields(cls: Config):
    assert list(cls().model_dump())[:2] == ["name", "lr"]
    assert list(cls.model_json_schema()["properties"])[:2] == ["name", "lr"]


@every_optimizer
def test_what_is_built_is_exactly_torchs_class_with_torchs_defaults(cls: Config):
    model = make_model(cls)
    ours = cls().create_optimizer(model)
    theirs = target_class(cls.target)(model.parameters())
    assert type(ours) is built_class(cls)
    assert ours.defaults == theirs.defaults


@every_optimizer
def test_the_loss_falls(cls: Config):
    model = make_model(cls)
    losses = train(model, cls(lr=1e-2).create_optimizer(model), 12)
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]


@every_optimizer
def test_it_does_what_torchs_own_default_does(cls: Config):
    ours, theirs = make_model(cls), make_model(cls)
    train(ours, cls().create_optimizer(ours), 6)
    train(theirs, built_class(cls)(theirs.parameters()), 6)  # type: ignore[call-arg]
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-5, atol=1e-6)


@every_optimizer
def test_a_resumed_run_equals_the_uninterrupted_one(cls: Config):
    model = make_model(cls)
    optimizer = cls().create_optimizer(model)
    train(model, optimizer, 3)
    saved = saved_and_loaded({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    train(model, optimizer, 3)

    resumed = make_model(cls, seed=1)
    again = cls().create_optimizer(resumed)
    resumed.load_state_dict(saved["model"])
    again.load_state_dict(saved["optimizer"])
    train(resumed, again, 3)
    for ours, theirs in zip(weights(resumed), weights(model), strict=True):
        assert torch.equal(ours, theirs)


@every_optimizer
def test_with_groups_a_resumed_run_equals_the_uninterrupted_one(cls: Config):
    first = next(name for name, _ in make_model(cls).named_parameters())
    rule = {"name": "first", "select": first, "lr_mult": 0.5}
    if cls.needs_one_group:
        rule["select"] = "*"
    config = cls.model_validate({"lr": 0.01, "groups": [rule]})
    model = make_model(cls)
    optimizer = config.create_optimizer(model)
    train(model, optimizer, 3)
    saved = saved_and_loaded({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    train(model, optimizer, 3)

    resumed = make_model(cls, seed=1)
    again = config.create_optimizer(resumed)
    resumed.load_state_dict(saved["model"])
    again.load_state_dict(saved["optimizer"])
    train(resumed, again, 3)
    assert all(map(torch.equal, weights(resumed), weights(model)))
    rates = {group["name"]: group["lr"] for group in again.param_groups}
    assert rates["first"] == 0.005
    assert rates.get("default", 0.01) == 0.01


@every_optimizer
@pytest.mark.parametrize("form", ["module", "parameters", "named", "list", "groups"])
def test_it_takes_what_torch_takes_and_a_module(cls: Config, form: str):
    model = make_model(cls)
    given = {
        "module": model,
        "parameters": model.parameters(),
        "named": model.named_parameters(),
        "list": list(model.parameters()),
        "groups": [{"params": model.parameters(), "lr": 0.5}],
    }[form]
    optimizer = cls().create_optimizer(given)
    (group,) = optimizer.param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in model.parameters()]
    assert ("param_names" in group) == (form == "named")
    assert group["lr"] == (0.5 if form == "groups" else cls().lr)  # type: ignore[attr-defined]


@every_optimizer
def test_the_values_of_a_group_are_checked(cls: Config):
    params = list(make_model(cls).parameters())
    for key, value in {"lr": -1.0, "lrr": 1.0, "target": "os:abort"}.items():
        with pytest.raises(OptimizerError, match=rf"group 0 \('head'\).*{key}"):
            cls().create_optimizer([{"params": params, "name": "head", key: value}])


@every_optimizer
@pytest.mark.parametrize("lr", [-1.0, math.nan, math.inf, True, "0.1", None])
def test_a_learning_rate_is_a_finite_number_that_is_not_negative(cls: Config, lr: Any):
    with pytest.raises(ValidationError, match="lr"):
        cls(lr=lr)


@every_optimizer
def test_numbers_are_never_nan_infinite_or_text(cls: Config):
    for key, field in cls.model_fields.items():
        if isinstance(field.default, float) or type(field.default) is int:
            for bad in (math.nan, math.inf, -math.inf, "1", True):
                with pytest.raises(ValidationError, match=key):
                    cls(**{key: bad})
        if isinstance(field.default, bool):
            for bad in ("no", 1):
                with pytest.raises(ValidationError, match=key):
                    cls(**{key: bad})


@every_optimizer
def test_nothing_that_was_given_is_changed(cls: Config):
    params = list(make_model(cls).parameters())
    group = {"params": params, "name": "all", "lr": 0.5}
    before = copy.copy(group)
    groups = [group]
    cls().create_optimizer(groups)
    assert group == before
    assert groups == [group]


@every_optimizer
def test_a_tensor_may_stand_for_the_rate_of_a_group(cls: Config):
    model = make_model(cls)
    rate = torch.tensor(0.01)
    optimizer = cls().create_optimizer([{"params": model.parameters(), "lr": rate}])
    assert optimizer.param_groups[0]["lr"] is rate
    optimizer = cls(tensor_lr=True).create_optimizer([{"params": model.parameters(), "lr": rate}])
    assert optimizer.param_groups[0]["lr"] is rate
    with pytest.raises(OptimizerError, match="lr"):
        cls().create_optimizer([{"params": model.parameters(), "lr": torch.tensor(-0.01)}])
    with pytest.raises(OptimizerError, match="lr has 2 elements"):
        cls().create_optimizer([{"params": model.parameters(), "lr": torch.ones(2)}])


@every_optimizer
def test_a_rate_may_be_kept_in_a_tensor_of_its_own_for_each_group(cls: Config):
    model = make_model(cls)
    first, *rest = model.parameters()
    groups: list[Any] = [{"params": [first]}, {"params": rest, "lr": 0.5}]
    if cls.needs_one_group or not rest:
        groups = [{"params": [first, *rest]}]
    optimizer = cls(tensor_lr=True).create_optimizer(groups)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert all(isinstance(rate, Tensor) and rate.dtype is torch.float32 for rate in rates)
    assert len(set(map(id, rates))) == len(groups)
    assert [rate.item() for rate in rates] == pytest.approx([cls().lr, 0.5][: len(groups)])  # type: ignore[attr-defined]


@every_optimizer
def test_with_a_tensor_for_its_rate_it_does_what_it_does_with_a_number(cls: Config):
    one, other = make_model(cls), make_model(cls)
    train(one, cls().create_optimizer(one), 6)
    train(other, cls(tensor_lr=True).create_optimizer(other), 6)
    for ours, theirs in zip(weights(one), weights(other), strict=True):
        torch.testing.assert_close(ours, theirs)


@every_optimizer
@pytest.mark.filterwarnings(CONFIG_CHANGED)
def test_a_rate_stays_a_tensor_whatever_is_loaded(cls: Config):
    model = make_model(cls)
    plain = cls().create_optimizer(model)
    train(model, plain, 1)
    optimizer = cls(tensor_lr=True, lr=0.5).create_optimizer(model)  # type: ignore[call-arg]
    optimizer.load_state_dict(saved_and_loaded(plain.state_dict()))
    rate = optimizer.param_groups[0]["lr"]
    assert isinstance(rate, Tensor)
    assert rate.item() == pytest.approx(cls().lr)  # type: ignore[attr-defined]
    optimizer.load_state_dict(saved_and_loaded(optimizer.state_dict()))
    assert isinstance(optimizer.param_groups[0]["lr"], Tensor)
    with pytest.raises(ValueError, match="its parameter groups have"):
        optimizer.load_state_dict({"state": {}, "param_groups": []})


@every_optimizer
def test_what_holds_for_all_groups_is_no_option_of_one(cls: Config):
    params = list(make_model(cls).parameters())
    with pytest.raises(OptimizerError, match=r"group 0: tensor_lr applies to all groups; set"):
        cls().create_optimizer([{"params": params, "tensor_lr": True}])


@every_optimizer
def test_an_optimizer_without_parameters_is_refused(cls: Config):
    with pytest.raises(OptimizerError, match="no parameters"):
        cls().create_optimizer([])


def plain_inputs() -> list[Any]:
    common = pytest.importorskip("torch.testing._internal.common_optimizers")
    configs = {target_class(cls.target): cls for cls in EVERY}
    return [
        (configs[info.optim_cls], entry.kwargs)
        for info in common.optim_db
        for device in ("cpu", "cuda")
        for entry in info.optim_inputs_func(device=device)
    ]


def test_all_plain_inputs_of_torchs_own_tests_are_accepted():
    tried = 0
    for cls, options in plain_inputs():
        if not any(map(_has_tensor, options.values())):
            assert cls(**options)
            tried += 1
    assert tried > 100


def _has_tensor(value: Any) -> bool:
    items = value if isinstance(value, tuple) else (value,)
    return any(isinstance(item, Tensor) for item in items)


def test_all_plain_inputs_that_torchs_own_tests_expect_to_fail_are_refused():
    common = pytest.importorskip("torch.testing._internal.common_optimizers")
    configs = {target_class(cls.target): cls for cls in EVERY}
    tried = 0
    for info in common.optim_db:
        for entry in info.optim_error_inputs_func(device="cpu", dtype=torch.float32):
            options = entry.optimizer_error_input.kwargs
            if not options or any(map(_has_tensor, options.values())):
                continue
            with pytest.raises(ValidationError):
                configs[info.optim_cls](**options)
            tried += 1
    assert tried >= 20
