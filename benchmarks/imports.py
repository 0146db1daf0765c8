"""Importing the configs against importing pydantic and torch; and with a hundred classes more.

    python benchmarks/imports.py [--rounds 9]

Each statement runs in a fresh interpreter, in turns; what is compared is the CPU time (user and
system) of the process, less that of an interpreter that does nothing. A ratio is the median over
the rounds. "a hundred more" registers a hundred optimizers in a module of their own, behind those
of torch, as the classes for another package would be.

The aim: at most 2.5 times `from pydantic import BaseModel` and 0.12 of `import torch`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from _rounds import program_seconds, verdict

CONFIGS = "from nshtrainer.configs import AdamWConfig"
SCHEDULE = "from nshtrainer.configs import LinearWarmupCosineDecayLRSchedulerConfig"

MORE = """
from typing import Literal
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase
from nshtrainer.optimizer import optimizer_registry
from nshtrainer.types import Beta, NonNegative
__all__ = []
"""
ONE_MORE = """
@optimizer_registry.register
class More{n}Config(TorchOptimizerConfigBase):
    target = "torch.optim:AdamW"
    name: Literal["more{n}"] = "more{n}"
    lr: NonNegative = 1e-3
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: NonNegative = 1e-8
    weight_decay: NonNegative = 0.0
"""
WITH_MORE = f"""
import nshtrainer.configs as configs
from nshtrainer.optimizer import optimizer_registry
configs._MODULES.append("hundred_more")
optimizer_registry.modules += ("hundred_more",)
{CONFIGS}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    statements = {
        "nothing": "pass",
        "pydantic": "from pydantic import BaseModel",
        "torch": "import torch",
        "configs": CONFIGS,
        "optimizer and schedule": f"{CONFIGS}; {SCHEDULE}",
        "a hundred more": WITH_MORE,
    }
    with tempfile.TemporaryDirectory() as folder:
        text = MORE + "".join(ONE_MORE.format(n=n) for n in range(100))
        Path(folder, "hundred_more.py").write_text(text, encoding="utf-8")
        program_seconds(["-c", WITH_MORE], folder)  # compile everything once
        table = [
            {name: program_seconds(["-c", text], folder) for name, text in statements.items()}
            for _ in range(rounds)
        ]

    def milliseconds(name: str) -> float:
        return 1000 * statistics.median(row[name] - row["nothing"] for row in table)

    def ratio(name: str, to: str) -> float:
        return statistics.median(
            (row[name] - row["nothing"]) / (row[to] - row["nothing"]) for row in table
        )

    for name in statements:
        print(f"{name:<24} {milliseconds(name):7.0f} ms over a bare interpreter")
    for name in ("configs", "optimizer and schedule", "a hundred more"):
        of_pydantic, of_torch = ratio(name, "pydantic"), ratio(name, "torch")
        print(
            f"{name}: {of_pydantic:.2f} of pydantic (aim: at most 2.5, "
            f"{verdict(met=of_pydantic <= 2.5)}), {of_torch:.3f} of torch "
            f"(aim: at most 0.12, {verdict(met=of_torch <= 0.12)})"
        )


if __name__ == "__main__":
    main()
