"""Evaluation and predictions of a trained run."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshtrainer.config.document import fail
from nshtrainer.config.files import kind_of, write_file
from nshtrainer.escaping import printable
from nshtrainer.exceptions import CheckpointError, ConfigError
from nshtrainer.runs.newest_checkpoint import newest
from nshtrainer.runs.run_dir import choose_folder
from nshtrainer.runs.weights import misfits_of

if TYPE_CHECKING:
    from nshtrainer.runs.loaded_run import Run

__all__ = ["evaluate", "find_checkpoint", "predict"]


def find_checkpoint(source: Path, which: str | None) -> Path:
    """Return a checkpoint of a run.

    Args:
        source: The folder of a run, or a run file, which stands for its newest run.
        which: `best`, `last` or a path; by default `best`, or `last` if there is no best.

    Raises:
        ConfigError: There is no such checkpoint, or it is damaged.
    """
    if which not in {None, "best", "last"}:
        path = Path(str(which))
        found, problems = newest([[path]]) if kind_of(path) else (None, (f"{path}: no such file",))
        if found is None:
            problem = problems[0].removeprefix(f"{path}: ")
            fail(f"--checkpoint {path}", f"{problem}; give a checkpoint, 'best' or 'last'")
        return found
    last = _newest_of(source)
    best, _ = newest([[path] for path in [last.with_name("best.ckpt")] if kind_of(path)])
    if which == "best" and best is None:
        fail(str(source), "has no best checkpoint; give --checkpoint last")
    return best if best and which != "last" else last


def _newest_of(source: Path) -> Path:
    """Return the newest checkpoint of the folder of a run, or of the newest run of a run file."""
    is_folder = kind_of(source) == "folder"
    try:
        start = choose_folder(source, None, str(source) if is_folder else "last")
    except ConfigError as error:
        problem = str(error).partition(": ")[2].rpartition("; ")[0]
        fail(str(source), f"{problem}; train first, or give --checkpoint PATH", error)
    assert start.checkpoint is not None
    return start.checkpoint


def evaluate(run: Run, checkpoint: Path, *, bar: bool = True) -> dict[str, dict[str, float]]:
    """Compute the metrics of a checkpoint.

    Args:
        run: The run.
        checkpoint: Its weights.
        bar: Show a progress bar on a terminal.

    Returns:
        The metrics of `validation` and of `test`, of those that the module and the data have.

    Raises:
        ConfigError: They have neither.
    """
    trainer, parts = _prepared(run, bar=bar)
    kinds = {"validation": ("validation_step", "val_dataloader", trainer.validate)}
    kinds["test"] = ("test_step", "test_dataloader", trainer.test)
    found: dict[str, dict[str, float]] = {}
    for name, (step, loader, start) in kinds.items():
        if _defines(parts, step, loader):
            results = _start(start, parts, checkpoint, verbose=False)
            found[name] = {key: value for result in results for key, value in result.items()}
    if not found:
        problem = "has neither a validation_step with a val_dataloader, nor the same for a test"
        fail(type(parts[0]).__name__, f"{problem}; add one")
    return found


def predict(run: Run, checkpoint: Path, out: Path) -> int:
    """Write what `predict_step` returns for each batch, and return the number of batches.

    Raises:
        ConfigError: There is no data to predict, a prediction is no plain data, or the file cannot
            be written.
    """
    import torch

    trainer, parts = _prepared(run)
    if trainer.world_size > 1:
        fail("trainer.devices", "predictions are written by one process; set devices=1")
    if not _defines(parts, "predict_dataloader"):
        fail(
            type(parts[0]).__name__, "has no predict_dataloader, and neither has its data; add one"
        )
    predictions: Any = _start(trainer.predict, parts, checkpoint)
    content = io.BytesIO()
    torch.save(predictions, content)
    content.seek(0)
    try:
        torch.load(content, map_location="meta", weights_only=True)
    except Exception as error:  # noqa: BLE001 - anything that pickle or torch raises
        problem = "returns objects that torch.load(weights_only=True) refuses"
        advice = "return tensors, numbers and text, in lists or dicts"
        fail(f"{type(parts[0]).__name__}.predict_step", f"{problem}; {advice}", error)
    write_file(out, content.getvalue())
    return len(predictions)


def _prepared(run: Run, *, bar: bool = True) -> tuple[Any, list[Any]]:
    """Build the trainer, and the module with its data."""
    changes: dict[str, Any] = {"logger": False, "enable_checkpointing": False}
    if run.config.trainer.barebones:
        changes = {}
    elif not (bar and sys.stdout.isatty()):
        changes["enable_progress_bar"] = False
    from nshtrainer.runs.reports import quiet

    with quiet():
        trainer = run.trainer(**changes, enable_model_summary=False)
        return trainer, [run.module(), run.data()]


def _start(start: Any, parts: list[Any], checkpoint: Path, **options: Any) -> Any:
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from nshtrainer.runs.reports import quiet

    module, data = parts
    # Absolute, since names such as "best" and "hpc" have a meaning for Lightning.
    path = str(checkpoint.absolute())
    try:
        with quiet():
            # Callbacks that write the folder of a run have no part in its evaluation.
            warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`")
            return start(module, datamodule=data, ckpt_path=path, weights_only=True, **options)
    except MisconfigurationException as error:
        if "more than one `__init__` argument can be passed" not in str(error):
            raise ConfigError(f"Lightning refuses this run: {printable(error)}") from error
        problem = "has arguments by position, where Lightning sets a sampler of its own"
        fail("DataLoader", f"{problem}; give them by keyword, such as batch_size=512", error)
    except RuntimeError as error:
        listed = misfits_of(error)
        if listed is None:
            raise
        advice = "use the code and the config that wrote it"
        raise CheckpointError(
            f"{printable(checkpoint)}: has the weights of another model; {advice}{listed}"
        ) from error


def _defines(parts: list[Any], *names: str) -> bool:
    """Return True if each of these methods of Lightning is defined by the module or its data."""
    from lightning.pytorch.utilities.model_helpers import is_overridden

    return all(any(is_overridden(name, part) for part in parts) for name in names)
