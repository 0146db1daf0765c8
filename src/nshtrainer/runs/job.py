"""One run of `nshtrainer fit`: build the trainer, train, and report the results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar

from nshtrainer.analysis.dry_run import build_trainer
from nshtrainer.callbacks.lightning_callbacks import (
    ModelCheckpointCallbackConfig,
    RichProgressBarConfig,
)
from nshtrainer.console import say, say_lines
from nshtrainer.escaping import printable
from nshtrainer.exceptions import BadUpdateError, CheckpointError, ConfigError, MetricError
from nshtrainer.integrations.lightning.run_manifest import code_of
from nshtrainer.metric import MetricConfig
from nshtrainer.runs.linked_processes import code_of_lost_process, linked_processes
from nshtrainer.runs.manifest import FitManifest
from nshtrainer.runs.metrics import RunLoggers
from nshtrainer.runs.reports import (
    EpochLines,
    SummaryCallback,
    metrics_text,
    quiet,
    say_why_stopped,
)
from nshtrainer.runs.run_dir import RunFolder, difference_from
from nshtrainer.runs.schedule_record import ScheduleRecord
from nshtrainer.runs.signals import GracefulStop, Interrupted, Signals, requeue
from nshtrainer.runs.weights import load_weights, misfits_of

if TYPE_CHECKING:
    from nshtrainer.integrations.lightning.trainer import Trainer
    from nshtrainer.project.run_file import RunConfig
    from nshtrainer.runs.loaded_run import Run
    from nshtrainer.runs.run_dir import RunFolder
    from nshtrainer.trainer_config import TrainerConfig

__all__ = ["TrainingRun"]


class _RunCheckpoint(ModelCheckpoint):
    """A checkpoint of a run, whose state in it has another key than that of a user's callback."""


@dataclass
class TrainingRun:
    """One training run.

    Args:
        loaded: The run file and the user's classes.
        folder: The output directory.
        checkpoint: The checkpoint to resume from, if any.
        how_to_resume: Returns the command that resumes from a checkpoint, for a message.
        resumes_itself: True if the same command, run again, resumes.
        passed_over: Unreadable checkpoints that were skipped, each with the reason.
        weights: The file with the initial weights of a new run, if any.
    """

    loaded: Run
    folder: RunFolder
    checkpoint: Path | None
    how_to_resume: Callable[[Path], str]
    resumes_itself: bool = False
    passed_over: Sequence[str] = ()
    weights: Path | None = None
    trainer: Trainer | None = field(default=None, init=False)
    signals: Signals = field(default_factory=Signals)
    first_step: int = field(default=0, init=False)
    record: ScheduleRecord | None = field(default=None, init=False)
    stop: GracefulStop | None = field(default=None, init=False)
    loggers: RunLoggers | None = field(default=None, init=False)

    def run(self) -> int:
        """Train, and print where the results are.

        Returns:
            0, or 128 plus the number of the signal that ended the run, or the code of another
            process of the run that ended.

        Raises:
            BadUpdateError: A NaN or Inf in the loss or a gradient ended the run.
        """
        with self.signals, linked_processes():
            try:
                return self._run()
            except BaseException as error:
                if self.signals.asked is None:
                    raise
                return self._interrupted(error)

    def _run(self) -> int:
        with quiet(), ExitStack() as stack:
            for text in self.passed_over:
                _say(f"skipped {printable(text)}")
            self._say_where_from()
            if self.keeps and not getattr(rank_zero_only, "rank", 0):
                self.folder = self.folder.claimed()
            self.trainer = trainer = self._trainer()
            if self.keeps and trainer.is_global_zero:
                stack.enter_context(self.folder.held())
                if self.checkpoint is not None:
                    self.folder.set_aside_exception(self.checkpoint)
            try:
                self._fit(trainer)
            except BaseException as error:  # noqa: BLE001 - raised again, or reported
                return self._stopped(error, trainer)
        self._finished(trainer)
        return 0

    def _stopped(self, error: BaseException, trainer: Trainer) -> int:
        """Return the exit code of a run that an error ended, or raise the error again."""
        lost = code_of_lost_process(error, trainer)
        if lost is not None:
            say(f"stopped: another process of this run ended with code {lost}", sys.stderr)
            self._say_how_to_go_on("stopped", self.folder.last)
            return lost
        if self.signals.asked is not None:
            return self._interrupted(error)
        if isinstance(error, BadUpdateError):
            self._say_how_to_go_on("stopped", self.folder.last)
        else:
            self._say_what_is_left(error)
        raise error

    # -- building ----------------------------------------------------------------------------

    @property
    def config(self) -> RunConfig:
        """The sections of the run file."""
        return self.loaded.config

    @property
    def keeps(self) -> bool:
        """True unless fast_dev_run or barebones is set."""
        return not (self.config.trainer.fast_dev_run or self.config.trainer.barebones)

    @property
    def _saves(self) -> bool:
        return self.keeps and self.config.trainer.enable_checkpointing is not False

    def _trainer(self) -> Trainer:
        options = self.config.trainer
        arguments: dict[str, Any] = {"callbacks": self._callbacks()}
        if not sys.stdout.isatty() and not options.barebones:
            arguments["enable_progress_bar"] = False
        if options.enable_model_summary is None:
            arguments["enable_model_summary"] = False  # the plan lists the parameters
        if self.keeps:
            arguments["default_root_dir"] = options.default_root_dir or self.folder.path
            if options.logger is not False:
                self.loggers = RunLoggers(self.folder.path, options.logger)
                arguments["logger"] = self.loggers.loggers
                arguments["callbacks"].append(self.loggers)
        if not self._saves and not options.barebones:
            arguments["enable_checkpointing"] = False
        return build_trainer(self._placed(options), **arguments)

    def _placed(self, options: TrainerConfig) -> TrainerConfig:
        """Return the options with the folder of the run for checkpoints without a folder."""
        folder = str(self.folder.checkpoints)
        placed = [
            each.replace(dirpath=each.dirpath or folder)
            if isinstance(each, ModelCheckpointCallbackConfig)
            else each
            for each in options.callbacks
        ]
        return options.replace(callbacks=placed)

    def _callbacks(self) -> list[Callback]:
        callbacks: list[Callback] = []
        if not self.config.trainer.barebones:
            file = self.folder.optimizer if self.keeps else None
            has_bar = sys.stdout.isatty() and self.config.trainer.enable_progress_bar is not False
            callbacks.append(SummaryCallback(file))
            if not has_bar:
                callbacks.append(EpochLines())
            elif not any(
                isinstance(c, RichProgressBarConfig) for c in self.config.trainer.callbacks
            ):
                callbacks.append(RichProgressBar())
        if self.keeps:
            self.record = ScheduleRecord(self.folder)
            callbacks += [self.record, FitManifest(self.folder, self.config, self.checkpoint)]
        if self._saves:
            callbacks += self._checkpoints()
            # Lightning takes no checkpoint callback of any kind where checkpoints are switched off.
            self.stop = GracefulStop(self.signals, self.folder.last, self.folder.exception)
            callbacks.append(self.stop)
        return callbacks

    def _checkpoints(self) -> list[Callback]:
        folder = self.folder.checkpoints
        last = _RunCheckpoint(
            folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
        )
        metric = self._metric
        if metric is None:
            return [last]
        best = _RunCheckpoint(
            folder,
            filename="best",
            monitor=metric.monitor,
            mode=metric.mode,
            enable_version_counter=False,
        )
        return [best, last]

    @property
    def _metric(self) -> MetricConfig | None:
        """The primary metric: the trainer's, else that of the hyperparameters."""
        own = getattr(self.config.model, "primary_metric", None)
        return self.config.trainer.primary_metric or (
            own if isinstance(own, MetricConfig) else None
        )

    def _fit(self, trainer: Trainer) -> None:
        data, module = self.loaded.data(), self.loaded.module()
        if self.weights is not None and self.checkpoint is None:
            load_weights(module, self.weights)
            _say(f"starting from the weights of {printable(self.weights)}")
        if self.keeps and trainer.is_global_zero:
            self.folder.prepare(resumes=self.checkpoint is not None)
        if self.loggers is not None:
            self.loggers.start()
        # Absolute, since names such as "best" and "hpc" have a meaning for Lightning.
        path = None if self.checkpoint is None else str(self.checkpoint.absolute())
        try:
            # Said aloud, or the environment could ask torch to run what is in the file.
            trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)
        except MisconfigurationException as error:
            raise ConfigError(f"Lightning refuses this run: {printable(error)}") from error
        except RuntimeError as error:
            listed = misfits_of(error) if path else None
            if listed is None:
                raise
            raise CheckpointError(
                f"{self.checkpoint}: has the weights of another model; resume with the code and "
                f"the config that wrote it, or start without --resume.{listed}"
            ) from error

    # -- saying ------------------------------------------------------------------------------

    def _say_where_from(self) -> None:
        if self.checkpoint is None:
            return
        try:
            saved = torch.load(self.checkpoint, map_location="meta", weights_only=True)
            step, epoch = saved["global_step"], saved["epoch"]
        except Exception as error:  # a damaged file can raise anything
            # Only the first sentence: then PyTorch advises to load the file unsafely.
            why, _, _ = str(error).partition(". ")[0].partition("\n")
            text = f"{self.checkpoint}: cannot be read as a checkpoint: {type(error).__name__}"
            raise CheckpointError(printable(f"{text}: {why}")) from error
        if not type(step) is type(epoch) is int:
            problem = "global_step or epoch is not a number; resume from another checkpoint"
            raise CheckpointError(printable(f"{self.checkpoint}: is damaged: {problem}"))
        self.first_step = step
        _say(f"resuming from {printable(self.checkpoint)} (step {step}, epoch {epoch + 1})")
        other = difference_from(self.checkpoint, self.folder, code_of(self.loaded.code.module))
        if other is not None:
            _say(printable(f"the checkpoint {other}"))

    def _interrupted(self, error: BaseException) -> int:
        assert self.signals.asked is not None
        self.signals.leaving = True
        if not isinstance(error, (Interrupted, KeyboardInterrupt, SystemExit)):
            say(f"stopped by {type(error).__name__}: {error}", sys.stderr)
        self._say_how_to_go_on("interrupted", self.folder.last)
        if self.signals.for_requeue:
            self._requeue()
        return 128 + self.signals.asked

    def _say_what_is_left(self, error: BaseException) -> None:
        """Print which checkpoint an exception left; before the first step there is none."""
        if self.signals.patient:
            saved = self.stop and self.stop.saved
            why = f"stopped by {type(error).__name__}"
            first = ", with the metric corrected" if isinstance(error, MetricError) else ""
            self._say_how_to_go_on(why, saved or self.folder.last, first)

    def _say_how_to_go_on(self, why: str, path: Path, first: str = "") -> None:
        if not path.exists():
            _say(f"{why} before there was a checkpoint")
            return
        command = printable(self.how_to_resume(path))
        _say(f"{why}; the last checkpoint is {printable(path)}\nto resume{first}: {command}")

    @rank_zero_only
    def _requeue(self) -> None:
        say(requeue())
        if not self.resumes_itself:
            say("the job will not resume automatically: add --out and --resume auto to its command")

    def _finished(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        if self.checkpoint and trainer.global_step == self.first_step:
            self._nothing_left(self.checkpoint)
        say()
        say(f"trained   {trainer.global_step} steps  {metrics_text(trainer.callback_metrics)}")
        say_why_stopped(trainer)
        if self.record is None:
            say("results   not saved in a trial run")
            return
        for line in self.record.summary():
            say(f"schedule  {line}")
        say(f"results   {self.folder.path}")
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.best_model_score is not None:
                score = float(callback.best_model_score)
                where = _here(callback.state_dict()["best_model_path"])
                say(f"best      {callback.monitor} {score:.4g}  {where}")
        if self.folder.last.exists():
            say(f"last      {self.folder.last}")

    def _nothing_left(self, checkpoint: Path) -> None:
        say()
        say(
            "the run was already complete; to train longer, increase trainer.max_epochs or "
            "max_steps"
        )
        if self._saves:
            self.folder.renew_last(checkpoint)


@rank_zero_only
def _say(text: str) -> None:
    """Print on one process of a run."""
    say_lines(text)


def _here(path: str) -> Path:
    """Return the shortest form of a path."""
    whole, here = Path(path), Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole
