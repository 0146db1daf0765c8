"""Laws of torch's own schedulers by name: all of them are here, with torch's own arguments."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from torch.optim import lr_scheduler as torchs
from torch.optim.swa_utils import SWALR

from nshtrainer.lr_scheduler import lr_scheduler_registry

CLASSES = {
    cls.__name__: cls
    for cls in [*vars(torchs).values(), SWALR]
    if isinstance(cls, type)
    and issubclass(cls, torchs.LRScheduler)
    and cls is not torchs.LRScheduler
    and not cls.__name__.startswith("_")
}

EVERYWHERE = {
    "optimizer": "the config builds the scheduler of an optimizer, and does not hold one",
    "last_epoch": "the position is the state of the scheduler, and comes from a checkpoint",
}
LEFT_OUT = {
    **dict.fromkeys(CLASSES, EVERYWHERE),
    "ReduceLROnPlateau": {**EVERYWHERE, "mode": "the metric says which direction is better"},
}
ADDED = {"name", "unit", "metric", "warmup_duration", "schedule"}


def snake_case(name: str) -> str:
    words = re.findall(r"LR|SWA|[A-Z][a-z]+|[A-Z]", name)
    return "_".join(words).lower()


def config_of(name: str) -> Any:
    return lr_scheduler_registry[snake_case(name)]


every_class = pytest.mark.parametrize("name", CLASSES)


@every_class
def test_every_scheduler_of_torch_has_a_config_under_its_name(name: str):
    assert config_of(name).__name__ == f"{name}Config"


@every_class
def test_the_fields_are_the_constructors_arguments_with_equal_defaults(name: str):
    parameters = inspect.signature(CLASSES[name]).parameters.values()
    expected = {p.name: p.default for p in parameters if p.name not in LEFT_OUT[name]}
    fields = {
        key: inspect.Parameter.empty if field.is_required() else field.default
        for key, field in config_of(name).model_fields.items()
        if key not in ADDED
    }
    assert fields == expected


@every_class
def test_the_fields_come_in_the_order_of_the_arguments(name: str):
    fields = [key for key in config_of(name).model_fields if key not in ADDED]
    order = [key for key in inspect.signature(CLASSES[name]).parameters if key in fields]
    assert fields == order
