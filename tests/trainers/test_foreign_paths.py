"""A checkpoint does not decide which files outside the folder of its run are deleted."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable
from inspect import isclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import lightning.pytorch.callbacks
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, SpikeDetection
from tests.trainers.support import Tiny, data, trainer
from torch import Tensor

import nshtrainer
from nshtrainer.exceptions import CheckpointWarning
from nshtrainer.integrations.lightning.checkpoint import files as foreign_paths

FIELDS = ("best_model_path", "kth_best_model_path", "last_model_path")

FOREIGN: dict[str, Callable[[Path], str]] = {
    "a folder": lambda home: f"{home}/run/../mine",
    "a file": lambda home: f"{home}/run/../mine/notes.ckpt",
    "a file by its own path": lambda home: f"{home}/mine/notes.ckpt",
    "a relative path": lambda home: "mine/notes.ckpt",
    "through a linked folder": lambda home: f"{home}/run/linked/notes.ckpt",
    "through a link": lambda home: f"{home}/run/linked.ckpt",
    "the folder itself": lambda home: f"{home}/run",
    "what is no checkpoint": lambda home: f"{home}/run/config.yaml",
    "a name that is too long": lambda home: f"{home}/run/{'../run/' * 999}../mine/notes.ckpt",
    "a NUL": lambda home: f"{home}/run/\0.ckpt",
    "another file system": lambda home: f"local://{home}/mine/notes.ckpt",
    "another file system within": lambda home: f"file::{home}/mine/notes.ckpt",
}

QUIET = pytest.mark.filterwarnings(
    "ignore:Checkpoint directory .* exists and is not empty",
    "ignore:The dirpath has changed",
)


class Logged(Tiny):
    def training_step(self, batch: Tensor) -> Tensor:
        loss = super().training_step(batch)
        self.log("loss", loss)
        return loss


def saver(folder: Path | str = "run", **options: Any) -> ModelCheckpoint:
    return ModelCheckpoint(folder, **{"monitor": "loss", "save_last": True, **options})


class Bare(Logged):
    """Has none of our callbacks under Lightning's own trainer, and calls no base of its hooks."""

    def configure_callbacks(self) -> list[pl.Callback]:
        return []

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert checkpoint["callbacks"]


def fit(
    make: Any, epochs: int, saves: ModelCheckpoint, checkpoint: Any = None, module: Any = Logged
) -> ModelCheckpoint:
    run = trainer(make, callbacks=[saves], max_epochs=epochs)
    run.fit(module(), data(), ckpt_path=checkpoint)
    return saves


def states(checkpoint: dict[str, Any]) -> list[dict[str, Any]]:
    return [state for key, state in checkpoint["callbacks"].items() if "ModelCheckpoint" in key]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one, with a folder of somebody's files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.ckpt").write_text("mine", encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("mine", encoding="utf-8")
    (tmp_path / "run/linked").symlink_to(tmp_path / "mine")
    (tmp_path / "run/linked.ckpt").symlink_to(tmp_path / "mine/notes.ckpt")
    return tmp_path


def edited(home: Path, path: str) -> Path:
    """The checkpoint of a run, whose lists of files have another path."""
    fit(pl.Trainer, 1, saver())
    saved = torch.load("run/last.ckpt", weights_only=True)
    for state in states(saved):
        score = torch.tensor(1e9)
        state.update(dict.fromkeys(FIELDS, path), best_k_models={path: score}, kth_value=score)
    torch.save(saved, home / "edited.ckpt")
    return home / "edited.ckpt"


@pytest.mark.parametrize("name", FOREIGN)
def test_a_path_that_leads_out_of_the_run_is_dropped(home: Path, name: str) -> None:
    path = FOREIGN[name](home)
    saves = saver()
    state = {**dict.fromkeys(FIELDS, path), "best_k_models": {path: torch.tensor(1e9)}}
    with pytest.warns(CheckpointWarning, match=r"lists files that are not in '.*run'") as said:
        foreign_paths.drop_foreign_paths(
            trainer(callbacks=[saves]), {"callbacks": {saves.state_key: state}}
        )
    assert repr(path)[:200] in str(said[0].message)
    assert {key: state[key] for key in FIELDS} == dict.fromkeys(FIELDS, "")
    assert state["best_k_models"] == {}


@pytest.mark.parametrize("value", [torch.zeros(0), torch.zeros(3), 7, ["a"], b"run/a.ckpt"])
def test_what_is_no_path_is_dropped_as_well(home: Path, value: Any) -> None:
    saves = saver()
    state = {**dict.fromkeys(FIELDS, value), "best_k_models": value}
    with pytest.warns(CheckpointWarning):
        foreign_paths.drop_foreign_paths(
            trainer(callbacks=[saves]), {"callbacks": {saves.state_key: state}}
        )
    assert state["best_k_models"] == {}
    assert {key: state[key] for key in FIELDS} == dict.fromkeys(FIELDS, "")


@QUIET
@pytest.mark.parametrize(
    ("make", "module", "name"),
    [
        (pl.Trainer, Logged, "a folder"),
        (nshtrainer.Trainer, Logged, "through a linked folder"),
        (pl.Trainer, Bare, "a file"),
    ],
)
def test_a_run_deletes_nothing_outside_of_its_folder(
    home: Path, make: Any, module: Any, name: str
) -> None:
    checkpoint = edited(home, FOREIGN[name](home))
    mine = contents(home / "mine")
    with pytest.warns(CheckpointWarning, match=r"lists files that are not in '.*run'"):
        saves = fit(make, 3, saver(), checkpoint, module)
    assert contents(home / "mine") == mine
    assert list(saves.best_k_models) == [saves.best_model_path]
    assert Path(saves.best_model_path).parent == home / "run"


@pytest.mark.parametrize("own", [None, "own.json"])
def test_a_table_of_bad_batches_is_written_where_the_run_says(own: str | None) -> None:
    callback = SpikeDetection(exclude_batches_path=own)
    for saved, said in [("/mine/notes.json", 1), (own, 0)]:
        state = {"bad_batches_path": saved}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            foreign_paths.drop_foreign_paths(
                trainer(callbacks=[callback]), {"callbacks": {callback.state_key: state}}
            )
        assert state == {"bad_batches_path": own}
        assert ["'/mine/notes.json' as the file" in str(each.message) for each in caught] == (
            [True] * said
        )


@QUIET
@pytest.mark.parametrize("monitor", ["loss", None])
def test_a_run_goes_on_with_its_own_files_beside_a_foreign_one(
    home: Path, monitor: str | None
) -> None:
    options: dict[str, Any] = {"monitor": monitor, "save_top_k": 2 if monitor else 1}
    own = fit(pl.Trainer, 2, saver(**options)).state_dict()
    saved = torch.load("run/last.ckpt", weights_only=True)
    (state,) = states(saved)
    assert {key: state[key] for key in FIELDS} == {key: own[key] for key in FIELDS}
    worst = state["kth_best_model_path"]
    state["best_k_models"]["mine/notes.ckpt"] = torch.tensor(1e9)
    state["kth_best_model_path"] = "mine/notes.ckpt"
    torch.save(saved, "edited.ckpt")
    with pytest.warns(CheckpointWarning, match="'mine/notes.ckpt'. They are dropped"):
        loaded = fit(pl.Trainer, 2, saver(**options), "edited.ckpt").state_dict()
    for key in (*FIELDS, "best_k_models"):
        assert loaded[key] == own[key], key
    assert not monitor or worst == own["kth_best_model_path"]


@QUIET
def test_a_checkpoint_without_foreign_paths_is_loaded_as_it_is(home: Path) -> None:
    own = fit(pl.Trainer, 2, saver(save_top_k=2)).state_dict()
    again = fit(pl.Trainer, 2, saver(save_top_k=2), "run/last.ckpt").state_dict()
    assert {**again, "current_score": own["current_score"]} == own


@QUIET
def test_in_another_folder_the_old_best_one_is_left_alone(home: Path) -> None:
    fit(pl.Trainer, 1, saver())
    before = contents(home / "run")
    with pytest.warns(CheckpointWarning, match="They are dropped from the list and not touched"):
        fit(pl.Trainer, 2, saver("other"), "run/last.ckpt")
    assert contents(home / "run") == before


@pytest.mark.parametrize(
    ("folder", "path", "is_own"),
    [
        ("memory://run", "memory://run/a.ckpt", True),
        ("memory://run/", "memory://run/deep/a.ckpt", True),
        ("memory://run", "memory://running/a.ckpt", False),
        ("memory://run", "memory://run/../a.ckpt", False),
        ("memory://run", "/a.ckpt", False),
        (None, "/a.ckpt", False),
    ],
)
def test_elsewhere_a_path_is_compared_as_text(folder: str | None, path: str, is_own: bool) -> None:
    saves = ModelCheckpoint(folder)
    assert foreign_paths._is_own(saves, path) is is_own


@pytest.mark.parametrize(
    "callbacks", [None, "text", {}, {"ModelCheckpoint": None}, {"ModelCheckpoint": "text"}]
)
def test_a_checkpoint_without_such_lists_is_left_as_it_is(callbacks: Any) -> None:
    saves = saver()
    if isinstance(callbacks, dict):
        callbacks = dict(zip([saves.state_key], callbacks.values(), strict=False))
    checkpoint = {"callbacks": callbacks}
    foreign_paths.drop_foreign_paths(trainer(callbacks=[saves]), checkpoint)
    assert checkpoint == {"callbacks": callbacks}


# -- the law ---------------------------------------------------------------------------------------


def test_every_path_in_the_state_of_a_model_checkpoint_is_known() -> None:
    names = {key for key in ModelCheckpoint().state_dict() if "path" in key or "models" in key}
    assert names == {*FIELDS, "best_k_models", "dirpath"}  # the last one is only compared


def test_every_callback_of_lightnings_that_has_a_state_is_known() -> None:
    modules = pkgutil.iter_modules(lightning.pytorch.callbacks.__path__)
    names = [f"lightning.pytorch.callbacks.{module.name}" for module in modules]
    classes = {
        value
        for module in map(importlib.import_module, names)
        for value in vars(module).values()
        if isclass(value) and issubclass(value, pl.Callback)
    }
    saving = {cls for cls in classes if cls.state_dict is not pl.Callback.state_dict}
    # Of these, ModelCheckpoint and SpikeDetection save paths.
    assert {cls.__name__ for cls in saving} == {
        "BackboneFinetuning",
        "BaseFinetuning",
        "EMAWeightAveraging",
        "EarlyStopping",
        "ModelCheckpoint",
        "SpikeDetection",
        "StochasticWeightAveraging",
        "Timer",
        "WeightAveraging",
    }
