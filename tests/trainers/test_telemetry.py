"""Telemetry of runs under Lightning: the values reach the loggers at the right steps."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from tests.trainers.support import Tiny, TinyConfig, data, trainer

from nshtrainer import LightningModuleBase, TrainerConfig
from nshtrainer.exceptions import ConfigError

LENGTH = {"max_epochs": 2, "log_every_n_steps": 3}


def logged(folder: Path, module: Any = None, **options: Any) -> list[dict[str, str]]:
    log = CSVLogger(folder)
    trainer(config={"telemetry": options}, logger=log, **LENGTH).fit(module or Tiny(), data(10))
    with (Path(log.log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if any("/skipped" in name and row[name] for name in row)]


@pytest.mark.parametrize(
    ("every", "steps"), [("5 steps", [4, 9, 14, 19]), ("1 epochs", [9, 19]), ("50%", [9, 19])]
)
def test_every_so_many_steps(every: str, steps: list[int], tmp_path: Path) -> None:
    rows = logged(tmp_path, every=every)
    assert [int(row["step"]) for row in rows] == steps
    assert all(float(row["telemetry/0/update_norm"]) > 0 for row in rows)


class Two(LightningModuleBase[TinyConfig]):
    """Two optimizers, stepped by hand."""

    def __init__(self) -> None:
        super().__init__({})
        self.automatic_optimization = False
        self.layers = torch.nn.ModuleList(torch.nn.Linear(2, 1) for _ in range(2))

    def training_step(self, batch: torch.Tensor) -> None:
        for layer, optimizer in zip(self.layers, self.optimizers(), strict=True):  # type: ignore[arg-type]
            optimizer.zero_grad()
            self.manual_backward(layer(batch).square().mean())
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in self.layers]


def test_several_optimizers_are_told_apart(tmp_path: Path) -> None:
    names = {name for row in logged(tmp_path, Two(), every="5 steps") for name in row}
    assert {"telemetry/0/0/lr", "telemetry/1/0/lr"} <= names


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    log = CSVLogger(tmp_path)
    config = {"telemetry": {"every": "2 steps"}, "accumulate_grad_batches": 2}
    trainer(config=config, logger=log, max_epochs=1).fit(Tiny(), data(8))
    with (Path(log.log_dir) / "metrics.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [1, 3]


@pytest.mark.parametrize("options", [{"telemetry": {}}, {"callbacks": ["norm_logging"]}])
def test_without_a_logger_nothing_would_be_logged(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="only logs, and logger is false; remove one of them"):
        TrainerConfig.from_mapping({"logger": False, **options})


def test_nothing_is_left_on_the_optimizer_after_the_run() -> None:
    run = trainer(config={"telemetry": {}}, max_epochs=1)
    module = Tiny()
    run.fit(module, data(4))
    assert not any(
        "Telemetry" in repr(hook)
        for name, hooks in vars(run.optimizers[0]).items()
        if name.endswith("_hooks")
        for hook in hooks.values()
    )
