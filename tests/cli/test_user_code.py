"""Finding what to train in a file of the user's."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path

import pytest
from lightning.pytorch import LightningDataModule
from tests.cli.support import TRAIN

import nshtrainer
from nshtrainer.cli import main
from nshtrainer.exceptions import ConfigError
from nshtrainer.project.data_config import data_class
from nshtrainer.project.user_code import load_user_code

SECOND = "\n\nclass Curve(Line):\n    pass\n"


def write(text: str, name: str = "train.py") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_the_module_and_the_datamodule_are_found(home: Path) -> None:
    code = load_user_code("train.py")
    assert code.module.__name__ == "Line"
    assert code.data is not None
    assert code.data.cls.__name__ == "Noise"


def test_without_a_datamodule_there_is_none_and_no_part_for_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(TRAIN.partition("class Noise")[0])
    assert load_user_code("train.py").data is None
    assert main(["validate", "run.yaml", "--for", "train.py"]) == 1
    assert "run.yaml:9:1: data: unknown key 'data' (known: model, trainer)" in (
        capsys.readouterr().err
    )


def test_a_name_picks_one_of_several_modules(home: Path) -> None:
    write(TRAIN + SECOND)
    assert load_user_code("train.py:Curve").module.__name__ == "Curve"


def test_a_module_that_the_file_imports_is_found(home: Path) -> None:
    write("from train import Line\n", "other.py")
    assert load_user_code("other.py").module.__name__ == "Line"


def test_what_the_file_defines_can_be_pickled(home: Path) -> None:
    config = load_user_code("train.py").module.hparams_cls()()
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_file_whose_name_is_no_identifier_is_imported(home: Path) -> None:
    write(TRAIN, "01-train.v2.py")
    assert load_user_code("01-train.v2.py").module.__module__ == "01-train_v2"


def test_the_same_name_in_another_folder_is_another_file(home: Path) -> None:
    first = load_user_code("train.py").module
    Path("sub").mkdir()
    write(TRAIN, "sub/train.py")
    assert load_user_code("sub/train.py").module is not first


THEIRS = "import lightning\n\n\nclass Net(lightning.LightningModule):\n    pass\n"
REFUSED = [
    ("nope.py", "", "nope.py: no such file; the current folder is "),
    (".", "", ".: is a folder; give the Python file with your LightningModuleBase"),
    ("train.txt", "", "train.txt: is not a Python file; give train.py, or train.py:Name"),
    ("train.py", "x = 1\n", "train.py: has no LightningModuleBase class; add `class "),
    ("train.py", THEIRS, "; derive Net from nshtrainer.LightningModuleBase[MyConfig]"),
    ("train.py", "def f(:\n", "train.py:1:7: is not valid Python: invalid syntax"),
    (
        "train.py",
        TRAIN + SECOND,
        "train.py: has 2 modules (Line, Curve); choose one, such as train",
    ),
    ("train.py:Lime", TRAIN, "train.py: unknown module 'Lime'; did you mean 'Line'? (known: Line)"),
    ("train.py:torch", TRAIN, "train.py: torch is not a LightningModuleBase (available: Line)"),
    (
        "train.py",
        TRAIN + "\n\nclass More(Noise):\n    pass\n",
        "train.py: has 2 datamodules (Noise, More); keep one in the file",
    ),
    ("json.py", "", "json.py: has the name of the Python module 'json'; rename the file"),
]


@pytest.mark.parametrize(("target", "text", "message"), REFUSED)
def test_what_cannot_be_used_is_said_clearly(
    home: Path, target: str, text: str, message: str
) -> None:
    if target.endswith((".py", ".py:Lime", ".py:torch")) and target != "nope.py":
        write(text, target.partition(":")[0])
    with pytest.raises(ConfigError) as caught:
        load_user_code(target)
    assert message in str(caught.value)


def test_a_file_that_the_caller_imported_is_used_as_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(TRAIN, "imported_train.py")
    monkeypatch.syspath_prepend(str(home))
    imported = importlib.import_module("imported_train")
    assert load_user_code("imported_train.py").module is imported.Line
    Path("sub").mkdir()
    write(TRAIN, "sub/imported_train.py")
    with pytest.raises(ConfigError, match="has the name of the Python module 'imported_train'"):
        load_user_code("sub/imported_train.py")


def test_what_the_file_raises_goes_through_and_leaves_nothing_behind(home: Path) -> None:
    write("1 / 0\n", "broken.py")
    with pytest.raises(ZeroDivisionError):
        load_user_code("broken.py")
    assert "broken" not in sys.modules


def test_a_file_that_exits_when_it_is_imported_is_an_error(home: Path) -> None:
    write("import sys\nsys.exit(0)\n", "leaving.py")
    with pytest.raises(ConfigError, match=r"leaving.py: called sys.exit\(0\) when it was imported"):
        load_user_code("leaving.py")
    assert "leaving" not in sys.modules


# -- the arguments of a datamodule ---------------------------------------------------------------


class DataConfig(nshtrainer.Config):
    size: int = 3


class ByConfig(LightningDataModule):
    def __init__(self, config: DataConfig) -> None:
        super().__init__()
        self.config = config


class ByArguments(LightningDataModule):
    def __init__(self, json: str, _size: int = 3, *, where: Path = Path("x"), how=print) -> None:
        super().__init__()
        self.given = (json, _size, where, how)


class Open(LightningDataModule):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options


def test_a_datamodule_that_takes_a_config_gets_it_whole() -> None:
    data = data_class(ByConfig, Path("train.py"))
    assert data.build(data.config_cls.from_yaml("size: 4")).config == DataConfig(size=4)


def test_arguments_become_keys_under_their_own_names_whatever_these_are() -> None:
    data = data_class(ByArguments, Path("train.py"))
    config = data.config_cls.from_yaml("{json: a, _size: 4}")
    assert data.build(config).given == ("a", 4, Path("x"), print)
    assert data.config_cls.from_yaml(config.to_yaml()) == config


def test_an_argument_without_a_default_is_required() -> None:
    with pytest.raises(ConfigError, match="json: is required; add"):
        data_class(ByArguments, Path("train.py")).config_cls.from_yaml("{}")


def test_open_arguments_take_any_key() -> None:
    data = data_class(Open, Path("train.py"))
    assert data.build(data.config_cls.from_yaml("a: 1")).options == {"a": 1}
