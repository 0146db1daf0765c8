"""The JSON Schema of an optimizer and a schedule: its size, and the time that it takes.

    python benchmarks/schema.py [--rounds 9]

Sizes are those of the text that `nshtrainer schema` writes; pydantic's is written as short. The
time is the CPU time (user and system) of `nshtrainer schema` in a process of its own, less that of
an interpreter that does nothing: the median over the rounds.

The aim: at most 150 kB without the optimizers of other packages, 260 kB with all, and 300 ms.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile

from _rounds import program_seconds, verdict

from nshtrainer import Config
from nshtrainer.config.registry import Registry
from nshtrainer.config.schema.walk import dumps, schema_text
from nshtrainer.lr_scheduler import LRSchedulerConfig
from nshtrainer.optimizer import OptimizerConfig, optimizer_registry

COMMAND = """
import os, sys
from nshtrainer.cli import main
sys.stderr = open(os.devnull, "w")
main(["schema", "-o", "run.schema.json"])
"""


class BothConfig(Config):
    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig


def core(registry: Registry) -> None:
    """Forget the optimizers of other packages."""
    vars(registry)["_indexed"] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    nothing, schema = ["-c", "pass"], ["-c", COMMAND]
    with tempfile.TemporaryDirectory() as folder:
        program_seconds(schema, folder)  # byte-code, once
        times = [
            program_seconds(schema, folder) - program_seconds(nothing, folder)
            for _ in range(rounds)
        ]
    core(optimizer_registry)
    sizes = {"core": measured()}
    vars(optimizer_registry).pop("_indexed")
    sizes["all"] = measured()
    for (name, (ours, theirs)), aim in zip(sizes.items(), (150, 260), strict=True):
        print(f"{name}: {ours / 1000:.0f} kB, {ours / theirs:.2f} of pydantic's ", end="")
        print(f"{theirs / 1000:.0f} kB (aim: {aim} kB, {verdict(met=ours <= aim * 1000)})")
    seconds = statistics.median(times)
    print(f"nshtrainer schema: {seconds * 1000:.0f} ms (aim: 300, {verdict(met=seconds <= 0.3)})")


def measured() -> tuple[int, int]:
    """Return the number of bytes of our schema, and of pydantic's."""
    texts = schema_text(BothConfig.json_schema()), dumps(BothConfig.model_json_schema())
    ours, theirs = (len(text.encode()) for text in texts)
    return ours, theirs


if __name__ == "__main__":
    main()
