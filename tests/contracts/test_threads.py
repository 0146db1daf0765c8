"""Configs in several threads: every class is built when it is first used, whoever uses it first."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from pydantic import ValidationError

from nshtrainer import Config
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.optimizer import optimizer_registry

class Run(Config):
    optimizer: OptimizerConfig | None = None
    lr_scheduler: LRSchedulerConfig | None = None

NAMES = [("optimizer", name) for name in optimizer_registry]
NAMES += [("lr_scheduler", name) for name in lr_scheduler_registry]
sys.setswitchinterval(1e-6)
barrier = Barrier(4)

def use():
    found = []
    for kind, name in NAMES:
        barrier.wait()
        try:
            found.append(Run(**{kind: name}).to_dict())
        except ValidationError as error:  # of a class with fields that have no default
            found.append(str(error))
        except Exception as error:
            found.append((name, repr(error)))
    return found

with ThreadPoolExecutor(4) as pool:
    inside = [task.result() for task in [pool.submit(use) for _ in range(4)]]
barrier = Barrier(1)
once_more = use()
for (kind, name), *found, right in zip(NAMES, *inside, once_more, strict=True):
    wrong = [each for each in found if each != right]
    if wrong:
        print(name, wrong[0])
print(len(NAMES), "used")
"""


def test_the_first_use_of_every_class_may_be_in_several_threads() -> None:
    command = [sys.executable, "-c", PROGRAM]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    *wrong, count = printed.splitlines()
    assert wrong == []
    assert int(count.split()[0]) > 150
