from __future__ import annotations

import pytest
import torch
from torch import nn

from nshtrainer.optimizer.groups.parameters import is_lazy
from nshtrainer.optimizer.stand_ins import device_type, stand_in


@pytest.mark.parametrize(
    "param",
    [
        nn.Parameter(torch.ones(2, 3)),
        nn.Parameter(torch.ones(2, 3).t()),
        nn.Parameter(torch.ones(1, 3).expand(4, 3)),
        nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False),
        torch.ones(2, dtype=torch.bfloat16, requires_grad=True),
    ],
)
def test_a_stand_in_has_the_form_of_its_parameter_and_no_memory(param: torch.Tensor) -> None:
    made = stand_in(param)
    assert isinstance(made, nn.Parameter)
    assert (made.shape, made.stride(), made.dtype) == (param.shape, param.stride(), param.dtype)
    assert (made.requires_grad, made.device.type) == (param.requires_grad, "meta")
    assert device_type(made) == device_type(param) == "cpu"


def test_a_stand_in_has_the_marks_of_its_parameter() -> None:
    param = nn.Parameter(torch.ones(2))
    param._no_weight_decay, param._data = True, torch.ones(2)  # type: ignore[attr-defined]
    made = stand_in(param)
    assert made._no_weight_decay  # type: ignore[attr-defined]
    assert not hasattr(made, "_data")
    assert set(vars(param)) == {"_no_weight_decay", "_data"}


def test_a_sparse_parameter_stays_sparse() -> None:
    made = stand_in(nn.Parameter(torch.eye(2).to_sparse()))
    assert (made.layout, made.device.type) == (torch.sparse_coo, "meta")


def test_a_lazy_parameter_stays_lazy() -> None:
    made = stand_in(nn.LazyLinear(2).weight)
    assert is_lazy(made)
    assert made.requires_grad


def test_a_parameter_on_meta_counts_as_one_on_a_gpu() -> None:
    on_meta = nn.Parameter(torch.ones(2, device="meta"))
    assert device_type(on_meta) == "meta"
    assert device_type(stand_in(on_meta)) == device_type(stand_in(stand_in(on_meta))) == "cuda"
