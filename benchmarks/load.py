"""Much of everything: ten thousand groups, a file of 5 MB, a thousand registered classes.

    python benchmarks/load.py [--rounds 3]

Each load is taken at a quarter, a half and the whole, each time in a process of its own: seconds of
CPU time and the megabytes by which the process grew, as Linux tells it, the least over the rounds.
The growth is the exponent from the quarter to the whole: 1 is linear, 2 is quadratic. What was
imported before is frozen, so that the garbage collector looks at the load alone.

The groups are made by rules that name one parameter each. Torch's own constructor compares every
group with all before it, which is quadratic and is what is left of `create_optimizer` beside the
rules; it is timed by itself, on the same groups made by hand.

The aim: a growth of at most 1.15, except in torch, whose growth is only printed.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from _rounds import verdict

Load = Callable[[int], Callable[[], object]]
"""Makes ready what a number of things needs, and gives what is timed."""


def rules(number: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"block{index}",
            "select": f"layers.{index}.weight",
            "options": {"lr": 0.001 * (1 + index / number)},
        }
        for index in range(number)
    ]


def layers(number: int) -> Any:
    from torch import nn

    return nn.ModuleDict(
        {"layers": nn.ModuleList([nn.Linear(1, 1, bias=False) for _ in range(number)])}
    )


def validated(number: int) -> Callable[[], object]:
    from nshtrainer.configs import AdamWConfig

    data = {"groups": rules(number)}
    AdamWConfig.model_validate({"groups": rules(1)})
    return lambda: AdamWConfig.model_validate(data)


def assigned(number: int) -> Callable[[], object]:
    from nshtrainer.configs import AdamWConfig
    from nshtrainer.optimizer.groups.build import build_groups

    config, model = AdamWConfig(groups=rules(number)), layers(number)
    return lambda: build_groups(config, model)


def built_by_torch(number: int) -> Callable[[], object]:
    import torch

    groups = [
        {"params": [param], "lr": 0.001 * (1 + index / number)}
        for index, param in enumerate(layers(number).parameters())
    ]
    return lambda: torch.optim.AdamW(groups)


def scheduled(number: int) -> Callable[[], object]:
    import torch

    import nshtrainer
    from nshtrainer.configs import CosineScheduleConfig

    rates = [0.001 * (1 + index / number) for index in range(number)]
    groups = [
        {"params": [param], "lr": rate}
        for param, rate in zip(layers(number).parameters(), rates, strict=True)
    ]
    optimizer = torch.optim.SGD(groups)
    run = nshtrainer.RunLength(total_steps=100)

    def call() -> None:
        scheduler = CosineScheduleConfig().create_scheduler(optimizer, run)["scheduler"]
        for _ in range(10):
            scheduler.step()

    return call


def long_rules(kilobytes: int) -> list[dict[str, Any]]:
    """Rules of about 760 bytes each: more of them would meet the limit on values first."""
    blocks = [f"encoder.block{block}.attention" for block in range(18)]
    number = int(kilobytes / 0.76)
    return [
        {"name": f"stage{index}", "select": "re:" + "|".join(f"stage{index}.{b}" for b in blocks)}
        for index in range(number)
    ]


def read(format_: Literal["yaml", "json", "toml"]) -> Load:
    def load(kilobytes: int) -> Callable[[], object]:
        import nshtrainer
        from nshtrainer.configs import AdamWConfig

        reader = getattr(AdamWConfig, f"from_{format_}")
        writer = f"to_{format_}"
        assert reader(getattr(AdamWConfig(), writer)()) == AdamWConfig()
        text = getattr(AdamWConfig(groups=long_rules(kilobytes)), writer)()
        assert 0.9 < len(text) / kilobytes / 1000 < 1.15, len(text)

        def call() -> None:
            with nshtrainer.large_files():
                reader(text)

        return call

    return load


def registered(number: int) -> Callable[[], object]:
    from typing import Literal as Tag

    from nshtrainer import Config
    from nshtrainer.configs import OptimizerConfig, OptimizerConfigBase, optimizer_registry

    class MyConfig(Config):
        optimizer: OptimizerConfig

    def create_optimizer(self: Any, params: Any) -> Any:
        raise NotImplementedError

    def call() -> None:
        for index in range(number):
            name = f"mine{index}"
            body = {
                "__annotations__": {"name": Tag[name], "lr": float},
                "__module__": __name__,
                "name": name,
                "lr": 0.1,
                "create_optimizer": create_optimizer,
            }
            cls: Any = type(f"Mine{index}Config", (OptimizerConfigBase,), body)
            optimizer_registry.register(cls)
        MyConfig.from_mapping({"optimizer": {"name": f"mine{number - 1}"}})

    return call


LOADS: dict[str, tuple[str, int, Load]] = {
    "groups validated": ("groups", 10_000, validated),
    "groups assigned": ("groups", 10_000, assigned),
    "groups scheduled, 10 updates": ("groups", 10_000, scheduled),
    "groups built by torch, by hand": ("groups", 10_000, built_by_torch),
    "YAML read": ("kB", 5000, read("yaml")),
    "JSON read": ("kB", 5000, read("json")),
    "TOML read": ("kB", 5000, read("toml")),
    "classes registered, one looked up": ("classes", 1000, registered),
}


def peak(*, afresh: bool = False) -> float:
    """The most memory that this process had, since it was last asked afresh, in megabytes."""
    if afresh:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def once(what: str, number: int) -> None:
    """Do it, and print seconds and megabytes."""
    call = LOADS[what][2](number)
    gc.collect()
    gc.freeze()
    memory, start = peak(afresh=True), time.process_time()
    call()
    print(json.dumps([time.process_time() - start, peak() - memory]))


def measured(what: str, number: int, rounds: int) -> tuple[float, float]:
    command = [sys.executable, __file__, "--once", what, "--number", str(number)]
    rows = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(rounds)
    ]
    seconds, megabytes = zip(*rows, strict=True)
    return min(seconds), min(megabytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", choices=LOADS, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        once(arguments.once, arguments.number)
        return
    for what, (unit, whole, _) in LOADS.items():
        sizes = (whole // 4, whole // 2, whole)
        figures = [measured(what, number, arguments.rounds) for number in sizes]
        growth = math.log(figures[2][0] / figures[0][0], 4)
        text = ", ".join(
            f"{number:,}: {seconds:.2f} s {megabytes:.0f} MB"
            for number, (seconds, megabytes) in zip(sizes, figures, strict=True)
        )
        aim = "" if "by torch" in what else f" (aim: at most 1.15, {verdict(met=growth <= 1.15)})"
        print(f"{what}, {unit} {text}; growth {growth:.2f}{aim}")


if __name__ == "__main__":
    main()
