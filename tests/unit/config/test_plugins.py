"""Components of other packages: real wheels, really installed, found by their entry points."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from nshtrainer import Config
from nshtrainer.cli import main
from nshtrainer.configs import AdamWConfig, OptimizerConfig, optimizer_registry
from nshtrainer.exceptions import ConfigError

GOOD = """
from typing import Literal
from nshtrainer.optimizer import OptimizerConfigBase

class StillConfig(OptimizerConfigBase):
    name: Literal["still"] = "still"
    lr: float = 0.0

    def create_optimizer(self, params):
        import torch
        return torch.optim.SGD(params, lr=self.lr)
"""

ENTRY_POINTS = """[nshtrainer.optimizers]
still = nshtrainer_still:StillConfig
broken = nshtrainer_broken:BrokenConfig
nameless = nshtrainer_still:Literal
leaving = nshtrainer_leaving:LeavingConfig
stopped = nshtrainer_stopped:StoppedConfig
twice = nshtrainer_still:StillConfig
"""

TWIN = """[nshtrainer.optimizers]
twice = nshtrainer_twin:TwinConfig
adamw = nshtrainer_twin:TwinConfig
"""


class RunConfig(Config):
    optimizer: OptimizerConfig = AdamWConfig()


FILES = {
    "nshtrainer_still.py": GOOD,
    "nshtrainer_broken.py": "import a_module_that_is_not_there",
    "nshtrainer_leaving.py": "import sys; sys.exit(0)",
    "nshtrainer_stopped.py": "raise KeyboardInterrupt",
}


def write_wheel(folder: Path, name: str, files: dict[str, str], entry_points: str) -> Path:
    """A wheel as any build tool makes it."""
    wheel = folder / f"nshtrainer_{name}-1.0-py3-none-any.whl"
    info = f"nshtrainer_{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: nshtrainer-{name}\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/entry_points.txt", entry_points)
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    target = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    wheels = [
        write_wheel(folder, "still", FILES, ENTRY_POINTS),
        write_wheel(folder, "twin", {}, TWIN),
    ]
    subprocess.run([*command, "--target", str(target), *map(str, wheels)], check=True)
    return target


@pytest.fixture(autouse=True)
def _plugins(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(installed))
    with optimizer_registry.scoped():
        yield
    for module in FILES:
        sys.modules.pop(module.removesuffix(".py"), None)


def test_a_plugin_is_a_legal_value_once_its_package_is_installed():
    run = RunConfig.from_yaml("optimizer: {name: still, lr: 0.5}")
    assert type(run.optimizer).__name__ == "StillConfig"
    assert RunConfig.from_yaml(run.to_yaml()) == run
    assert optimizer_registry["still"] is type(run.optimizer)


def test_only_the_plugin_that_is_named_is_imported():
    RunConfig.from_yaml("optimizer: {name: sgd}")
    assert {"nshtrainer_still", "nshtrainer_broken"}.isdisjoint(sys.modules)
    RunConfig.from_yaml("optimizer: {name: still}")
    assert "nshtrainer_broken" not in sys.modules


def test_plugins_are_listed_without_being_imported():
    assert optimizer_registry.plugins()["still"].value == "nshtrainer_still:StillConfig"
    assert "still" in optimizer_registry.unknown("stil")
    assert "nshtrainer_still" not in sys.modules


def test_plugins_may_be_forbidden():
    with pytest.raises(ConfigError, match="unknown optimizer 'still'"):
        RunConfig.from_yaml("optimizer: {name: still}", plugins=False)
    assert "nshtrainer_still" not in sys.modules


def test_a_broken_plugin_says_so_and_breaks_nobody_else():
    with pytest.raises(
        ValidationError, match=r"'broken' is a plug-in .*failed to load: ModuleNotFound"
    ):
        RunConfig.model_validate({"optimizer": {"name": "broken"}})
    assert RunConfig.from_yaml("optimizer: {name: sgd}").optimizer.name == "sgd"


def test_a_plugin_that_is_no_component_says_what_to_do():
    with pytest.raises(ValidationError, match=r"failed to load.*derive it from Optim"):
        RunConfig.model_validate({"optimizer": {"name": "nameless"}})


def test_a_plugin_that_exits_when_it_is_imported_is_an_error():
    with pytest.raises(
        ConfigError, match=r"'leaving' is a plug-in .*failed to load: SystemExit\(0\)"
    ):
        RunConfig.from_yaml("optimizer: {name: leaving}")


def test_the_command_line_refuses_a_file_whose_plugin_exits(installed: Path, tmp_path: Path):
    file = tmp_path / "run.yaml"
    file.write_text("optimizer: {name: leaving}\n", encoding="utf-8")
    path = os.pathsep.join([str(installed), *sys.path])
    run = subprocess.run(
        [sys.executable, "-m", "nshtrainer", "validate", str(file)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "optimizer 'leaving' is a plug-in" in run.stdout + run.stderr


def test_a_key_that_stops_the_program_stops_a_plugin_too():
    with pytest.raises(KeyboardInterrupt):
        RunConfig.from_yaml("optimizer: {name: stopped}")


def test_a_name_that_two_packages_announce_is_an_error_that_names_both():
    message = (
        r"'twice' is announced by nshtrainer-(still|twin) 1.0 \(nshtrainer_\w+:\w+\) and by "
        r"nshtrainer-(still|twin) 1.0 \(nshtrainer_\w+:\w+\). Uninstall all but one of them."
    )
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_yaml("optimizer: {name: twice}")
    assert RunConfig.from_yaml("optimizer: {name: still}").optimizer.name == "still"


def test_a_name_that_two_packages_have_is_told_with_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    RunConfig.from_yaml("optimizer: {name: still}")  # a plug-in that is loaded is no conflict
    file = tmp_path / "run.yaml"
    file.write_text("optimizer: {name: adamw}\n", encoding="utf-8")
    for arguments in (["list", "optimizer"], ["validate", str(file)]):
        assert main(arguments) == 0
        said = capsys.readouterr().err.splitlines()
        assert said[0] == (
            "optimizer 'adamw' is nshtrainer.optimizer.torch_optim.adam.AdamWConfig, and the one "
            "that nshtrainer-twin 1.0 (nshtrainer_twin:TwinConfig) announces is not used. Give the "
            "plug-in another name, or uninstall it."
        )
        assert said[1].startswith("optimizer 'twice' is announced by nshtrainer-")
        assert said[1].endswith(". Uninstall all but one of them.")
        assert len(said) == 2
