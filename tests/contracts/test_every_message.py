"""Laws of the messages of constructors: the same as those for a file, without the place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from nshtrainer import Config, configs
from nshtrainer.config import errors
from nshtrainer.configs import (
    AdamWConfig,
    LRSchedulerConfig,
    OptimizerConfig,
)
from nshtrainer.exceptions import ConfigError

EXPORTED = [getattr(configs, name) for name in dir(configs)]
CLASSES = [
    cls
    for cls in EXPORTED
    if isinstance(cls, type) and issubclass(cls, Config) and not cls.__name__.endswith("Base")
]
THIRD_PARTY = [cls for cls in CLASSES if ".third_party." in cls.__module__]
# Optimizers of other packages have fields alike: some of them will do.
TESTED = [cls for cls in CLASSES if cls not in THIRD_PARTY or cls in THIRD_PARTY[::8]]
WRONG: list[Any] = [-1.5, True, None, [[]], {"name": "admw", "no": {"such": "key"}}]
OF_PYDANTIC = re.compile(r"function-|tagged-union|pydantic\.dev|Input should|Extra inputs|input_v")


def data_for(cls: Any) -> Iterator[dict[str, Any]]:
    """A wrong value in every field, and mistyped names of fields."""
    fields = [name for name in cls.model_fields if name != "name"]
    yield from (dict.fromkeys(fields, value) for value in WRONG)
    yield dict.fromkeys([f"{name}e" for name in [*cls.model_fields][:4]], 1)
    yield {"name": "no such name"}


def from_a_file(cls: Any, data: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        cls.from_mapping(data)
    return str(caught.value).splitlines()


def lines_of(error: ValidationError) -> list[str]:
    assert OF_PYDANTIC.search(str(error)) is None
    found = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
    assert all(each["type"] for each in error.errors())
    return [f"{place}: {text}" if place else text for place, text in found]


@pytest.fixture(autouse=True)
def _all_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_MOST", 1000)


@pytest.mark.parametrize("cls", TESTED, ids=lambda cls: cls.__name__)
def test_a_constructor_says_what_a_file_does(cls: Any):
    for data in data_for(cls):
        error = refusal(cls, data)
        if error is not None:
            assert lines_of(error) == from_a_file(cls, data)


def refusal(cls: Any, data: dict[str, Any]) -> ValidationError | None:
    try:
        cls(**data)
    except ValidationError as error:
        return error
    return None


def test_the_law_looks_at_many_messages():
    assert all(refusal(cls, {"no_such_field": 1}) for cls in TESTED)
    errors_of = [refusal(cls, data) for cls in TESTED for data in data_for(cls)]
    assert sum(len(lines_of(error)) for error in errors_of if error) > 3000


def test_a_constructor_says_it_of_what_is_within():
    inner = {"name": "clipped", "optimizer": {"name": "sgd", "lrr": 1}}
    with pytest.raises(ValidationError) as caught:
        configs.LookaheadConfig.model_validate({"optimizer": inner})
    assert lines_of(caught.value)[0].startswith("optimizer.optimizer.lrr: unknown key 'lrr'; did ")


@pytest.mark.parametrize("depth", [0, 3])
def test_errors_are_explained_once_for_all_levels(
    depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    explained = errors.explained

    def counted(*arguments: Any) -> ValidationError:
        calls.append(arguments)
        return explained(*arguments)

    monkeypatch.setattr(errors, "explained", counted)
    data: dict[str, Any] = {"name": "adamw", "lrr": 1}
    for _ in range(depth):
        data = {"name": "lookahead", "optimizer": data}
    for read in (
        configs.LookaheadConfig.model_validate,
        TypeAdapter(OptimizerConfig).validate_python,
    ):
        calls.clear()
        with pytest.raises(ValidationError, match="did you mean 'lr'"):
            read({"name": "lookahead", "optimizer": data})
        assert len(calls) == 1


SAYS = "optimizer.lr: must be >= 0 (got -1)"


def test_json_and_adapters_say_the_same():
    class Training(Config):
        optimizer: OptimizerConfig

    data = {"optimizer": {"name": "adamw", "lr": -1}}
    for read in (
        lambda: Training.model_validate(data),
        lambda: Training.model_validate_json(json.dumps(data)),
        lambda: TypeAdapter(Training).validate_python(data),
    ):
        with pytest.raises(ValidationError) as caught:
            read()
        assert lines_of(caught.value) == [SAYS]
    with pytest.raises(ValidationError, match="invalid JSON: EOF while parsing"):
        Training.model_validate_json("{")


@pytest.mark.parametrize(
    ("kind", "name"), [(OptimizerConfig, "adamw"), (LRSchedulerConfig, "cosine")]
)
def test_a_component_within_a_model_of_pydantic_says_it(kind: Any, name: str):
    class Theirs(BaseModel):
        part: kind  # pyright: ignore[reportInvalidTypeForm]

    with pytest.raises(ValidationError) as caught:
        Theirs.model_validate({"part": {"name": name, "nam": 1}})
    (error,) = caught.value.errors()
    assert (error["loc"], error["type"]) == (("part", "nam"), "extra_forbidden")
    assert error["msg"].startswith("unknown key 'nam'; did you mean 'name'? (known: name, ")


def test_the_parts_of_an_error_are_those_of_pydantic():
    with pytest.raises(ValidationError) as caught:
        AdamWConfig(lr=-1)
    (error,) = caught.value.errors()
    assert (caught.value.title, caught.value.error_count()) == ("AdamWConfig", 1)
    assert (error["loc"], error["type"], error["input"]) == (("lr",), "greater_than_equal", -1)
    assert error["msg"] == "must be >= 0 (got -1)"
    assert caught.value.__cause__ is None
