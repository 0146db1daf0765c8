"""Training from Python: what the command `nshtrainer fit` does, with its result as an object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshtrainer.integrations.lightning.run_manifest import code_of
from nshtrainer.project.components import warn_of_conflicts
from nshtrainer.runs.job import TrainingRun
from nshtrainer.runs.loaded_run import Code, ConfigSource, Run, check_order, load_run
from nshtrainer.runs.run_dir import choose_folder
from nshtrainer.runs.weights import check_weights

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule

    from nshtrainer.integrations.lightning.trainer import Trainer

__all__ = ["FitResult", "fit"]


@dataclass(frozen=True)
class FitResult:
    """The result of one training run.

    Args:
        folder: The output directory; `None` for a trial run (`fast_dev_run`, `barebones`).
        last: The newest checkpoint, if there is one.
        best: The best checkpoint by the primary metric, if there is one.
        metrics: The last value of each logged metric.
        completed: False if a signal, such as Ctrl-C, or the end of another process of the run
            stopped it.
        trainer: The trainer, with the trained module as `trainer.lightning_module`.
    """

    folder: Path | None
    last: Path | None
    best: Path | None
    metrics: dict[str, float]
    completed: bool
    trainer: Trainer = field(repr=False)


def fit(  # noqa: PLR0913 - the options of the command
    code: Code | Run,
    config: ConfigSource | None = None,
    *,
    data: type[LightningDataModule] | None = None,
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    weights: str | Path | None = None,
) -> FitResult:
    """Train a model from a config, with a folder of results, as the command `nshtrainer fit` does.

    The first Ctrl-C saves a checkpoint and returns a result with `completed=False`, as do SIGTERM
    and SLURM's signal. Signals are handled in the main thread only.

    Args:
        code: `train.py`, `train.py:Name`, the class of the module, or a run of `load_run`.
        config: A run file, the folder of a run, or a mapping with the sections `model`, `data`
            and `trainer`. It is left out if the first argument is a loaded run.
        data: The datamodule's class; by default, the only one beside the module.
        overrides: Values that replace the config's, such as `"optimizer.lr=3e-4"`.
        out: The output directory; by default `runs/<config>/<time>`.
        resume: `"last"` (the newest checkpoint of this config), `"auto"` (the same, if there is
            one), a checkpoint, or the folder of a run.
        weights: A checkpoint, a `state_dict` file or a safetensors file with the initial weights.

    Raises:
        ConfigError: The config, an override or an argument is not valid.
        CheckpointError: The checkpoint or the weights cannot be used.
        BadUpdateError: A NaN or Inf in the loss or a gradient ended the run.
        KeyboardInterrupt: A signal came before there was a trainer.

    Examples:
        for lr in (1e-3, 3e-3):
            result = nshtrainer.fit("train.py", "run.yaml", overrides=[f"optimizer.lr={lr}"])
            print(lr, result.metrics["val/loss"], result.best)
    """
    warn_of_conflicts()
    run = _loaded(code, config, data, overrides)
    resume = None if resume is None else str(resume)
    weights = None if weights is None else Path(weights)
    check_weights(weights, resume)
    folder = None if out is None else Path(out)
    start = choose_folder(run.source, folder, resume, code_of(run.code.module))
    training = TrainingRun(
        run,
        start.folder,
        start.checkpoint,
        how_to_resume=partial(_call_to_resume, code, config),
        resumes_itself=resume == "auto",
        passed_over=start.passed_over,
        weights=weights,
    )
    exit_code = training.run()
    if training.trainer is None:
        raise KeyboardInterrupt
    return _result(training, training.trainer, completed=exit_code == 0)


def _loaded(
    code: Code | Run,
    config: ConfigSource | None,
    data: type[LightningDataModule] | None,
    overrides: Iterable[str],
) -> Run:
    if isinstance(code, Run):
        return load_run(code, data=data, overrides=overrides)
    if config is None:
        raise TypeError("fit() needs a config: fit('train.py', 'run.yaml'), or fit(load_run(...))")
    check_order(config, "the run file comes second: fit('train.py', 'run.yaml')")
    return load_run(config, code, data=data, overrides=overrides)


def _call_to_resume(code: Any, config: Any, path: Path) -> str:
    """Return the call that resumes; objects are named as in the caller's code, or by a guess."""
    shown = [repr(str(each)) if isinstance(each, (str, Path)) else "..." for each in (code, config)]
    return f"nshtrainer.fit({', '.join(shown)}, resume={str(path)!r}) with the same arguments"


def _result(training: TrainingRun, trainer: Trainer, *, completed: bool) -> FitResult:
    folder = training.folder

    def saved(path: Path) -> Path | None:
        return path if training.keeps and path.exists() else None

    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    paths = saved(folder.path), saved(folder.last), saved(folder.best)
    return FitResult(*paths, metrics=metrics, completed=completed, trainer=trainer)
