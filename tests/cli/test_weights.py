"""`fit --weights`: a new run from the weights of a file alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.cli.support import command_in, enter, only_run, start

import nshtrainer
from nshtrainer.cli import main
from nshtrainer.configs import AdamWConfig
from nshtrainer.exceptions import CheckpointError, ConfigError

FIT = ["fit", "train.py", "--config", "run.yaml", "trainer.max_epochs=1"]
WEIGHTS = {"layer.weight": torch.tensor([[3.0, 4.0]]), "layer.bias": torch.tensor([5.0])}
STILL = ["lr_scheduler=null", "optimizer.lr=0", "optimizer.weight_decay=0"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run."""
    with pytest.MonkeyPatch.context() as patch:
        folder = enter(tmp_path_factory.mktemp("trained"), patch)
        assert main([*FIT, "--out", "o"]) == 0
        return folder / "o/checkpoints/last.ckpt"


def saved(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    "kind", ["checkpoint", "state_dict", "plain", "compiled", "weights.safetensors"]
)
def test_a_run_starts_from_weights_alone(
    home: Path, trained: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = WEIGHTS
    if kind == "checkpoint":
        weights = saved(trained)["state_dict"]
        shutil.copy(trained, kind)
    elif kind == "state_dict":
        torch.save(WEIGHTS, kind)
    elif kind in {"plain", "compiled"}:
        old, new = ("layer.", "") if kind == "plain" else ("", "_orig_mod.")
        torch.save({f"{new}{name.removeprefix(old)}": WEIGHTS[name] for name in WEIGHTS}, kind)
    else:
        save_file(WEIGHTS, kind)
    assert main([*FIT, *STILL, "--weights", kind, "--out", "o"]) == 0
    assert f"starting from the weights of {kind}\n" in capsys.readouterr().out
    run = saved(Path("o/checkpoints/last.ckpt"))
    assert (run["global_step"], run["epoch"]) == (4, 0)
    assert run["state_dict"].keys() == weights.keys()
    assert all(torch.equal(run["state_dict"][name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    ("weights", "problems"),
    [
        ({**WEIGHTS, "more": torch.ones(1)}, ['Unexpected key(s) in state_dict: "more".']),
        ({"layer.weight": torch.ones(1, 2)}, ['Missing key(s) in state_dict: "layer.bias".']),
        (
            {"layer.weight": torch.ones(1, 9), "bias": torch.ones(1)},
            ["Missing key(s)", "Unexpected key(s)", "size mismatch for layer.weight: copying"],
        ),
    ],
)
def test_weights_that_do_not_fit_are_named_with_the_remedy(
    home: Path, weights: Any, problems: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(weights, "w.pt")
    assert main([*FIT, "--weights", "w.pt"]) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.startswith("w.pt: does not fit Line; use the config that wrote it; a new layer")
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert line.startswith(f"  {problem}")


def test_strict_loading_of_the_module_allows_a_new_layer(home: Path) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    strict = "        self.strict_loading = False\n    def training_step"
    Path("train.py").write_text(text.replace("\n    def training_step", f"\n{strict}", 1))
    torch.save({"layer.bias": torch.tensor([9.0])}, "w.pt")
    assert main([*FIT, *STILL, "--weights", "w.pt", "--out", "o"]) == 0
    assert saved(Path("o/checkpoints/last.ckpt"))["state_dict"]["layer.bias"].item() == 9


def test_files_without_weights_are_refused(home: Path) -> None:
    Path("text.ckpt").write_text("text", encoding="utf-8")
    Path("metrics.ckpt").write_text("epoch,step\n0,1\n", encoding="utf-8")
    torch.save({"optimizer": {"lr": 1}}, "data.ckpt")
    Path("cut.ckpt").write_bytes(Path("data.ckpt").read_bytes()[:100])
    torch.save([1], "list.ckpt")
    torch.save({"state_dict": WEIGHTS, "config": AdamWConfig(lr=1.0)}, "pickled.ckpt")
    for name, problem in (
        ("text", "is no checkpoint, state_dict or .safetensors file; give one"),
        ("metrics", "is no checkpoint, state_dict or .safetensors file; give one"),
        ("cut", "cannot be read as weights"),
        ("data", "has no weights; give a checkpoint with a state_dict"),
        ("list", "has no weights"),
        ("pickled", r"cannot be read as weights \(UnpicklingError"),
    ):
        with pytest.raises(CheckpointError, match=f"^{name}.ckpt: {problem}"):
            nshtrainer.fit("train.py", "run.yaml", weights=f"{name}.ckpt")


def test_a_run_either_starts_from_weights_or_resumes(home: Path) -> None:
    torch.save(WEIGHTS, "w.pt")
    for resume in ("last", "w.pt"):
        with pytest.raises(ConfigError, match=r"^--weights w.pt: starts a new run, and --resume"):
            nshtrainer.fit("train.py", "run.yaml", weights="w.pt", resume=resume)
    with pytest.raises(ConfigError, match=r"^--weights x.pt: no such file"):
        nshtrainer.fit("train.py", "run.yaml", weights="x.pt")


def test_the_folder_of_a_run_is_no_file_of_weights(home: Path) -> None:
    Path("o/checkpoints").mkdir(parents=True)
    for name in ("one of its files", "o/checkpoints/last.ckpt", "o/checkpoints/best.ckpt"):
        if name.endswith(".ckpt"):
            Path(name).touch()
        with pytest.raises(ConfigError, match=f"^--weights o: is a folder; give {name}$"):
            nshtrainer.fit("train.py", "run.yaml", weights="o")


def test_auto_resume_uses_the_weights_only_for_the_first_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(WEIGHTS, "w.pt")
    again = [*FIT, "--weights", "w.pt", "--resume", "auto"]
    assert main(again) == 0
    assert "starting from the weights" in capsys.readouterr().out
    assert main(again) == 0
    out = capsys.readouterr().out
    assert "starting from the weights" not in out
    assert f"resuming from {only_run()}" in out


@pytest.mark.slow
def test_the_command_to_resume_leaves_the_weights_out(home: Path) -> None:
    torch.save(WEIGHTS, "w.pt")
    run = start(*FIT, "--weights", "w.pt", STOP="SIGTERM train 2")
    assert run.returncode == 143
    command = command_in(run.stdout)
    assert "--weights" not in command
    assert start(*command).returncode == 0
