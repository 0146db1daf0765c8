"""SLURM requeue: SIGUSR1 before the end of a job's time saves and requeues the job.

Requires `#SBATCH --signal=SIGUSR1@90 --requeue`, and a program that `srun` starts.
"""

from __future__ import annotations

import os
import signal
import subprocess

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from nshtrainer.config.files import reason_of

__all__ = ["requeue", "requeue_signal"]


def requeue_signal() -> signal.Signals | None:
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
