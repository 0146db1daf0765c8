"""Several optimizers as one against the same by hand, and our Muon against torch's.

    python benchmarks/routed.py [--rounds 15]

First, a step of `RoutedOptimizer` against steps of its two optimizers, on the tensors of a
transformer of 11 million parameters and on those of a tiny network: SGD with momentum and AdamW,
both fused, since there is nothing cheaper to be added to.

Second, a step of Muon on the hidden matrices of two blocks of width 320 (2.5 million parameters),
on a CPU without arithmetic for bfloat16. If this one has it, oneDNN and torch are configured to do
without (`ONEDNN_MAX_CPU_ISA=AVX2`, `ATEN_CPU_CAPABILITY=avx2`), which is only like such a CPU:
its ratio is larger.

A round times each once, in turns, in one thread; what is compared is the CPU time of the process,
and a ratio is the median over the rounds.

The aims: at most 1.02 of the two optimizers; Muon at least 20 times as fast as torch's, its update
within 2 % in norm.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _rounds import Rounds, verdict
from torch import nn

from nshtrainer.configs import AdamWConfig, SGDConfig
from nshtrainer.optimizer.routed_optimizer import RoutedOptimizer
from nshtrainer.optimizer.torch_optim.portable_muon import PortableMuon, bfloat16_is_emulated

Shape = tuple[int, ...]

WITHOUT_BFLOAT16 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def block(width: int) -> tuple[list[Shape], list[Shape]]:
    """The matrices of a block of a transformer, and its vectors."""
    matrices = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)]
    return matrices, [(rows,) for rows, _ in matrices] + [(width,)] * 4


def tensors(shapes: list[Shape]) -> list[nn.Parameter]:
    torch.manual_seed(0)
    params = [nn.Parameter(torch.randn(shape) * 0.05) for shape in shapes]
    for param in params:
        param.grad = torch.randn(param.shape) * 0.01
    return params


def parts(matrices: list[Shape], vectors: list[Shape]) -> dict[str, torch.optim.Optimizer]:
    return {
        "sgd": SGDConfig(lr=1e-3, momentum=0.9, fused=True).create_optimizer(tensors(matrices)),
        "adamw": AdamWConfig(fused=True).create_optimizer(tensors(vectors)),
    }


def measure_routed(rounds: int) -> None:
    matrices, vectors = block(320)
    sizes = {
        "transformer, 11 million": (matrices * 8, [(4000, 320), *vectors * 8], 10),
        "tiny, 6 tensors": ([(64, 64)] * 3, [(64,)] * 3, 400),
    }
    for name, (first, second, repeats) in sizes.items():
        routed = RoutedOptimizer(parts(first, second))
        one, other = parts(first, second).values()

        def by_hand(one: torch.optim.Optimizer = one, other: torch.optim.Optimizer = other) -> None:
            one.step()
            other.step()

        timed = Rounds({"routed": routed.step, "bare": by_hand}, rounds=rounds, repeats=repeats)
        ratio = timed.ratio("routed", "bare")
        extra = timed.microseconds("routed") - timed.microseconds("bare")
        aim = f"aim: at most 1.02, {verdict(met=ratio <= 1.02)}" if "million" in name else ""
        print(f"routed against bare, {name:24} {ratio:6.3f}  ({extra:+.0f} us a step)  {aim}")


def measure_muon(rounds: int) -> None:
    """In a process of its own, in which bfloat16 is emulated."""
    assert bfloat16_is_emulated()
    matrices, _ = block(320)
    for shapes in ([(64, 64)], [(96, 288)], [(256, 256)], [(768, 768)], matrices * 2):
        params = {cls: tensors(shapes) for cls in (PortableMuon, torch.optim.Muon)}
        ours, theirs = (cls(params[cls], lr=1.0, weight_decay=0.0) for cls in params)
        calls = {"ours": ours.step, "torch": theirs.step}
        timed = Rounds(calls, rounds=min(rounds, 5) if len(shapes) == 1 else 3, repeats=1)
        ratio = timed.ratio("torch", "ours")
        text = f"{len(shapes)} matrices" if len(shapes) > 1 else "x".join(map(str, shapes[0]))
        aim = f"aim: at least 20, {verdict(met=ratio >= 20)}" if len(shapes) > 1 else ""
        print(f"Muon, torch's time over ours, {text:12} {ratio:6.1f}  {aim}")
    ours, theirs = tensors(matrices), tensors(matrices)
    PortableMuon(ours, lr=1.0, weight_decay=0.0).step()
    torch.optim.Muon(theirs, lr=1.0, weight_decay=0.0).step()
    off = max(
        ((mine - yours).norm() / (yours - start).norm()).item()
        for mine, yours, start in zip(ours, theirs, tensors(matrices), strict=True)
    )
    print(f"Muon, distance of an update from torch's  {off:.4f}  {verdict(met=off < 0.02)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--muon", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.muon:
        measure_muon(options.rounds)
        return
    measure_routed(options.rounds)
    emulated = bfloat16_is_emulated()
    print(f"this CPU {'emulates bfloat16' if emulated else 'has bfloat16, turned off here'}")
    command = [sys.executable, __file__, "--muon", "--rounds", str(options.rounds)]
    environment = {} if emulated else WITHOUT_BFLOAT16
    subprocess.run(command, check=True, env=os.environ | environment)


if __name__ == "__main__":
    main()
