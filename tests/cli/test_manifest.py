"""What a run's folder records: each start with its config, its code and its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.cli.support import MID_EPOCH, only_run, start

from nshtrainer.cli import main
from nshtrainer.exceptions import ConfigError
from nshtrainer.manifest import config_hash
from nshtrainer.runs.listing import read_run_folder
from nshtrainer.runs.run_dir import choose_folder

FIT = ["fit", "train.py", "--config", "run.yaml", "--out", "o"]
ONE = "trainer.max_epochs=1"


def manifest(folder: str = "o") -> dict[str, Any]:
    return json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))


def stretches(folder: str = "o") -> list[dict[str, Any]]:
    return manifest(folder)["stretches"]


def yaml(path: str) -> Any:
    return YAML(typ="safe").load(Path(path))


def test_a_run_records_what_it_ran_with(home: Path) -> None:
    assert main([*FIT, ONE, "optimizer.lr=0.25"]) == 0
    (stretch,) = stretches()
    assert (stretch["config_file"], stretch["code"]) == ("run.yaml", "train.py:Line")
    assert (stretch["outcome"], stretch["error"], stretch["seed"]) == ("completed", None, 0)
    assert (stretch["first_step"], stretch["steps"], stretch["checkpoint"]) == (0, 4, None)
    assert stretch["lengths"] == {"total_steps": 4, "steps_per_epoch": 4, "schedule_steps": 4}
    assert stretch["metrics"].keys() == {"rate", "val/loss"}
    assert stretch["best"] == {"val/loss": stretch["metrics"]["val/loss"]}
    assert {"torch", "lightning", "pydantic", "nshtrainer"} <= stretch["versions"].keys()
    assert stretch["devices"]["type"] == "cpu"
    config = manifest()["configs"][stretch["config"]]
    assert config_hash(config) == stretch["config"]
    assert config["model"]["optimizer"]["lr"] == 0.25
    assert config == yaml("o/config.yaml")


def test_a_resume_that_keeps_values_says_what_was_run(home: Path) -> None:
    assert main([*FIT, ONE, "optimizer.lr=0.003"]) == 0
    assert (
        main([*FIT, "--resume", "optimizer.lr=0.02", "lr_scheduler.warmup_duration=1 steps"]) == 0
    )
    first, second = stretches()
    configs = manifest()["configs"]
    for path in ("o/hparams.yaml", "o/tensorboard/hparams.yaml"):
        assert yaml(path)["optimizer"]["lr"] == 0.003
        assert yaml(path)["lr_scheduler"]["warmup_duration"]["value"] == 2
    model = yaml("o/config.yaml")["model"]
    assert model["optimizer"]["lr"] == 0.003
    assert model == configs[first["config"]]["model"] == configs[second["config"]]["model"]
    text = Path("o/config.yaml").read_text(encoding="utf-8")
    kept = "# Kept from the checkpoint (-> the value in the run file): model.optimizer.lr 0.003 -> "
    assert f"{kept}0.02, model.lr_scheduler.warmup_duration 2 steps -> 1 steps\n" in text
    assert (second["first_step"], second["steps"]) == (4, 12)
    assert second["checkpoint"] == "o/checkpoints/last.ckpt"
    assert second["lengths"]["schedule_steps"] == 4  # kept, too
    assert main(["validate", "o/config.yaml", "--for", "train.py"]) == 0


@pytest.mark.slow
def test_a_resume_with_nothing_left_to_train_leaves_the_hyperparameters(home: Path) -> None:
    assert main([*FIT, ONE, "optimizer.lr=0.003"]) == 0
    assert main([*FIT, ONE, "--resume", "optimizer.lr=0.02"]) == 0
    for path in ("o/hparams.yaml", "o/tensorboard/hparams.yaml"):
        assert yaml(path)["optimizer"]["lr"] == 0.003


def test_what_a_resume_takes_from_the_file_is_recorded_for_its_stretch(home: Path) -> None:
    assert main([*FIT, ONE, "optimizer.lr=0.003"]) == 0
    policy = ["trainer.resume.policy=override", "trainer.resume.fields=[lr]"]
    assert main([*FIT, "--resume", "optimizer.lr=0.02", *policy]) == 0
    configs = manifest()["configs"]
    rates = [configs[each["config"]]["model"]["optimizer"]["lr"] for each in stretches()]
    assert rates == [0.003, 0.02]
    for path in ("o/hparams.yaml", "o/tensorboard/hparams.yaml"):
        assert yaml(path)["optimizer"]["lr"] == 0.02


def test_a_resume_that_fails_before_it_trains_leaves_the_record(home: Path) -> None:
    assert main([*FIT, ONE]) == 0
    before = Path("o/config.yaml").read_bytes(), stretches()
    assert main([*FIT, "--resume", "width=3"]) == 2
    assert main([*FIT, "--resume", ONE]) == 0  # there is nothing left to train
    assert (Path("o/config.yaml").read_bytes(), stretches()) == before


def edited(old: str, new: str) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    Path("train.py").write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.filterwarnings(MID_EPOCH)
@pytest.mark.parametrize(
    ("raised", "outcome", "error"),
    [
        ("ValueError('no\\x1b')", "failed", r"ValueError: no\x1b"),
        pytest.param("KeyError()", "failed", "KeyError", marks=pytest.mark.slow),
        ("KeyboardInterrupt", "interrupted", None),
    ],
)
def test_the_end_of_a_run_is_recorded(
    home: Path, raised: str, outcome: str, error: str | None
) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    edited('stop("train"', f"if self.global_step == 5: raise {raised}\n        stop(0")
    with pytest.raises((ValueError, KeyError, SystemExit, KeyboardInterrupt)):
        main(FIT)
    (stretch,) = stretches()
    assert (stretch["outcome"], stretch["error"]) == (outcome, error)
    assert stretch["ended"] is not None
    Path("train.py").write_text(text, encoding="utf-8")
    assert main([*FIT, "--resume", "auto"]) == 0
    assert [each["outcome"] for each in stretches()] == [outcome, "completed"]


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
@pytest.mark.parametrize("hook", ["def setup(self, stage):", "def val_dataloader(self):"])
def test_a_run_that_fails_at_once_is_recorded(home: Path, hook: str) -> None:
    data = "class Noise(LightningDataModule):"
    edited(data, f"{data}\n    {hook}\n        1 / 0\n")
    edited(
        "\n    def val_dataloader(self):\n        return", "\n    def old(self):\n        return"
    )
    with pytest.raises(ZeroDivisionError):
        main(FIT)
    (stretch,) = stretches()
    assert (stretch["outcome"], stretch["steps"]) == ("failed", 0)
    assert yaml("o/config.yaml")["model"]["optimizer"]["lr"] == 0.1


def test_a_signal_interrupts_the_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOP", "SIGINT train 5")
    assert main(FIT) == 130
    (stretch,) = stretches()
    assert (stretch["outcome"], stretch["steps"], stretch["error"]) == ("interrupted", 6, None)


@pytest.mark.slow
def test_a_damaged_manifest_does_not_stop_a_resume(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, ONE]) == 0
    path = Path("o/manifest.json")
    path.write_bytes(b"\0" * 100)
    assert main([*FIT, "--resume"]) == 0
    assert "; it is renamed to manifest.json.old\n" in capsys.readouterr().out
    assert [each["first_step"] for each in stretches()] == [4]


def test_a_trial_run_has_no_manifest(home: Path) -> None:
    assert main([*FIT, "trainer.fast_dev_run=true", "lr_scheduler=null"]) == 0
    assert not Path("o").exists()


@pytest.mark.slow
def test_a_killed_run_is_seen_to_be_killed(home: Path) -> None:
    assert start(*FIT, STOP="SIGKILL train 6").returncode == -9
    (stretch,) = stretches()
    assert (stretch["outcome"], stretch["steps"]) == ("running", 4)
    run = read_run_folder(Path("o"))
    assert run.outcome == "killed"
    assert run.seconds is not None


@pytest.mark.slow
def test_of_two_processes_the_first_records_the_run(home: Path) -> None:
    two = ["trainer.devices=2", "trainer.strategy=ddp"]
    assert start(*FIT[:-2], *two, GLOO_SOCKET_IFNAME="lo").returncode == 0
    (stretch,) = stretches(str(only_run()))
    assert (stretch["outcome"], stretch["devices"]["processes"]) == ("completed", 2)


def test_tables_of_an_earlier_run_without_a_checkpoint_are_set_aside(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("o").mkdir()
    for name in ("metrics", "schedule"):
        Path(f"o/{name}.csv").write_text("step,rate\n0,9\n", encoding="utf-8")
    assert main([*FIT, ONE]) == 0
    said = capsys.readouterr().out
    for name in ("metrics", "schedule"):
        text = f"o/{name}.csv: belongs to an earlier run; it is renamed to {name}.csv.old\n"
        assert text in said
        rows = Path(f"o/{name}.csv").read_text(encoding="utf-8").splitlines()
        assert not any(row.startswith("0,9") for row in rows)


def test_a_folder_that_another_process_has_filled_meanwhile_is_refused(home: Path) -> None:
    folder = choose_folder(Path("run.yaml"), Path("o"), "auto").folder
    assert main([*FIT, ONE]) == 0
    with folder.claimed().held(), pytest.raises(ConfigError, match=r"already contains a run"):
        folder.prepare(resumes=False)


# -- whose checkpoint a run resumes from -----------------------------------------------------------


@pytest.fixture
def experiments(home: Path) -> list[list[str]]:
    """Two run files of one name, in folders of their own."""
    for name in ("exp1", "exp2"):
        Path(name).mkdir()
        Path(name, "run.yaml").write_text(Path("run.yaml").read_text("utf-8"), encoding="utf-8")
    return [["fit", "train.py", "--config", f"{name}/run.yaml"] for name in ("exp1", "exp2")]


Captured = pytest.CaptureFixture[str]
OTHER = "belongs to exp1/run.yaml, not exp2/run.yaml; to resume from it, give its path"


def test_a_run_file_of_the_same_name_is_another_experiment(
    experiments: list[list[str]], capsys: Captured
) -> None:
    one, two = experiments
    assert main([*one, ONE]) == 0
    first = only_run()
    for resume in ([], ["last"]):
        assert main([*two, "--resume", *resume]) == 2
        said = capsys.readouterr().err
        text = f"no checkpoint in runs/run of this run file and module ({first}: {OTHER}); start "
        assert text in said
    assert main([*two, "--resume", "auto", ONE]) == 0
    assert f"skipped {first}: {OTHER}\n" in capsys.readouterr().out
    (second,) = set(Path("runs/run").iterdir()) - {first}
    # Each finds its own, whichever was started last.
    for command, folder in ((one, first), (two, second), (one, first)):
        assert main([*command, "--resume", ONE]) == 0
        assert f"resuming from {folder}/checkpoints/last.ckpt (step 4" in capsys.readouterr().out


def test_another_class_is_another_experiment(home: Path, capsys: Captured) -> None:
    run = ["fit", "train.py", "--config", "run.yaml"]
    assert main([*run, ONE]) == 0
    first = only_run()
    edited("class Line(", "class Curve(")
    assert main([*run, "--resume"]) == 2
    other = "belongs to train.py:Line, not train.py:Curve; to resume from it, give its path"
    assert f"({first}: {other})" in capsys.readouterr().err


@pytest.mark.slow
def test_a_given_checkpoint_of_another_experiment_is_named(
    experiments: list[list[str]], capsys: Captured
) -> None:
    one, two = experiments
    assert main([*one, ONE]) == 0
    first = only_run()
    for given in (str(first), str(first / "checkpoints" / "best.ckpt")):
        assert main([*two, "--resume", given, ONE]) == 0
        text = "the checkpoint belongs to exp1/run.yaml, not exp2/run.yaml\n"
        assert text in capsys.readouterr().out
    assert main([*two, "--resume", str(first), "trainer.max_epochs=2"]) == 0
    capsys.readouterr()
    assert main([*two, "--resume", "trainer.max_epochs=2"]) == 0  # it is its own now
    assert "belongs" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_moved_project_and_a_run_without_a_record_are_known(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ["fit", "train.py", "--config", "run.yaml"]
    assert main([*run, ONE]) == 0
    moved = tmp_path_factory.mktemp("moved") / "project"
    home.rename(moved)
    monkeypatch.chdir(moved)
    assert main([*run, "--resume", "trainer.max_epochs=2"]) == 0
    (only_run() / "manifest.json").unlink()
    assert main([*run, "--resume"]) == 0
    assert [each["first_step"] for each in stretches(str(only_run()))] == [8]
