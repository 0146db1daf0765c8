"""`nshtrainer evaluate` and `nshtrainer predict`, on a run that was trained once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.support import enter

from nshtrainer.cli import main

MORE = """
    def test_dataloader(self):
        return DataLoader(torch.full((2, 2), 2.0))

    def predict_dataloader(self):
        return DataLoader(torch.ones(3, 2))


class Whole(Line):
    def test_step(self, batch):
        self.log("test/loss", self.layer(batch).square().mean())

    def predict_step(self, batch):
        return {"batch": batch, "of": self.layer(batch)}


class Odd(Whole):
    def predict_step(self, batch):
        return Odd


class Twice(Whole):
    def test_step(self, batch):
        self.log("test/loss", 1.0)
        self.log("test/loss", 1.0, prog_bar=True)


class Untested(Line):
    validation_step = nshtrainer.LightningModuleBase.validation_step
"""
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = enter(tmp_path_factory.mktemp("made"), patch)
        with (folder / "train.py").open("a", encoding="utf-8") as file:
            file.write(MORE)
        assert main(["fit", "train.py:Whole", "--config", "run.yaml", "trainer.max_epochs=2"]) == 0
        return folder


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a run, beside its code."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (folder,) = Path("runs/run").iterdir()
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    yield folder
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before


def loss(checkpoint: Path, value: float) -> Any:
    """The loss of a line at a constant input."""
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    output = torch.full((1, 2), value) @ weights["layer.weight"].T + weights["layer.bias"]
    return pytest.approx(output.square().item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("which", ["best", "last", None])
def test_the_metrics_are_those_of_the_checkpoint(
    run: Path, capsys: Captured, kind: str, which: str | None
) -> None:
    source = "run.yaml" if kind == "file" else str(run)
    checkpoint = run / "checkpoints" / f"{which or 'best'}.ckpt"
    choice = ["--checkpoint", which] if which else []
    command = ["evaluate", "train.py:Whole", "--config", source, *choice]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "checkpoint": str(checkpoint),
        "validation": {"val/loss": loss(checkpoint, 1.0)},
        "test": {"test/loss": loss(checkpoint, 2.0)},
    }
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"checkpoint  {checkpoint}",
        f"validation  val/loss {found['validation']['val/loss']:.4g}",
        f"test        test/loss {found['test']['test/loss']:.4g}",
    ]


def test_without_a_best_checkpoint_the_last_is_used(run: Path, capsys: Captured) -> None:
    shutil.copytree(run, "copy")
    Path("copy/checkpoints/best.ckpt").unlink()
    assert main(["evaluate", "train.py:Line", "--config", "copy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["checkpoint"], len(found)) == ("copy/checkpoints/last.ckpt", 2)
    assert main(["evaluate", "train.py:Line", "--config", "copy", "--checkpoint", "best"]) == 2
    assert "copy: has no best checkpoint; give --checkpoint last" in capsys.readouterr().err


def test_predictions_are_written_as_plain_data(run: Path, capsys: Captured) -> None:
    command = ["predict", "train.py:Whole", "--config", str(run), "data.num_batches=9"]
    assert main([*command, "--out", "p.pt"]) == 0
    checkpoint = run / "checkpoints/best.ckpt"
    said = [f"checkpoint   {checkpoint}", "predictions  p.pt (3 batches)"]
    assert capsys.readouterr().out.splitlines() == said
    found = torch.load("p.pt", weights_only=True)
    assert [set(each) for each in found] == 3 * [{"batch", "of"}]
    assert found[2]["of"].square().item() == loss(checkpoint, 1.0)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("evaluate train.py:Untested --config {}", "Untested: has neither a validation_step with"),
        (
            "predict train.py:Odd --config {} --out p.pt",
            "Odd.predict_step: returns objects",
        ),
        ("evaluate train.py:Twice --config {}", "Lightning refuses this run: You called `self.log"),
        ("predict train.py:Whole --config {} --out no/p.pt", "no/p.pt: cannot be written"),
        (
            "evaluate train.py:Line --config {} --checkpoint x",
            "--checkpoint x: no such file; give",
        ),
        (
            "evaluate train.py:Line --config other.yaml",
            "other.yaml: no checkpoint in runs/other",
        ),
        (
            "evaluate train.py:Line --config {} width=3",
            "{}/checkpoints/best.ckpt: has the weights of another model; use the code",
        ),
    ],
)
def test_a_problem_is_a_line_with_its_remedy(
    run: Path, capsys: Captured, command: str, problem: str
) -> None:
    assert main(command.format(run).split()) == 2
    assert capsys.readouterr().err.startswith(problem.format(run))
    assert not Path("p.pt").exists()


def test_a_batch_size_by_position_is_refused_in_a_line(run: Path, capsys: Captured) -> None:
    code = Path("train.py").read_text(encoding="utf-8")
    code = code.replace("DataLoader(torch.ones(3, 2))", "DataLoader(torch.ones(3, 2), 2)")
    Path("train.py").write_text(code, encoding="utf-8")
    assert main(["predict", "train.py:Whole", "--config", str(run), "--out", "p.pt"]) == 2
    problem = "has arguments by position, where Lightning sets a sampler of its own"
    remedy = "give them by keyword, such as batch_size=512"
    assert capsys.readouterr().err == f"DataLoader: {problem}; {remedy}\n"
