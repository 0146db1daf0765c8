"""The form of saved data, compared with the form that it must have."""

from __future__ import annotations

import pytest
import torch

from nshtrainer.structure import describe_form, find_misfits


def test_a_tuple_has_its_length_and_a_list_any() -> None:
    assert list(find_misfits([1], (1, 2), ("betas",))) == [(("betas",), "has 1 items, not 2")]
    assert not list(find_misfits([1, 2, 3], [1]))


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [(torch.bool, "bool"), (torch.int64, "integer"), (torch.float16, "float")],
    ids=str,
)
def test_a_tensor_is_described_by_its_kind_of_number_and_its_shape(
    dtype: torch.dtype, kind: str
) -> None:
    assert describe_form(torch.zeros(2, 3, dtype=dtype)) == f"{kind} tensor (2, 3)"
