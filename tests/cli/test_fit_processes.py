"""`nshtrainer fit` in two processes: one folder, one report, one end."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from tests.cli.support import command_in, only_run, rates
from tests.cli.support import start as start_alone

pytestmark = pytest.mark.slow

FIT = ["fit", "train.py", "--config", "run.yaml", "trainer.devices=2", "trainer.strategy=ddp"]


start = partial(start_alone, GLOO_SOCKET_IFNAME="lo")


def test_two_processes_write_one_folder_and_one_report(home: Path) -> None:
    done = start(*FIT)
    assert done.returncode == 0, done.stderr
    folder = only_run()
    for line in ("steps      6\n", "\ntrained   6 steps", "planned = used", f"results   {folder}"):
        assert done.stdout.count(line) == 1
    written = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "metrics.csv", "optimizer.json", "schedule.csv"} <= written
    assert (folder / "schedule.csv").read_text(encoding="utf-8").count("\n") == 7
    assert list(rates(folder)) == list(range(6))


def test_a_signal_for_all_of_them_ends_the_run_with_a_checkpoint_to_go_on_from(home: Path) -> None:
    code = (home / "train.py").read_text(encoding="utf-8")
    for_all = code.replace(
        "os.kill(os.getpid(), ", "os.getenv('LOCAL_RANK') == '0' and os.killpg(0, "
    )
    (home / "train.py").write_text(for_all, encoding="utf-8")
    stopped = start(*FIT, STOP="SIGTERM train 2")
    assert stopped.returncode == 143, stopped.stderr
    last = only_run() / "checkpoints" / "last.ckpt"
    assert stopped.stdout.count(f"the last checkpoint is {last}") == 1
    assert torch.load(last, weights_only=True)["global_step"] == 3

    again = start(*command_in(stopped.stdout))
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("(step 3, epoch 2)") == 1
    assert list(rates(only_run())) == list(range(6))
