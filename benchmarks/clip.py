"""Clipping by norm and a step together: `clipped` against torch's `clip_grad_norm_` and a step.

    python benchmarks/clip.py [--rounds 15]

AdamW, on the tensors of a small network, of a transformer of 11 million parameters and of a
ResNet-50, in one thread; where the norm of the gradients is under the limit, and where it is twice
the limit. Each of a round's variants gets the same gradients, put in place before its time begins.
What is compared is the CPU time of the process, and a ratio is the median over the rounds.

Large models are bound by memory. Torch moves 40 bytes a parameter: 4 for the norm, 8 to multiply,
28 for the step. Without the multiplication 32 are left, 0.80 of them; where the kernel clips in its
own pass, and leaves the clipped gradients, 36 or 0.90.

The aims: at most 0.8 of torch's clipping with torch's fused step, clipped or not; and the same bits
as torch's where nothing is clipped.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _rounds import verdict
from optimizer_step import Shape, copies, resnet50_shapes
from routed import block
from torch.nn.utils import clip_grad_norm_, get_total_norm

from nshtrainer.configs import AdamWConfig, ClippedConfig


def transformer_shapes() -> list[Shape]:
    """The shapes of eight blocks of width 320 and an embedding: 11 million parameters."""
    matrices, vectors = block(320)
    return [(4000, 320), *(matrices + vectors) * 8]


MODELS: dict[str, tuple[list[Shape], int]] = {
    "network, 9k": ([(64, 64), (64,), (64, 64), (64,), (10, 64), (10,)], 200),
    "transformer, 11M": (transformer_shapes(), 3),
    "ResNet-50, 26M": (list(resnet50_shapes()), 2),
}
"""The shapes of the parameters, and how many steps of each are timed in a round."""


class Variant:
    """An optimizer with clipping, and its own parameters and gradients."""

    def __init__(self, kind: str, gradients: list[torch.Tensor], limit: float) -> None:
        self.params = copies(
            [gradient.shape for gradient in gradients], [each.clone() for each in gradients]
        )
        self._gradients = gradients
        self._step = self._make(kind, limit)

    def _make(self, kind: str, limit: float) -> Callable[[], object]:
        if kind == "ours":
            config = ClippedConfig(optimizer=AdamWConfig(), max_norm=limit)
            return config.create_optimizer(self.params).step
        optimizer = torch.optim.AdamW(self.params, fused=True if kind == "fused" else None)

        def step() -> None:
            clip_grad_norm_(self.params, limit)
            optimizer.step()

        return step

    def microseconds(self, repeats: int) -> float:
        total = 0
        for _ in range(repeats):
            for param, gradient in zip(self.params, self._gradients, strict=True):
                param.grad.copy_(gradient)  # type: ignore[union-attr]
            start = time.process_time_ns()
            self._step()
            total += time.process_time_ns() - start
        return total / repeats / 1000


def measure(shapes: list[Shape], repeats: int, rounds: int, share: float) -> tuple[float, float]:
    """Return the ratios to torch with its fused step, and to torch's defaults."""
    torch.manual_seed(0)
    gradients = [torch.randn(shape) * 0.01 for shape in shapes]
    limit = share * get_total_norm(gradients).item()
    kinds = {kind: Variant(kind, gradients, limit) for kind in ("ours", "fused", "default")}
    for variant in kinds.values():
        variant.microseconds(max(2, repeats // 10))
    rows = [
        {kind: variant.microseconds(repeats) for kind, variant in kinds.items()}
        for _ in range(rounds)
    ]
    fused, default = (
        statistics.median(row["ours"] / row[kind] for row in rows) for kind in ("fused", "default")
    )
    return fused, default


def same_bits(shapes: list[Shape]) -> bool:
    """Return True if steps that clip nothing give the same weights as torch's."""
    gradients = [torch.randn(shape) * 0.01 for shape in shapes]
    ours, fused = (Variant(kind, gradients, 1e9) for kind in ("ours", "fused"))
    for variant in (ours, fused):
        variant.microseconds(3)
    return all(map(torch.equal, ours.params, fused.params))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each variant")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, median of {rounds} rounds of CPU time\n")
    print(f"{'parameters':20} {'gradients':12} {'to fused':>9} {'to default':>11}  at most 0.80")
    for name, (shapes, repeats) in MODELS.items():
        for label, share in (("not clipped", 2.0), ("clipped", 0.5)):
            fused, default = measure(shapes, repeats, rounds, share)
            met = verdict(met=fused <= 0.8)
            print(f"{name:20} {label:12} {fused:9.2f} {default:11.2f}  {met}", flush=True)
    same = all(same_bits(shapes) for shapes, _ in MODELS.values())
    print(f"\nthe same bits where nothing is clipped: {verdict(met=same)}")


if __name__ == "__main__":
    main()
