"""Config files: read a file, override values, and see its errors with their places.

Prints:

    adamw 0.001
    adamw 0.0003
    sgd 0.1
    run.yaml:4:3: optimizer.weight_decy: unknown key 'weight_decy'; did you mean 'weight_decay'?
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from nshtrainer import Config
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig
from nshtrainer.exceptions import ConfigError


class MyConfig(Config):
    """Optimizer and schedule of a run."""

    optimizer: OptimizerConfig
    """Any registered optimizer."""

    lr_scheduler: LRSchedulerConfig | None = None
    """Any registered schedule."""


TEXT = """\
optimizer:
  name: adamw
  lr: 1e-3
lr_scheduler: {name: linear_warmup_cosine_decay, warmup_duration: 5%, max_duration: 100%}
"""

with TemporaryDirectory() as folder:
    os.chdir(folder)
    file = Path("run.yaml")
    file.write_text(TEXT, encoding="utf-8")
    for overrides in ([], ["optimizer.lr=3e-4"], ["optimizer=sgd", "optimizer.lr=0.1"]):
        config = MyConfig.from_file(file, overrides=overrides)
        print(config.optimizer.name, config.to_dict()["optimizer"]["lr"])

    # What is written is read back as an equal config.
    config.to_file("copy.json")
    assert MyConfig.from_file("copy.json") == config

    file.write_text(TEXT.replace("lr_sched", "  weight_decy: 0\nlr_sched"), encoding="utf-8")
    try:
        MyConfig.from_file(file)
    except ConfigError as error:
        print(str(error).partition(" (known")[0])
    os.chdir("/")
