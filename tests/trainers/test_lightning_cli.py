"""LightningCLI: hyperparameters from files, from the command line and from checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import yaml
from tests.support import CONFIG_CHANGED
from tests.trainers.support import NO_SAVER, QUIET, Rows, TinyConfig
from torch import Tensor
from torch.utils.data import DataLoader

from nshtrainer import Config, LightningCLI, LightningModuleBase, Trainer
from nshtrainer.configs import AdamWConfig, MetricConfig, OptimizerConfig, SGDConfig
from nshtrainer.integrations.lightning.lightning_cli import ConfigArgumentParser

pytestmark = pytest.mark.filterwarnings(
    "ignore:LightningCLI's args parameter is intended to run from within Python:UserWarning",
    "ignore:Checkpoint directory .* exists and is not empty:UserWarning",
    NO_SAVER,
)


class Wide(TinyConfig):
    optimizer: OptimizerConfig = AdamWConfig(lr=0.01)
    width: int = 1


class Net(LightningModuleBase[Wide]):
    """A layer."""

    def __init__(self, hparams: Wide, scale: float = 1.0) -> None:
        super().__init__(hparams)
        self.scale = scale
        self.layer = torch.nn.Linear(2, hparams.width)

    def training_step(self, batch: Tensor) -> Tensor:
        return self.scale * self.layer(batch).square().mean()


class NoiseConfig(Config):
    size: int = 4


class Noise(pl.LightningDataModule):
    def __init__(self, config: NoiseConfig) -> None:
        super().__init__()
        self.config = config

    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(Rows(self.config.size), batch_size=2)


RUN: dict[str, Any] = {
    "seed_everything": False,
    "trainer": {**QUIET, "max_epochs": 1},
    "model": {
        "scale": 0.5,
        "hparams": {"width": 3, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}},
    },
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    # lightning 2.6 calls what jsonargparse 4.53 deprecates.
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RUN))
    return tmp_path


def cli(*arguments: str, model: Any = Net, **options: Any) -> Any:
    return LightningCLI(model, Noise, args=list(arguments), **options)


def fit(*arguments: str) -> Any:
    return cli("fit", "--config=run.yaml", *arguments)


def only_parsed(*arguments: str) -> Any:
    return cli("--config=run.yaml", *arguments, run=False)


# -- what it takes ---------------------------------------------------------------------------------


def test_a_file_of_lightnings_trains() -> None:
    ran = fit()
    assert ran.model.hparams == Wide(width=3, optimizer=SGDConfig(lr=0.1, momentum=0.9))
    assert ran.model.scale == 0.5
    assert type(ran.trainer.optimizers[0]) is torch.optim.SGD
    assert ran.trainer.global_step == 2


OPTIMIZER = "--model.hparams.optimizer"


@pytest.mark.parametrize(
    ("arguments", "optimizer"),
    [
        ((f"{OPTIMIZER}.lr=1e-4",), SGDConfig(lr=1e-4, momentum=0.9)),
        ((f"{OPTIMIZER}.lr", "1e-4"), SGDConfig(lr=1e-4, momentum=0.9)),
        ((f"{OPTIMIZER}.name=adamw", f"{OPTIMIZER}.lr=1e-4"), AdamWConfig(lr=1e-4)),
        ((f"{OPTIMIZER}.lr=1e-4", f"{OPTIMIZER}=adamw"), AdamWConfig(lr=1e-4)),
        (("--model.hparams={optimizer: {name: adamw}}",), AdamWConfig()),
        (("--model.hparams", "{optimizer: {lr: 0.3}}"), SGDConfig(lr=0.3, momentum=0.9)),
    ],
)
def test_the_command_line_wins_over_the_file(arguments: tuple[str, ...], optimizer: Any) -> None:
    assert only_parsed(*arguments).model.hparams == Wide(width=3, optimizer=optimizer)


def test_without_a_file_the_defaults_count() -> None:
    given = (f"{OPTIMIZER}.name=adamw", f"{OPTIMIZER}.lr=1e-4")
    parsed = cli(*given, run=False, seed_everything_default=False)
    assert parsed.model.hparams == Wide(optimizer=AdamWConfig(lr=1e-4))


def test_a_later_file_is_laid_upon_an_earlier_one(folder: Path) -> None:
    (folder / "more.yaml").write_text("model: {hparams: {optimizer: {lr: 0.3}}}")
    (folder / "other.yaml").write_text("model: {hparams: {optimizer: {name: adamw}}}")
    assert only_parsed("--config=more.yaml").model.hparams.optimizer == SGDConfig(
        lr=0.3, momentum=0.9
    )
    assert only_parsed("--config=other.yaml").model.hparams == Wide(
        width=3, optimizer=AdamWConfig()
    )


def test_hyperparameters_can_have_a_file_of_their_own(folder: Path) -> None:
    (folder / "hparams.toml").write_text("width = 7\n")
    assert only_parsed("--model.hparams=hparams.toml").model.hparams.width == 7


def test_a_config_of_the_datamodule_is_one_too() -> None:
    parsed = only_parsed("--data.config.size=6")
    assert parsed.datamodule.config == NoiseConfig(size=6)


def test_the_config_of_our_trainer_is_one_too() -> None:
    metric = "{monitor: loss, mode: min}"
    given = ["--trainer.config.max_epochs=2", f"--trainer.config.primary_metric={metric}"]
    options: Any = {"trainer_class": Trainer, "seed_everything_default": False, "run": False}
    with pytest.warns(UserWarning, match="does not expose the `callbacks` argument"):
        parsed = cli(*given, **options)
    assert parsed.trainer.max_epochs == 2
    assert parsed.trainer.primary_metric == MetricConfig(monitor="loss", mode="min")


def test_arguments_may_be_a_dict() -> None:
    given = {**RUN, "model": {"hparams": {"optimizer": {"name": "adamw", "lr": 0.5}}}}
    parsed = LightningCLI(Net, Noise, args=given, run=False)
    assert parsed.model.hparams.optimizer == AdamWConfig(lr=0.5)


def test_a_module_that_the_arguments_choose_has_its_hyperparameters(folder: Path) -> None:
    path = f"{Net.__module__}.Net"
    sys.modules.setdefault(Net.__module__, sys.modules[__name__])
    chosen = {**RUN, "model": {"class_path": path, "init_args": RUN["model"]}}
    (folder / "chosen.yaml").write_text(yaml.safe_dump(chosen))
    parsed = cli("--config=chosen.yaml", f"{OPTIMIZER}=adamw", model=None, run=False)
    assert parsed.model.hparams == Wide(width=3, optimizer=AdamWConfig())


def test_lightnings_optimizer_has_to_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        only_parsed("--optimizer=SGD")
    assert "--optimizer" in capsys.readouterr().err
    asked = cli("--config=run.yaml", run=False, auto_configure_optimizers=True)
    assert "optimizer" in asked.config


# -- what it writes --------------------------------------------------------------------------------


def test_the_saved_config_is_complete_and_runs_again(folder: Path) -> None:
    first = fit(f"{OPTIMIZER}.name=adamw", f"{OPTIMIZER}.lr=1e-4")
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved["model"]["hparams"] == first.model.hparams.to_dict()
    (folder / "config.yaml").rename("again.yaml")
    assert cli("fit", "--config=again.yaml").model.hparams == first.model.hparams


def test_the_printed_config_can_be_read_back(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        fit(f"{OPTIMIZER}.lr=0.7", "--print_config")
    assert ended.value.code == 0
    (folder / "printed.yaml").write_text(capsys.readouterr().out)
    parsed = cli("fit", "--config=printed.yaml")
    assert parsed.model.hparams == Wide(width=3, optimizer=SGDConfig(lr=0.7, momentum=0.9))


def test_the_help_says_where_the_optimizers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fit("--help")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--model.hparams.KEY=VALUE" in text
    assert "`nshtrainer list optimizer`" in text


# -- checkpoints -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings(CONFIG_CHANGED)
def test_a_checkpoint_wins_over_the_file_and_the_command_line_over_both(folder: Path) -> None:
    first = fit(f"{OPTIMIZER}.lr=0.7")
    first.trainer.save_checkpoint("last.ckpt")
    (folder / "config.yaml").unlink()
    again = fit("--ckpt_path=last.ckpt", "--trainer.max_epochs=2", "--model.hparams.width=3")
    assert again.model.hparams == first.model.hparams
    assert again.trainer.global_step == 4
    (folder / "config.yaml").unlink()
    other = fit("--ckpt_path=last.ckpt", "--trainer.max_epochs=2", f"{OPTIMIZER}.lr=0.2")
    assert other.model.hparams_initial["optimizer"]["lr"] == 0.2
    # The resume policy keeps the rate of the checkpoint, and the hyperparameters say so.
    assert other.model.hparams.optimizer == SGDConfig(lr=0.7, momentum=0.9)
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved["model"]["hparams"]["optimizer"]["lr"] == 0.2


# -- what is wrong ---------------------------------------------------------------------------------

KEY = "model.hparams.optimizer"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (f"{KEY}.name=admw", f"{KEY}.name: unknown optimizer 'admw'; did you mean 'adamw'?"),
        (f"{KEY}.momentun=1", f"{KEY}.momentun: unknown key 'momentun'; did you mean 'momentum'?"),
        (f"{KEY}.lr=-1", f"{KEY}.lr: must be >= 0 (got -1)"),
        (f"{KEY}.lr=fast", f"{KEY}.lr: must be a number (got 'fast')"),
        (f"{KEY}.lr", f"{KEY}.lr: is not an override; write 'path.to.key=value'"),
        (f"{KEY}.class_path=this.Zen", f"{KEY}.class_path: unknown key 'class_path'"),
        ("model.hparams={width: wide}", "model.hparams.width: must be a whole number (got 'wide')"),
        ("model.hparams=3", "model.hparams: must be a mapping or a file with one (got 3)"),
        ("model.hparams={width: 3", "model.hparams:1:"),
        ("model.hparams=none.yaml", "none.yaml: no such file"),
        ("data.config.size=few", "data.config.size: must be a whole number (got 'few')"),
    ],
)
def test_what_is_wrong_is_named_with_exit_code_2(
    argument: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        fit(f"--{argument}")
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert "this" not in sys.modules


def test_a_file_is_checked_as_the_command_line_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optimizer = {"name": "adamw", "class_path": "this.Zen", "lr": -1.0}
    (folder / "wrong.yaml").write_text(
        yaml.safe_dump({"model": {"hparams": {"optimizer": optimizer}}})
    )
    with pytest.raises(SystemExit) as ended:
        cli("fit", "--config=wrong.yaml")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"{KEY}.class_path: unknown key 'class_path'" in said
    assert f"{KEY}.lr: must be >= 0 (got -1.0)" in said
    assert "this" not in sys.modules


def test_another_class_of_parser_is_refused() -> None:
    from lightning.pytorch.cli import LightningArgumentParser

    assert issubclass(ConfigArgumentParser, LightningArgumentParser)
    with pytest.raises(TypeError, match=r"derive it from .*ConfigArgumentParser"):
        cli("--config=run.yaml", run=False, parser_class=LightningArgumentParser)


def test_without_jsonargparse_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nshtrainer.integrations.lightning.lightning_cli")
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'nshtrainer\[lightning-cli\]'"):
        import_module("nshtrainer.integrations.lightning.lightning_cli")
