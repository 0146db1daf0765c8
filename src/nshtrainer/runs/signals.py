"""Signal handling: Ctrl-C, SIGTERM and SLURM's signal finish the step, save, and stop.

An exception saves a checkpoint too, if possible. Lightning alone saves nothing at Ctrl-C and
SIGTERM, and exits with code 1 or, after SIGTERM, 0. At SLURM's signal Lightning saves immediately,
even in the middle of an update.

A requeue requires `#SBATCH --signal=SIGUSR1@90 --requeue`, and a program that `srun` starts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, final

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import Self, override

from nshtrainer.config.files import reason_of

__all__ = ["GracefulStop", "Interrupted", "Signals", "requeue"]

_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GRACE = 20
"""Seconds within which an interrupted run has to end."""

_LOCKING = {"queue", "threading"}
"""Modules that an exception at an arbitrary point leaves in an invalid state."""

_NOTICE = b"\nstopping after this step, to save; once more stops at once, unsaved\n"


class Interrupted(BaseException):
    """The run was stopped by a signal. Not an `Exception`, so user code does not swallow it."""


class Signals:
    """Handler of signals: the first waits for a safe point while `patient`, the next interrupts.

    After an interrupt, or while the run is `leaving`, another signal ends the process. A closed
    terminal (SIGHUP) is handled like the others, unless SIGHUP is ignored, as under `nohup`.
    Outside the main thread signals cannot be handled, and the class does nothing.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.patient = False
        self.leaving = False
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        self._requeues = _requeue_signal()
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> Self:
        self._before = self.listen()
        return self

    def listen(self) -> dict[int, Any]:
        """Install the signal handlers.

        Returns:
            The previous handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            return {}
        handled = [*_SIGNALS, *filter(None, [self._requeues])]
        if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
            handled.append(_HANGUP)
        return {each: signal.signal(each, self._handle) for each in handled}

    @property
    def for_requeue(self) -> bool:
        """True if SLURM's signal asked to requeue the job."""
        return self.asked is not None and self.asked == self._requeues

    def agree(self, decide: Callable[..., bool]) -> bool:
        """Return True if any process of the run was asked to stop; then all processes are.

        Args:
            decide: A strategy's `reduce_boolean_decision`.
        """
        if not decide(self.asked is not None, all=False):
            return False
        for_requeue = decide(self.for_requeue, all=False)
        self.asked = self._requeues if for_requeue else self.asked or signal.SIGINT
        return True

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        if self.leaving and hasattr(signal, "alarm"):
            signal.alarm(0)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            _in_worker(number)
            return
        self._leave_closed_terminals()
        first = self.asked is None
        self.asked = self.asked or number
        if self.leaving:
            os._exit(128 + self.asked)
        if not (first and self.patient):
            self.leaving = True
            _interrupt(128 + self.asked, frame, 50)
            return
        # Not `print`, which the signal may have interrupted.
        with suppress(OSError):
            os.write(2, _NOTICE)

    def _leave_closed_terminals(self) -> None:
        """Discard output to a closed terminal, which would raise an error."""
        for number in self._terminals:
            if not os.isatty(number):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _interrupt(code: int, frame: FrameType | None, tries: int) -> None:
    """Raise `Interrupted`, or retry soon if the signal came within code of locks or queues.

    An exception in such code leaves a lock unreleased or a thread asleep, and closing a logger then
    waits forever. Code that itself waits is interrupted at last.
    """
    name = frame and frame.f_globals.get("__name__")
    if tries and name in _LOCKING and hasattr(signal, "setitimer"):  # not on Windows
        signal.signal(signal.SIGALRM, lambda _, now: _interrupt(code, now, tries - 1))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        return
    _end_soon(code)
    raise Interrupted


def _end_soon(code: int) -> None:
    """End the process if an interrupt has not ended it: the exception may be lost in a callback."""
    if hasattr(signal, "alarm"):  # not on Windows

        def end(_number: int, _frame: FrameType | None) -> None:
            os._exit(code)

        signal.signal(signal.SIGALRM, end)
        signal.alarm(_GRACE)


def _in_worker(number: int) -> None:
    """End at SIGTERM, and ignore Ctrl-C, in a data worker, which inherits the handler."""
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@final
class GracefulStop(Checkpoint):
    """Callback that stops a signaled run after a complete update, and saves a checkpoint.

    The run stops after the current update, or at the end of the epoch if that was its last one. As
    a `Checkpoint` this callback runs after all other callbacks, except other `Checkpoint`s.

    If an exception ends a run, its state is saved as well, unless an update is half done, the
    weights are not finite, or other processes would have to take part. The checkpoint before it is
    never overwritten.

    Args:
        signals: The received signals.
        path: The checkpoint to write.
        exception: The checkpoint to write at an exception.
    """

    def __init__(self, signals: Signals, path: Path, exception: Path) -> None:
        self._signals = signals
        self._path = path
        self._exception = exception
        self._step_before = 0
        self._whole = False
        self.saved: Path | None = None

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep Lightning's signal handlers out of the run."""
        # At SIGTERM its own stops within a validation, and waits for the other processes of the
        # run from within the handler: forever, if one of them waits for something else.
        connector = trainer._signal_connector  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        connector.register_signal_handlers = _register_none

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals wait for the end of a step from here on."""
        self._signals.patient = self._whole = True

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop delaying signals: everything is saved."""
        self._signals.patient = self._whole = False

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the step, to detect whether this batch completes one."""
        self._step_before = trainer.global_step

    @override
    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Note that there are gradients from here on, which are not saved."""
        self._whole = False

    @override
    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Note that an update begins: a custom loop may call `backward` by itself."""
        self._whole = False

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after an update; gradients that are being accumulated are not saved."""
        if trainer.global_step == self._step_before:
            return
        self._whole = True
        if not trainer.is_last_batch:
            self._stop_if_asked(trainer, log=True)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after the validation that belongs to the epoch."""
        self._stop_if_asked(trainer)

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save if the signal stopped a data worker or Lightning itself."""
        if not self._signals.patient or isinstance(exception, Interrupted):
            return
        if self._signals.asked:
            trainer.save_checkpoint(self._path)
        elif isinstance(exception, Exception) and self._can_be_saved(trainer):
            with suppress(OSError, RuntimeError):  # a full disk, or a device that is lost
                trainer.save_checkpoint(self._exception)
                self.saved = self._exception

    def _can_be_saved(self, trainer: Trainer) -> bool:
        if not self._whole or trainer.world_size > 1:
            return False
        weights = trainer.lightning_module.parameters()
        return all(bool(weight.isfinite().all()) for weight in weights)

    def _stop_if_asked(self, trainer: Trainer, *, log: bool = False) -> None:
        # Every process of the run has to agree, or some would wait for the others forever.
        if self._signals.agree(trainer.strategy.reduce_boolean_decision):
            if log:
                _log_step(trainer)
            trainer.save_checkpoint(self._path)
            raise Interrupted


def _register_none() -> None:
    """Keep the current handlers of all signals."""


def _log_step(trainer: Trainer) -> None:
    """Log the metrics of this step, which Lightning would do after this hook."""
    connector = trainer._logger_connector  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    connector.on_batch_end()
    connector.update_train_step_metrics()


# -- SLURM -----------------------------------------------------------------------------------------


def _requeue_signal() -> signal.Signals | None:
    """Return the signal that SLURM sends; None outside a SLURM job."""
    return signal.SIGUSR1 if os.name == "posix" and SLURMEnvironment.detect() else None


def requeue() -> str:
    """Requeue this job.

    Returns:
        A message with the result.
    """
    array, number = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    # A job in an array has the number of the array and one of its own.
    job = os.environ["SLURM_JOB_ID"] if array is None else f"{array}_{number}"
    command = ["scontrol", "requeue", job]
    try:
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - numbers alone
    except OSError as error:
        return f"{' '.join(command)}: {reason_of(error)}; not requeued"
    return f"{' '.join(command)}: " + (f"failed with exit code {code}" if code else "requeued")
