"""The generated configs of other packages are what the installed packages have."""

from __future__ import annotations

import importlib
import inspect
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.contracts.test_every_package_optimizer import EVERY

from nshtrainer import configs
from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer import third_party as packages
from nshtrainer.optimizer.third_party.index import INDEX


@pytest.mark.skipif(find_spec("ruff") is None, reason="ruff, which formats them, is not installed")
def test_the_generated_modules_are_what_the_installed_package_gives(generate: Any) -> None:
    assert generate.main(["--check"]) == 0


@pytest.mark.parametrize(
    "package", ["bitsandbytes", "pytorch_optimizer", "schedulefree", "torchao"]
)
def test_every_optimizer_of_a_package_has_a_config_or_a_reason(package: str, generate: Any) -> None:
    targets = [cls.target for cls in EVERY if re.match(rf"{package}\b", cls.target)]
    home = vars(importlib.import_module(targets[0].partition(":")[0]))
    theirs = {name for name, value in home.items() if is_an_optimizer(value)}
    if package == "pytorch_optimizer":  # which has those of torch too, and wrappers of others
        theirs = set(generate.optimizers())
    ours, left_out = {target.partition(":")[2] for target in targets}, generate.LEFT_OUT[package]
    assert ours | set(left_out) == theirs
    assert not ours & set(left_out)


def is_an_optimizer(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, torch.optim.Optimizer)


def test_what_is_known_of_a_class_or_an_argument_is_of_one_that_there_is(generate: Any) -> None:
    kept = set(generate.optimizers()) - set(generate.LEFT_OUT["pytorch_optimizer"])
    assert set(generate.SUMMARIES) == kept
    tables = ("CURATED", "FACTS", "REFERENCES", "GROUP_KEYS", "UNDER_FSDP2")
    for table in tables:
        assert set(getattr(generate, table)) <= kept
    signatures = {
        cls: set(inspect.signature(generate.optimizers()[cls]).parameters) for cls in kept
    }
    for key in {*generate.ARGUMENTS, *generate.OMITTED}:
        cls, _, argument = key.rpartition(".")
        assert any(argument in signatures[each] for each in ([cls] if cls else kept)), key


def test_an_optimizer_with_an_argument_without_a_rule_is_not_guessed_at(generate: Any) -> None:
    with pytest.raises(TypeError, match="no rule for the type of colour"):
        generate._type(
            "colour", inspect.Parameter("colour", inspect.Parameter.KEYWORD_ONLY, default="red")
        )


def test_a_stale_module_is_said_and_written(
    generate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.write("one.py", "text", check=True)
    assert not (tmp_path / "one.py").exists()
    assert generate.write("one.py", "text", check=False)
    assert not generate.write("one.py", "text", check=False)


def test_the_index_names_every_class_with_its_first_line() -> None:
    for module, members in INDEX.items():
        for name, (cls, summary) in members.items():
            found = getattr(importlib.import_module(module), cls)
            assert found.model_fields["name"].default == name
            assert found.__doc__.partition("\n")[0] == summary
            assert optimizer_registry[name] is found is getattr(configs, cls)


def test_no_name_of_a_class_or_in_a_file_differs_from_another_by_case_alone() -> None:
    assert len({name.lower() for name in optimizer_registry}) == len(optimizer_registry)
    classes = [cls.__name__.lower() for cls in optimizer_registry.values()]
    assert len(set(classes)) == len(classes)


def test_there_is_no_class_that_nobody_wrote() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'NeroConfig'"):
        packages.NeroConfig  # noqa: B018 - the lookup is the test
