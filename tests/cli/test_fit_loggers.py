"""Loggers of a run, as `nshtrainer fit` and `explain` take them from the config."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.support import rates
from tests.trainers.test_loggers import wandb_records

from nshtrainer.cli import main
from nshtrainer.loggers import logger_registry

FIT = ["fit", "train.py", "--config", "run.yaml", "--out", "o", "trainer.max_epochs=1"]
HPARAMS = {"optimizer/lr": "0.1", "lr_scheduler/name": "linear_warmup_cosine_decay"}
every_service = pytest.mark.parametrize("name", ["wandb", "mlflow"])


def files(folder: str = "o") -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_without_a_logger_there_is_no_table(home: Path) -> None:
    assert main([*FIT, "trainer.logger=false"]) == 0
    assert not {"metrics.csv", "tensorboard"} & files()


def test_a_csv_logger_is_the_table_of_the_run(home: Path) -> None:
    assert main([*FIT, "trainer.logger=csv", "trainer.logger.prefix=a"]) == 0
    assert "metrics.csv" in files()
    assert not {"tensorboard", "lightning_logs"} & files()
    with Path("o/metrics.csv").open(encoding="utf-8") as file:
        assert {"a-rate", "a-val/loss", "step"} <= set(next(csv.reader(file)))


def test_loggers_with_a_place_of_their_own_are_beside_the_table(home: Path) -> None:
    loggers = "[{name: csv, experiment_name: mine, version: 3}, {name: csv, save_dir: other}]"
    assert main([*FIT, f"trainer.logger={loggers}"]) == 0
    table = Path("o/metrics.csv").read_text(encoding="utf-8")
    assert Path("o/mine/version_3/metrics.csv").read_text(encoding="utf-8") == table
    assert Path("other/lightning_logs/version_0/metrics.csv").is_file()


def test_event_files_are_in_a_folder_of_the_run(home: Path) -> None:
    assert main([*FIT, "trainer.logger=tensorboard", "trainer.logger.filename_suffix=.x"]) == 0
    assert {"metrics.csv", "tensorboard"} <= files()
    assert any(name.endswith(".x") for name in files("o/tensorboard"))


def test_the_first_logger_is_that_of_the_module(home: Path) -> None:
    code = Path("train.py").read_text(encoding="utf-8")
    own = "\n    def on_fit_start(self):\n        assert 'TensorBoard' in str(self.logger)\n"
    code = code.replace("\n\nclass Noise", f"{own}\n\nclass Noise")
    Path("train.py").write_text(code, encoding="utf-8")
    assert main([*FIT, "trainer.logger=tensorboard"]) == 0


OWN = '''
from lightning.pytorch.loggers.logger import DummyLogger
from nshtrainer.loggers import LoggerConfigBase, logger_registry
from typing import Literal
from pathlib import Path

class Written(DummyLogger):
    def log_metrics(self, metrics, step=None):
        with Path("written").open("a") as file:
            file.write(f"{sorted(metrics)}\\n")

@logger_registry.register
class WrittenConfig(LoggerConfigBase):
    """Write to a file."""
    name: Literal["written"] = "written"
    def create_logger(self, save_dir):
        Path("created").write_text(str(save_dir))
        return Written()
'''


@pytest.fixture(autouse=True)
def _registered_here() -> Iterator[None]:
    with logger_registry.scoped():
        yield


def with_own() -> None:
    code = Path("train.py").read_text(encoding="utf-8")
    Path("train.py").write_text(f"{code}\n{OWN}", encoding="utf-8")


def test_a_logger_of_ones_own_is_named_like_any_other(home: Path) -> None:
    with_own()
    assert main([*FIT, "trainer.logger=[written, csv]"]) == 0
    assert Path("created").read_text(encoding="utf-8") == "o"
    assert "'val/loss'" in Path("written").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command",
    [
        ["explain", "train.py", "--config", "run.yaml", "--steps-per-epoch", "4"],
        ["validate", "run.yaml", "--for", "train.py"],
        ["fit", "train.py", "--config", "run.yaml", "trainer.fast_dev_run=3"],
    ],
)
def test_a_run_that_is_only_tried_creates_no_logger(home: Path, command: list[str]) -> None:
    with_own()
    text = Path("run.yaml").read_text(encoding="utf-8")
    callbacks = "[learning_rate_monitor, early_stopping, model_checkpoint, rich_progress_bar]"
    more = f"  logger: [written, wandb, mlflow]\n  callbacks: {callbacks}\n"
    Path("run.yaml").write_text(text + more, encoding="utf-8")
    before = {path.name for path in Path().iterdir()} | {"__pycache__"}
    assert main(command) == 0
    assert {path.name for path in Path().iterdir()} <= before


# -- services --------------------------------------------------------------------------------------


@pytest.fixture
def _offline(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def of_wandb() -> tuple[set[str], dict[str, Any], set[int]]:
    """The identities of the runs, their hyperparameters, and the steps with a rate."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, Any] = {}
    steps: set[int] = set()
    paths = [*Path("o/wandb").glob("offline-run-*/*.wandb")]
    for path in paths:
        for content in wandb_records(path.read_bytes()):
            record = Record.FromString(content)
            found |= {item.key: json.loads(item.value_json) for item in record.config.update}
            row = {each.key or each.nested_key[0]: each for each in record.history.item}
            if "rate" in row:
                steps.add(int(json.loads(row["trainer/global_step"].value_json)))
    hparams = {
        key: str(found[first][second]) for key in HPARAMS for first, second in [key.split("/")]
    }
    return {path.stem.removeprefix("run-") for path in paths}, hparams, steps


def of_mlflow() -> tuple[set[str], dict[str, Any], set[int]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{Path('o/mlflow.db').absolute()}")
    (experiment,) = client.search_experiments(filter_string="name = 'lightning_logs'")
    (run,) = client.search_runs([experiment.experiment_id])
    steps = {each.step for each in client.get_metric_history(run.info.run_id, "rate")}
    hparams = {key: run.data.params[key] for key in HPARAMS}
    return {run.info.run_id}, hparams, steps


@pytest.mark.slow
@every_service
@pytest.mark.usefixtures("_offline")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_resumed_run_goes_on_at_a_service(name: str) -> None:
    fixed = "lr_scheduler.max_duration=12 steps"
    logger = f"trainer.logger=[csv, {name}]"
    assert main([*FIT, logger, fixed]) == 0
    assert main([*FIT[:-1], logger, fixed, "--resume", "last"]) == 0
    identities, hparams, steps = of_wandb() if name == "wandb" else of_mlflow()
    known = json.loads(Path("o/.loggers.json").read_text("utf-8"))
    assert [known] == [{f"{name} 0": each} for each in identities]
    assert hparams == HPARAMS
    assert steps == set(range(12)) == set(rates(Path("o")))


@pytest.mark.slow
@pytest.mark.usefixtures("_offline")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_two_runs_of_one_process_are_two_runs_of_wandb(capfd: Any) -> None:
    for folder in ("a", "b"):
        assert main([*FIT[:5], folder, FIT[-1], "trainer.logger=wandb"]) == 0
    ids = [json.loads(Path(f"{each}/.loggers.json").read_text("utf-8")) for each in "ab"]
    assert ids[0] != ids[1]
    assert yaml.safe_load(Path("a/hparams.yaml").read_text("utf-8"))["optimizer"]["lr"] == 0.1


def test_a_service_that_cannot_be_used_is_a_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning.pytorch.loggers import WandbLogger

    def experiment(logger: WandbLogger) -> None:
        raise OSError("no API key")

    monkeypatch.setattr(WandbLogger, "experiment", property(experiment))
    assert main([*FIT, "trainer.logger=wandb"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "trainer.logger: wandb cannot start a run: no API key; correct that, or remove the logger\n"
    )


@pytest.mark.parametrize("damage", ["[", "[]", '"x"'])
def test_identities_that_cannot_be_read_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    from nshtrainer.configs import WandbLoggerConfig
    from nshtrainer.runs.metrics import RunLoggers

    (tmp_path / ".loggers.json").write_text(damage, encoding="utf-8")
    own = RunLoggers(tmp_path, WandbLoggerConfig(offline=True))
    assert [type(each).__name__ for each in own.loggers] == ["WandbLogger", "_RunCSVLogger"]
    assert ".loggers.json: cannot be read" in capsys.readouterr().out
