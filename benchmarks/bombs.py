"""Files made to eat time or memory: what it costs to refuse each, in a process of its own.

    python benchmarks/bombs.py

The files are those of `tests/hostile/bombs.py`. Time is that of the processor inside the one call
that reads; memory is how far its peak grows in that call.

The aim: at most 200 ms and 50 MB for every one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from _rounds import verdict

ROOT = Path(__file__).parents[1]


def main() -> None:
    run = [sys.executable, "-m", "tests.hostile.bombs"]
    printed = subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in printed.splitlines()]
    print(f"{'':<48}      ms      MB")
    for row in rows:
        print(f"{row['name']:<48} {1000 * row['seconds']:7.1f} {row['megabytes']:7.1f}")
    seconds, megabytes = (max(row[key] for row in rows) for key in ("seconds", "megabytes"))
    met = seconds <= 0.2 and megabytes <= 50 and all(row["as_told"] for row in rows)
    print(
        f"the worst of {len(rows)}: {1000 * seconds:.0f} ms, {megabytes:.0f} MB "
        f"(aim: at most 200 ms and 50 MB, {verdict(met=met)})"
    )


if __name__ == "__main__":
    main()
