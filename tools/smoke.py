"""Smoke test of an installed nshtrainer: the command line, an import, one optimizer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import nshtrainer
from nshtrainer.configs import AdamWConfig

if not Path(nshtrainer.__file__).is_relative_to(sys.prefix):
    sys.exit(f"{nshtrainer.__file__}: not the installed package; run outside the repository")

program = Path(sys.executable).with_name("nshtrainer")
with TemporaryDirectory() as folder:
    for line in ("--version", "list", "schema", "completion bash", f"new {folder} --plain"):
        subprocess.run([program, *line.split()], check=True, stdout=subprocess.PIPE)
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, stdout=subprocess.PIPE)

model = torch.nn.Linear(2, 1)
optimizer = AdamWConfig(lr=1e-3).create_optimizer(model.parameters())
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
print(f"nshtrainer {nshtrainer.__version__} works on Python {sys.version.split()[0]}")
