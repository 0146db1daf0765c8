"""SLURM can send SIGUSR1 before the time of a job is over, so that it saves and is queued again.

That is `#SBATCH --signal=SIGUSR1@90 --requeue`, and a program that `srun` starts.
"""

from __future__ import annotations

import os
import signal
import subprocess

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from nshtrainer.config.files import reason_of

__all__ = ["requeue", "requeue_signal"]


def requeue_signal() -> signal.Signals | None:
    """What SLURM sends; nothing where this is no job of SLURM's."""
    return signal.SIGUSR1 if os.name == "posix" and SLURMEnvironment.detect() else None


def requeue() -> str:
    """Have this job queued again.

    Returns:
        What came of it, for people to read.
    """
    array, number = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    # A job in an array has the number of the array and one of its own.
    job = os.environ["SLURM_JOB_ID"] if array is None else f"{array}_{number}"
    command = ["scontrol", "requeue", job]
    try:
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - numbers alone
    except OSError as error:
        return f"{' '.join(command)}: {reason_of(error)}; not queued again"
    return f"{' '.join(command)}: " + (f"failed with exit code {code}" if code else "queued again")
