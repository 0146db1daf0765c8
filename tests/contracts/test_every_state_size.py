"""Laws of what is told of an optimizer's state before there is one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contracts import test_every_optimizer as of_torch
from tests.contracts import test_every_package_optimizer as of_packages
from torch import Tensor

from nshtrainer.optimizer.checkpoint.fresh_state import state_bytes
from nshtrainer.optimizer_record import parts_of

UNKNOWN = {
    "AliGConfig": "needs a closure",
    "LBFGSConfig": "needs a closure",
    "SPAMConfig": "has an optimizer of its own for its warm-up",
    "SaRAConfig": "makes its state when it is built",
}

pytestmark = [
    pytest.mark.usefixtures("_as_written"),
    pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True"),
]
_as_written = of_packages._as_written


def kept(value: Any) -> list[int]:
    """The bytes of every tensor in a state, and of the tensors that one of few bits consists of."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [size for part in value for size in kept(part)]
    if hasattr(value, "__tensor_flatten__"):
        return kept([getattr(value, name) for name in value.__tensor_flatten__()[0]])
    return [value.numel() * value.element_size()] if isinstance(value, Tensor) else []


@pytest.mark.parametrize(
    ("of", "cls"),
    [(of_torch, cls) for cls in of_torch.EVERY]
    + [(of_packages, cls) for cls in of_packages.EVERY if not cls.instead_on_cpu],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_the_bytes_of_a_state_are_told_before_there_is_one(of: Any, cls: Any) -> None:
    model = of.make_model(cls)
    config = of_packages.modest(cls) if of is of_packages else cls()
    optimizer = config.create_optimizer(model)
    told = [state_bytes(part, group) for part in parts_of(optimizer) for group in part.param_groups]
    if cls.__name__ in UNKNOWN:
        assert told == [None]
        return
    of.train(*((cls,) if of is of_packages else ()), model, optimizer, 1)
    sizes = [size for part in parts_of(optimizer) for size in kept(dict(part.state))]
    # Some keep a number as one of Python's, or once for all, where a step of their own is made.
    assert sum(told) == pytest.approx(sum(sizes), abs=8 * len(sizes))
    assert (sum(told) == 0) == (not sizes)
