"""The table of mistakes in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.support import without_names

import nshtrainer
from nshtrainer import RunLength, configs
from nshtrainer.config.formats.yaml_reader import read_yaml
from nshtrainer.exceptions import NshtrainerError

TABLE = read_yaml((Path(__file__).parent / "bad_use.yaml").read_text()).data
MODEL = torch.nn.Linear(2, 1)
NAMES: dict[str, Any] = {
    **{name: getattr(configs, name) for name in dir(configs)},
    "RunLength": RunLength,
    "create": nshtrainer.create,
    "model": MODEL,
    "run": RunLength(total_steps=10),
    "adamw": configs.AdamWConfig(),
    "cosine": configs.CosineScheduleConfig(),
    "sgd": torch.optim.SGD(MODEL.parameters()),
}


def lines_of(error: ValidationError | NshtrainerError) -> list[str]:
    if isinstance(error, NshtrainerError):
        return str(error).splitlines()
    return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["what"])
def test_a_mistake_in_python_says_what_the_table_says(case: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, NshtrainerError)) as caught:
        eval(case["text"], NAMES)
    assert [without_names(line) for line in lines_of(caught.value)] == case["says"]
