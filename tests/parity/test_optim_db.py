"""Every input of torch's own table of optimizers, good and bad, through our configs.

`optim_db` is what torch tests its optimizers with. It is private, so this looks at the installed
torch alone, and keeps no list of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from pydantic import ValidationError
from tests.support import built_class, torchs_optimizers
from torch import Tensor

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer.torch_config import target_class

pytest.importorskip("expecttest")

with pytest.MonkeyPatch.context() as patch:
    # On import it forbids this process to set flags such as cudnn's, which other tests do.
    patch.setattr(torch.backends, "disable_global_flags", lambda: None)
    from torch.testing._internal import common_optimizers as table

IMPLEMENTATIONS = ("foreach", "fused")


class Case(NamedTuple):
    """One row of the table: arguments for one of torch's classes."""

    info: Any
    options: dict[str, Any]

    @property
    def config(self) -> Any:
        """Our class of the same name."""
        return optimizer_registry[self.info.optim_cls.__name__.lower()]

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.info.optim_cls.__name__}({options})"


def cases_of(info: Any) -> list[Case]:
    """As the table has them, with each implementation asked for, and as for a GPU."""
    rows = [
        *info.optim_inputs_func(device="cpu"),
        *table._get_optim_inputs_including_global_cliquey_kwargs("cpu", torch.float32, info),
        *info.optim_inputs_func(device="cuda"),
    ]
    cases = {str(case): case for case in (Case(info, row.kwargs) for row in rows)}
    return [case for case in cases.values() if not tensors_in(case.options)]


def errors_of(info: Any) -> list[Case]:
    """The rows about the values of options, not about the parameters."""
    errors = info.optim_error_inputs_func(device="cpu", dtype=torch.float32)
    rows = [error.optimizer_error_input.kwargs for error in errors]
    return [Case(info, options) for options in rows if options]


def wrong_parameters_of(info: Any) -> list[Any]:
    """The rows about parameters."""
    errors = info.optim_error_inputs_func(device="cpu", dtype=torch.float32)
    return [
        pytest.param(info, error, id=f"{info.optim_cls.__name__}-{place}")
        for place, error in enumerate(errors)
        if not error.optimizer_error_input.kwargs
    ]


def tensors_in(value: Any) -> list[Tensor]:
    if isinstance(value, dict):
        return tensors_in(list(value.values()))
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in tensors_in(item)]
    return [value] if isinstance(value, Tensor) else []


def as_numbers(value: Any) -> Any:
    """The same options, with each tensor as the number that it holds."""
    if isinstance(value, dict):
        return {key: as_numbers(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(as_numbers, value))
    return value.item() if isinstance(value, Tensor) else value


def is_refused_for_tensors(case: Case) -> bool:
    """Whether a tensor of one element is what torch minds, as some implementations do."""
    tensors = tensors_in(case.options)
    return bool(tensors) and all(tensor.numel() == 1 for tensor in tensors)


CASES = [case for info in table.optim_db for case in cases_of(info)]
ON_CPU = [case for case in CASES if not case.options.get("capturable")]
ERRORS = [case for info in table.optim_db for case in errors_of(info)]
REFUSED = [case for case in ERRORS if not is_refused_for_tensors(case)]
HARMLESS = [case for case in ERRORS if is_refused_for_tensors(case)]


def make_params(case: Case) -> list[Tensor]:
    """A matrix and, where that is allowed, a vector."""
    torch.default_generator.manual_seed(0)
    shapes = [(3, 4)] if case.config.needs_dimensions == 2 else [(3, 4), (5,)]
    params = [torch.randn(shape, requires_grad=True) for shape in shapes]
    # autograd can go through an update in place only where what is updated is no leaf.
    return [param.clone() for param in params] if case.options.get("differentiable") else params


def train(case: Case, optimizer: torch.optim.Optimizer, params: list[Tensor]) -> None:
    def closure() -> float:
        loss = torch.stack([(param - 3).square().sum() + param.sin().sum() for param in params])
        grads = torch.autograd.grad(loss.sum(), params)
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad.to_sparse() if case.config.needs_sparse_gradients else grad
        return loss.sum().item()

    for _ in range(3):
        optimizer.step(closure)


def chosen(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The implementation that the optimizer's one group has."""
    (group,) = optimizer.param_groups
    return {flag: group[flag] for flag in IMPLEMENTATIONS if flag in group}


def test_the_table_holds_every_optimizer_of_ours_and_each_with_good_and_bad_options():
    classes = {target_class(cls.target) for cls in torchs_optimizers()}
    assert classes == {info.optim_cls for info in table.optim_db}
    for cls in classes:
        assert sum(case.info.optim_cls is cls for case in ON_CPU) >= 3
        assert sum(case.info.optim_cls is cls for case in REFUSED) >= 1
    assert len(ON_CPU) >= 12 * len(classes)
    assert len(CASES) - len(ON_CPU) >= len(classes)
    assert len(REFUSED) >= 2 * len(classes)
    assert 0 < len(HARMLESS) < len(REFUSED)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_options_that_torch_takes_pass_through_json_unchanged(case: Case):
    config = case.config(**case.options)
    assert case.config.from_json(config.to_json()) == config
    for key, value in case.options.items():
        assert getattr(config, key) == value


@pytest.mark.parametrize("case", ON_CPU, ids=str)
def test_a_config_from_json_trains_to_the_very_weights_of_torchs_constructor(case: Case):
    config = case.config.from_json(case.config(**case.options).to_json())
    ours, theirs, start = make_params(case), make_params(case), make_params(case)
    optimizer = config.create_optimizer(ours)
    choice = chosen(optimizer)
    direct = built_class(case.config)(theirs, **{**case.options, **choice})
    train(case, optimizer, ours)
    train(case, direct, theirs)
    assert type(optimizer) is type(direct)
    assert chosen(optimizer) == choice == chosen(direct)
    for mine, other, before in zip(ours, theirs, start, strict=True):
        assert mine.isfinite().all()
        assert torch.equal(mine, other)
        assert not torch.equal(mine, before)


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_options_that_torch_refuses_are_refused_by_name(case: Case):
    with pytest.raises(ValidationError) as caught:
        case.config(**case.options)
    assert all(error["loc"][0] in case.options for error in caught.value.errors())


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_options_that_torch_refuses_are_refused_for_a_group(case: Case):
    with pytest.raises(OptimizerError, match=r"^parameter group 0"):
        case.config().create_optimizer([{"params": make_params(case), **case.options}])


@pytest.mark.parametrize(
    ("info", "error"), [row for info in table.optim_db for row in wrong_parameters_of(info)]
)
def test_parameters_that_torch_refuses_or_warns_of_are_refused(info: Any, error: Any):
    wrong = error.optimizer_error_input.params
    config: Any = optimizer_registry[info.optim_cls.__name__.lower()]
    if error.error_on is table.OptimizerErrorEnum.CONSTRUCTION_ERROR:
        with pytest.raises((OptimizerError, ValueError)):
            config().create_optimizer(wrong)
        return
    for param in wrong:
        param.grad = torch.rand_like(param)
    with pytest.raises(error.error_type, match=error.error_regex):
        config().create_optimizer(wrong).step()


@pytest.mark.parametrize("case", HARMLESS, ids=str)
def test_tensors_that_torch_refuses_are_numbers_in_a_config_and_train(case: Case):
    config, numbers = case.config(**case.options), case.config(**as_numbers(case.options))
    assert config == numbers
    assert case.config.from_json(config.to_json()) == config
    params, others = make_params(case), make_params(case)
    train(case, config.create_optimizer(params), params)
    train(case, numbers.create_optimizer(others), others)
    assert all(map(torch.equal, params, others))


def test_the_table_leaves_the_flags_of_torch_as_they_were():
    assert not torch.backends.flags_frozen()
