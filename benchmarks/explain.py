"""Explanation of a model of 70 billion parameters on the `meta` device: time and memory.

    python benchmarks/explain.py

The model has the layout of Llama 70B: 80 layers, 723 tensors. Measured are `explain` and its table,
in CPU time, in a process of its own for each config, after the construction of the model.

The aim: less than 2 s, and less than 1 GiB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from functools import partial

import torch
from _rounds import verdict
from torch import nn

import nshtrainer
from nshtrainer import RunLength

SECONDS, GIB = 2, 1
CONFIGS = {
    "adamw": {"name": "adamw", "lr": 3e-4, "no_decay": "bias_and_norm"},
    "layer-wise": {"name": "adamw", "layer_decay": {"rate": 0.9}, "no_decay": "bias_and_norm"},
    "muon": {"name": "muon_with_adamw"},
    "adagrad": {"name": "adagrad"},
    "adafactor": {"name": "adafactor"},
    "lookahead": {"name": "lookahead", "optimizer": {"name": "sgd", "momentum": 0.9}},
}


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))


class Layer(nn.Module):
    def __init__(self, width: int, inner: int, kv: int) -> None:
        super().__init__()
        sizes = {"q": (width, width), "k": (width, kv), "v": (width, kv), "o": (width, width)}
        for name, size in sizes.items():
            setattr(self, f"{name}_proj", nn.Linear(*size, bias=False))
        self.gate_proj, self.up_proj = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(inner, width, bias=False)
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(width), RMSNorm(width)


class Llama(nn.Module):
    def __init__(self, layers: int = 80, width: int = 8192, vocabulary: int = 128_256) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Layer(width, 28_672, 1024) for _ in range(layers))
        self.norm = RMSNorm(width)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)


def measure(name: str) -> None:
    with torch.device("meta"):
        model = Llama().to(torch.bfloat16)
    call = partial(nshtrainer.explain, model, CONFIGS[name], "cosine", RunLength(100_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    text = str(call())
    seconds = time.process_time() - start
    gib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    met = verdict(met=seconds < SECONDS and gib < GIB)
    print(f"{name:10} {seconds:5.2f} s, {gib:6.3f} GiB, {len(text):6,} characters: {met}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=CONFIGS)
    only = parser.parse_args().only
    if only:
        measure(only)
        return
    for name in CONFIGS:
        subprocess.run([sys.executable, __file__, "--only", name], check=True)


if __name__ == "__main__":
    main()
