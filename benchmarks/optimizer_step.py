"""One optimizer step: our defaults against torch's defaults, on about 25 million parameters.

    python benchmarks/optimizer_step.py [--rounds 7] [--only adamw sgd]

Both optimizers update tensors of the shapes of a ResNet-50 (161 tensors), with the same gradients,
in one process and one thread. A round times one step of each, in turns; what is compared is the CPU
time of the process, and a ratio is the median over the rounds of nshtrainer / torch. Muon, whose
bfloat16 products are slow on most CPUs, gets eight matrices of 128 x 128. SparseAdam and LBFGS are
left out: one takes no dense gradients, the other needs a closure.

The aim: AdamW at least 3 times as fast, and no optimizer more than 3 % slower.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase, target_class

Shape = tuple[int, ...]

VARIANTS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "weight_decay": 1e-4},
    "rmsprop": {"momentum": 0.9},
}
"""Options that are measured in addition to the defaults."""


WARM_UP = 8
"""Steps before the measurement: the first makes the state; RAdam does less in the first five."""


def resnet50_shapes() -> Iterator[Shape]:
    """The shapes of the parameters of a ResNet-50: 25.6 million in 161 tensors."""
    yield from ((64, 3, 7, 7), (64,), (64,))
    inside = 64
    for blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            outside = 4 * width
            convs = [(width, inside, 1, 1), (width, width, 3, 3), (outside, width, 1, 1)]
            if block == 0:
                convs.append((outside, inside, 1, 1))
            for conv in convs:
                yield from (conv, conv[:1], conv[:1])
            inside = outside
    yield from ((1000, 2048), (1000,))


def shapes_for(config: type[TorchOptimizerConfigBase]) -> list[Shape]:
    return [(128, 128)] * 8 if config.needs_dimensions == 2 else list(resnet50_shapes())


def copies(shapes: list[Shape], gradients: list[torch.Tensor]) -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape) * 0.05) for shape in shapes]
    for param, gradient in zip(params, gradients, strict=True):
        param.grad = gradient
    return params


def cpu_time(optimizer: torch.optim.Optimizer) -> float:
    start = time.process_time()
    optimizer.step()
    return time.process_time() - start


def measure(config: TorchOptimizerConfigBase, rounds: int) -> tuple[float, float, float]:
    """Return the median milliseconds of torch and nshtrainer, and the median ratio."""
    shapes = shapes_for(type(config))
    gradients = [torch.randn(shape) * 0.01 for shape in shapes]
    options = config.model_dump(exclude={"name"}, exclude_unset=True)
    theirs = target_class(config.target)(copies(shapes, gradients), **options)
    ours = config.create_optimizer(copies(shapes, gradients))
    for _ in range(WARM_UP):
        theirs.step()
        ours.step()
    times: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            times.append((cpu_time(theirs), cpu_time(ours)))
        else:
            times.append((cpu_time(ours), cpu_time(theirs))[::-1])
    ratio = statistics.median(own / their for their, own in times)
    their, own = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    return their, own, ratio


def choice(config: TorchOptimizerConfigBase) -> str:
    group = config.create_optimizer([torch.nn.Parameter(torch.zeros(2, 2))]).param_groups[0]
    return "fused" if group.get("fused") else "torch's"


def runs(only: list[str]) -> Iterator[tuple[str, TorchOptimizerConfigBase]]:
    for name, cls in sorted(optimizer_registry.items()):
        if only and name not in only:
            continue
        if not (issubclass(cls, TorchOptimizerConfigBase) and cls.target.startswith("torch.")):
            continue
        if cls.needs_closure or cls.needs_sparse_gradients:
            continue
        yield name, cls()
        if name in VARIANTS:
            options = VARIANTS[name]
            yield f"{name} {' '.join(f'{k}={v}' for k, v in options.items())}", cls(**options)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="steps of each that are timed")
    parser.add_argument("--only", nargs="*", default=[], help="names of optimizers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    count = sum(torch.Size(shape).numel() for shape in resnet50_shapes())
    print(f"{count / 1e6:.1f}M parameters in {len(list(resnet50_shapes()))} tensors, one thread,")
    print(f"torch {torch.__version__}, median of {arguments.rounds} rounds of CPU time\n")
    print(f"{'optimizer':40} {'choice':8} {'torch ms':>9} {'ours ms':>9} {'ratio':>6}  speed-up")
    ratios: dict[str, float] = {}
    for label, config in runs(arguments.only):
        their, own, ratio = measure(config, arguments.rounds)
        ratios[label] = ratio
        row = (
            f"{label:40} {choice(config):8} {their:9.1f} {own:9.1f} {ratio:6.2f}  {1 / ratio:.1f}x"
        )
        print(row, flush=True)
    print()
    if "adamw" in ratios:
        met = "met" if ratios["adamw"] <= 1 / 3 else "NOT met"
        print(f"AdamW at least 3 times as fast: {met} ({1 / ratios['adamw']:.1f})")
    slowest = max(ratios, key=lambda label: ratios[label])
    met = "met" if ratios[slowest] <= 1.03 else "NOT met"
    print(f"none more than 3 % slower: {met} (worst: {slowest}, {ratios[slowest]:.3f})")


if __name__ == "__main__":
    main()
