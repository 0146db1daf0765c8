"""`nshtrainer plot` of a run's file against `import torch`, each in a process of its own.

    python benchmarks/plot.py [--rounds 9]

The processes run in turns; what is compared is their CPU time (user and system). A ratio is the
median over the rounds.

The aim: at most 0.7 of `import torch`, for each format.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from _rounds import program_seconds, verdict

RUN = """\
model:
  optimizer: {name: adamw, lr: 3e-4}
  lr_scheduler: {name: cosine, warmup_duration: 5%, min_factor: 0.1}
trainer: {max_steps: 20000}
"""
FORMATS = {"the terminal": [], **{s: ["--out", f"run.{s}"] for s in ("svg", "html", "png")}}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    commands = {
        "import torch": ["-c", "import torch"],
        **{name: ["-m", "nshtrainer", "plot", "run.yaml", *out] for name, out in FORMATS.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "run.yaml").write_text(RUN, encoding="utf-8")
        for command in commands.values():  # byte-code and caches, once
            program_seconds(command, folder)
        rows = [
            {name: program_seconds(command, folder) for name, command in commands.items()}
            for _ in range(rounds)
        ]
    torch = statistics.median(row["import torch"] for row in rows)
    print(f"import torch: {torch * 1000:.0f} ms")
    for name in FORMATS:
        ratio = statistics.median(row[name] / row["import torch"] for row in rows)
        own = statistics.median(row[name] for row in rows) * 1000
        print(f"plot for {name}: {own:.0f} ms, {ratio:.2f} of it (aim: 0.7, ", end="")
        print(f"{verdict(met=ratio <= 0.7)})")


if __name__ == "__main__":
    main()
