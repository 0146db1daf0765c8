"""`nshtrainer.load_run` and `nshtrainer.fit`: what the command line does, from Python."""

from __future__ import annotations

import os
import runpy
import signal
import threading
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from omegaconf import OmegaConf
from tests.cli.support import MID_EPOCH, only_run, rates
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer import LightningModuleBase
from nshtrainer.cli import main
from nshtrainer.configs import AdamWConfig, OptimizerConfig, SGDConfig
from nshtrainer.exceptions import BadUpdateError, ConfigError, NshtrainerError
from nshtrainer.optimizer.custom import CustomOptimizerConfig
from nshtrainer.runs.run_dir import run_name

SHORT = ["trainer.max_epochs=1"]
TRAINER: dict[str, Any] = {"max_epochs": 1, "accelerator": "cpu", "enable_checkpointing": False}


class Options(nshtrainer.Config):
    optimizer: OptimizerConfig = AdamWConfig(lr=0.1)


class Model(LightningModuleBase[Options]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).square().mean()


class Ones(pl.LightningDataModule):
    def __init__(self, rows: int = 3, value: float = 1.0) -> None:
        super().__init__()
        self.rows = torch.full((rows, 2), value)

    def train_dataloader(self) -> Any:
        return DataLoader(self.rows)


# -- load_run --------------------------------------------------------------------------------------


def test_the_folder_of_a_run_names_its_class_among_several(home: Path) -> None:
    more = "\n\nclass Other(Line):\n    pass\n"
    (home / "train.py").write_text((home / "train.py").read_text() + more)
    result = nshtrainer.fit("train.py:Other", "run.yaml", overrides=SHORT)
    assert result.folder is not None
    assert type(nshtrainer.load_run(result.folder).module()).__name__ == "Other"


def test_a_run_file_gives_the_parts_of_its_run(home: Path) -> None:
    run = nshtrainer.load_run("run.yaml", overrides=["optimizer.lr=0.5", "data.num_batches=3"])
    assert run.config.model.optimizer == AdamWConfig(lr=0.5)
    trainer, module, data = run.trainer(logger=False, max_epochs=2), run.module(), run.data()
    assert (type(module).__name__, type(data).__name__) == ("Line", "Noise")
    assert (trainer.max_epochs, trainer.config) == (2, run.config.trainer)
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == 6


def test_the_folder_of_a_run_gives_its_config_and_code(home: Path) -> None:
    assert main(["fit", "train.py", "--config", "run.yaml", "optimizer.lr=0.3", *SHORT]) == 0
    run = nshtrainer.load_run(only_run())
    assert run.config.model.optimizer.lr == 0.3
    assert type(run.module()).__name__ == "Line"
    assert run.code.path
    assert run.code.path.samefile("train.py")
    result = nshtrainer.fit(run, overrides=["optimizer.lr=0.4"])
    assert result.folder is not None
    assert result.folder.parent == Path("runs/run")


def test_a_run_from_the_folder_of_a_run_is_named_by_the_run_file(home: Path) -> None:
    assert main(["fit", "train.py", "--config", "run.yaml", *SHORT, "--out", "rr"]) == 0
    assert nshtrainer.load_run("rr").source == Path("run.yaml")
    assert main(["fit", "train.py", "--config", "rr"]) == 0
    again = only_run()
    assert nshtrainer.load_run(again).source == Path("run.yaml")
    Path("rr/manifest.json").write_text("{", encoding="utf-8")
    assert run_name(Path("rr")) == home.name


def test_the_code_of_a_file_is_train_py_beside_it_or_has_to_be_named(home: Path) -> None:
    Path("other").mkdir()
    file = Path("run.yaml").rename("other/run.yaml")
    with pytest.raises(ConfigError, match=r"is unknown: there is no other/train.py; pass code"):
        nshtrainer.load_run(file)
    assert nshtrainer.load_run(file, "train.py:Line").code.path == Path("train.py")
    with pytest.raises(ConfigError, match=r"without a file needs its code; pass code="):
        nshtrainer.load_run({"trainer": {}})


def test_a_program_is_not_run_again_for_the_code_of_its_own_runs(home: Path) -> None:
    program = (
        f"{Path('train.py').read_text(encoding='utf-8')}\n"
        "config = {'trainer': {'max_epochs': 1, 'accelerator': 'cpu', 'log_every_n_steps': 1}}\n"
        "result = nshtrainer.fit(Line, config)\n"
        "assert nshtrainer.load_run(result.folder, Line).module().hparams.width == 2\n"
        "nshtrainer.load_run(result.folder)\n"
    )
    Path("sweep.py").write_text(program, encoding="utf-8")
    with pytest.raises(ConfigError, match="its code is the running program, which would run again"):
        runpy.run_path("sweep.py", run_name="__main__")
    assert len(list(Path("runs/sweep").iterdir())) == 1


def test_classes_and_mappings_need_no_file() -> None:
    run = nshtrainer.load_run({"trainer": TRAINER, "data": {"rows": 2}}, Model, data=Ones)
    assert run.config.model == Options()
    again = nshtrainer.load_run(run, overrides=["optimizer=sgd", "optimizer.lr=1e-3"])
    assert again.config.model == Options(optimizer=SGDConfig(lr=1e-3))
    assert again.config.data == run.config.data
    same = nshtrainer.load_run(again.config, Model, data=Ones)
    assert same.config.to_dict() == again.config.to_dict()


def test_containers_of_omegaconf_are_mappings() -> None:
    sections = {
        "model": {"optimizer": {"name": "sgd", "lr": "${data.value}"}},
        "data": {"value": 0.3},
    }
    config: Any = OmegaConf.create(sections)
    run = nshtrainer.load_run(config, Model, data=Ones, overrides=["optimizer.momentum=0.5"])
    assert run.config.model.optimizer == SGDConfig(lr=0.3, momentum=0.5)


def test_a_config_object_of_python_alone_is_kept() -> None:
    custom = Options(optimizer=CustomOptimizerConfig(torch.optim.SGD, lr=0.1))
    assert nshtrainer.load_run({"model": custom}, Model, data=Ones).config.model is custom


def test_a_config_is_validated_again_for_code_that_is_imported_again(home: Path) -> None:
    run = nshtrainer.load_run("run.yaml")
    other = nshtrainer.load_run(run, "train.py")
    assert type(other.config.model) is not type(run.config.model)
    assert other.config.to_dict() == run.config.to_dict()


@pytest.mark.parametrize("wrong", [pl.LightningModule, int])
def test_another_class_is_refused_with_advice(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="is not a LightningModuleBase; add `class MyModel"):
        nshtrainer.load_run({}, wrong)


ORDER = "is Python code; the run file comes"
MISTAKES: list[tuple[Any, str]] = [
    (lambda: nshtrainer.fit("run.yaml", "train.py"), f"^train.py: {ORDER} second: fit"),
    (lambda: nshtrainer.fit("run.yaml", Path("train.py")), f"^train.py: {ORDER} second: fit"),
    (lambda: nshtrainer.load_run("train.py"), f"^train.py: {ORDER} first: load_run"),
    (lambda: nshtrainer.load_run("train.py:Line", "run.yaml"), f"^train.py:Line: {ORDER} first"),
    (
        lambda: nshtrainer.fit(Model(Options()), {}),  # pyright: ignore[reportArgumentType]
        "^Model: is given as an object; give the class Model, or 'train.py'$",
    ),
    (
        lambda: nshtrainer.fit(Model, nshtrainer.TrainerConfig()),  # pyright: ignore[reportArgumentType]
        '^TrainerConfig: is one section of a config; give {"trainer": config}$',
    ),
    (
        lambda: nshtrainer.load_run(Options(), Model),  # pyright: ignore[reportArgumentType]
        '^Options: is one section of a config; give {"model": config}$',
    ),
]


def test_the_config_of_a_run_is_no_section_of_one() -> None:
    class Bare(LightningModuleBase[nshtrainer.Config]):
        pass

    config = nshtrainer.load_run({"trainer": TRAINER}, Bare, data=Ones).config
    assert nshtrainer.load_run(config, Bare, data=Ones).config.to_dict() == config.to_dict()


@pytest.mark.parametrize(("call", "message"), MISTAKES)
def test_arguments_in_the_wrong_place_are_errors_with_the_call(
    home: Path, call: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


# -- fit -------------------------------------------------------------------------------------------


def test_a_sweep_has_a_folder_and_a_result_for_each_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "train.py", "--config", "run.yaml", *SHORT, "--out", "first"]) == 0
    said = capsys.readouterr().out
    results = [
        nshtrainer.fit("train.py", "run.yaml", overrides=[*SHORT, f"optimizer.lr={lr}"], out=out)
        for lr, out in ((0.1, "same"), (0.2, "other"))
    ]
    out = capsys.readouterr().out
    assert out.startswith(said.replace("first", "same").partition("trained")[0])
    assert len(out.splitlines()) == 2 * len(said.splitlines())
    same, other = results
    assert rates(Path("same")) == rates(Path("first")) != rates(Path("other"))
    assert (same.folder, same.completed) == (Path("same"), True)
    assert (same.last, same.best) == (
        Path("same/checkpoints/last.ckpt"),
        Path("same/checkpoints/best.ckpt"),
    )
    assert same.trainer.global_step == 4
    assert set(same.metrics) == {"rate", "val/loss"}
    assert same.metrics["val/loss"] != other.metrics["val/loss"]


def test_a_run_resumes_from_python(home: Path, whole: dict[int, float]) -> None:
    fixed = "lr_scheduler.max_duration=12 steps"
    assert nshtrainer.fit("train.py", "run.yaml", overrides=[*SHORT, fixed]).completed
    result = nshtrainer.fit("train.py", Path("run.yaml"), overrides=[fixed], resume="last")
    assert result.folder == only_run()
    assert rates(only_run()) == whole


def test_it_works_in_a_thread_beside_another(home: Path) -> None:
    results: list[Any] = []

    def run(value: float) -> None:
        config = {"trainer": TRAINER, "data": {"value": value}}
        results.append(nshtrainer.fit(Model, config, data=Ones))

    threads = [threading.Thread(target=run, args=(value,)) for value in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.completed for result in results] == [True, True]
    assert len({result.folder for result in results}) == 2


@pytest.mark.filterwarnings(MID_EPOCH)
def test_an_interrupted_run_is_not_completed_and_says_how_to_resume(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOP", "SIGINT train 5")
    before = signal.getsignal(signal.SIGINT)
    result = nshtrainer.fit("train.py", "run.yaml")
    assert signal.getsignal(signal.SIGINT) is before
    assert (result.completed, result.trainer.global_step) == (False, 6)
    call = f"nshtrainer.fit('train.py', 'run.yaml', resume='{result.last}')"
    assert f"to resume: {call} with the same arguments\n" in capsys.readouterr().out
    monkeypatch.delenv("STOP")
    assert nshtrainer.fit("train.py", "run.yaml", resume=result.last).completed


def test_a_signal_before_there_is_a_trainer_is_a_keyboard_interrupt(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("nshtrainer.runs.job.TrainingRun._say_where_from", stop)
    with pytest.raises(KeyboardInterrupt):
        nshtrainer.fit("train.py", "run.yaml")


def test_a_trial_run_has_no_folder(home: Path) -> None:
    result = nshtrainer.fit("train.py", "run.yaml", overrides=["trainer.fast_dev_run=3"])
    assert (result.folder, result.last, result.best) == (None, None, None)
    assert not Path("runs").exists()


def test_errors_are_those_of_the_command_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run.yaml").write_text("model: {optimizer: {name: adamw, lrr: 1}}", encoding="utf-8")
    assert main(["fit", "train.py", "--config", "run.yaml"]) == 2
    error = capsys.readouterr().err
    with pytest.raises(NshtrainerError) as raised:
        nshtrainer.fit("train.py", "run.yaml")
    assert f"{raised.value}\n" == error
    with pytest.raises(TypeError, match=r"fit\(\) needs a config"):
        nshtrainer.fit("train.py")


def test_a_bad_update_is_raised(home: Path) -> None:
    config = {"trainer": TRAINER, "data": {"value": float("nan")}}
    with pytest.raises(BadUpdateError):
        nshtrainer.fit(Model, config, data=Ones)
