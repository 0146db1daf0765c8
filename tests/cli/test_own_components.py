"""Components and config classes of the user's code, in the commands that print them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nshtrainer.cli import main
from nshtrainer.optimizer import optimizer_registry

Captured = pytest.CaptureFixture[str]


OWN = '''
from typing import Literal

from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase


@optimizer_registry.register
class SignumConfig(TorchOptimizerConfigBase):
    """The sign of the momentum."""

    target = "torch.optim:SGD"
    name: Literal["signum"] = "signum"
    memory: float = 0.9
    """Decay of the momentum."""
'''


def test_list_and_show_know_the_components_of_the_users_code(
    tmp_path: Path, capsys: Captured
) -> None:
    code = tmp_path / "own.py"
    code.write_text(OWN, encoding="utf-8")
    with optimizer_registry.scoped():
        assert main(["show", "signum"]) == 2
        assert "--for train.py adds those of your code" in capsys.readouterr().err
        for arguments in (["list"], ["list", "optimizer", "--all"]):
            assert "signum" not in optimizer_registry
            with optimizer_registry.scoped():
                assert main([*arguments, "--for", str(code)]) == 0
            assert "The sign of the momentum." in capsys.readouterr().out
        assert main(["show", "signum", "--for", str(code)]) == 0
        assert "Decay of the momentum." in capsys.readouterr().out


def test_the_schema_of_a_config_class_is_that_of_its_files(
    tmp_path: Path, capsys: Captured
) -> None:
    code = tmp_path / "own.py"
    code.write_text(
        "import nshtrainer\n\nclass MyConfig(nshtrainer.Config):\n    width: int = 3\n", "utf-8"
    )
    assert main(["schema", "--for", f"{code}:MyConfig"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"].keys() == {"width"}
    assert main(["schema", "--for", f"{code}:YourConfig"]) == 2
    assert "unknown module 'YourConfig'" in capsys.readouterr().err


@pytest.mark.parametrize("works", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_schema_has_the_plug_ins_that_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, works: bool
) -> None:
    info = tmp_path / "shiny-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: shiny\nVersion: 1.0\n", encoding="utf-8")
    announced = f"[nshtrainer.optimizers]\nsignum = shiny_{works}:SignumConfig\n"
    (info / "entry_points.txt").write_text(announced, encoding="utf-8")
    if works:
        (tmp_path / f"shiny_{works}.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with optimizer_registry.scoped():
        assert main(["schema"]) == 0
    out, err = capsys.readouterr()
    assert ("The sign of the momentum." in out) is works
    assert ("failed to load" in err) is not works
    assert "Adam with decoupled weight decay" in out
