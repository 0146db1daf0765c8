"""What loggers write down of a run, read back from where they wrote it."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from tests.trainers.support import Tiny, TinyConfig, data, trainer

HPARAMS: dict[str, Any] = {
    "optimizer": {
        "name": "adamw",
        "lr": 0.1,
        "groups": [{"name": "head", "select": "layer.bias", "options": {"lr": 0.01}}],
    },
    "lr_scheduler": {"name": "cosine"},
}
PLAIN = TinyConfig.model_validate(HPARAMS).to_dict()
RATES = {"lr-AdamW/head", "lr-AdamW/default"}


def train(logger: Any) -> None:
    options: Any = {"max_epochs": 1, "logger": logger, "log_every_n_steps": 1}
    trainer(callbacks=[LearningRateMonitor("step")], **options).fit(Tiny(HPARAMS), data(4))


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings and lists of mappings as one, with slashes between the keys."""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {path: value}
    parts = [flat(part, f"{path}/{key}" if path else f"{key}") for key, part in value.items()]
    return {key: part for found in parts for key, part in found.items()}


@pytest.mark.parametrize("logger", [CSVLogger, TensorBoardLogger])
def test_the_file_of_the_hyperparameters_makes_the_same_config(tmp_path: Path, logger: Any) -> None:
    log = logger(tmp_path)
    train(log)
    file = Path(log.log_dir) / "hparams.yaml"
    assert yaml.safe_load(file.read_text()) == PLAIN
    assert TinyConfig.from_file(file) == TinyConfig.model_validate(HPARAMS)


def test_csv_has_the_rates_by_the_names_of_the_groups(tmp_path: Path) -> None:
    log = CSVLogger(tmp_path)
    train(log)
    with (Path(log.log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) - {"step", "epoch"} == RATES
    assert float(rows[0]["lr-AdamW/head"]) == 0.01
    assert float(rows[0]["lr-AdamW/default"]) == 0.1


@pytest.mark.filterwarnings("ignore:.*np.*:DeprecationWarning")
def test_tensorboard_has_rates_and_each_hyperparameter_by_its_path(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    log = TensorBoardLogger(tmp_path)
    train(log)
    events = EventAccumulator(log.log_dir)
    events.Reload()
    assert set(events.Tags()["scalars"]) >= RATES
    metadata = events.summary_metadata["_hparams_/session_start_info"]
    written = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert set(written) == set(flat(PLAIN))
    assert written["optimizer/lr"].number_value == 0.1
    assert written["optimizer/groups/0/select"].string_value == "layer.bias"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_mlflow_has_rates_and_each_hyperparameter_by_its_path(tmp_path: Path) -> None:
    long = [f"some.very.long.name.of.a.layer.{number}" for number in range(20)]
    group = {"name": "head", "select": ["layer.bias", *long], "required": False}
    hparams = TinyConfig.model_validate({"optimizer": {"name": "adamw", "groups": [group]}})
    store: Any = {"tracking_uri": f"sqlite:///{tmp_path}/runs.db"}
    log = MLFlowLogger(**store, artifact_location=f"{tmp_path}/artifacts")
    train(log)
    run = log.experiment.get_run(log.run_id).data
    assert run.params == {key: str(value) for key, value in flat(PLAIN).items()}
    assert set(run.metrics) == RATES
    # Lightning cuts a value after 250 characters, and MLflow takes more than 100 in parts.
    other = MLFlowLogger(**store)
    other.log_hyperparams(hparams.to_dict())
    params = other.experiment.get_run(other.run_id).data.params
    assert len(params["optimizer/groups/0/select"]) == 250
    other.experiment.log_dict(other.run_id, hparams.to_dict(), "hparams.yaml")
    (file,) = (tmp_path / "artifacts").rglob("hparams.yaml")
    assert TinyConfig.from_file(file) == hparams


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_wandb_has_rates_and_the_hyperparameters_as_they_are_nested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    for variable in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    train(WandbLogger(save_dir=tmp_path, offline=True))
    wandb.finish()
    wandb.teardown()  # ends the process that writes the file
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    config: dict[str, Any] = {}
    logged: set[str] = set()
    for content in wandb_records(file.read_bytes()):
        record = Record.FromString(content)
        config |= {item.key: json.loads(item.value_json) for item in record.config.update}
        logged |= {item.key or "/".join(item.nested_key) for item in record.history.item}
    assert {key: config[key] for key in PLAIN} == PLAIN
    assert logged >= RATES


def wandb_records(content: bytes, block: int = 32768) -> Iterator[bytes]:
    """The records of a file of W&B, which has the form of a log of LevelDB after 7 bytes."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
        size, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        whole += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in {1, 4}:  # the record is complete: it had one part, or this was the last
            yield whole
            whole = b""
