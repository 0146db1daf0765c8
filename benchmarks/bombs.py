"""Files made to eat time or memory: what it costs to refuse each, in a process of its own.

    python benchmarks/bombs.py

The files are those of `tests/hostile/bombs.py`. Time is that of the processor inside the one call
that reads; memory is how far its peak grows in that call. Both are compared with reading the
largest harmless file, on the same machine, in the same minute.

The aim: at most twice its time and eight times its memory for every one, beside what Python's own
TOML parser takes for a number of 190,000 digits.
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
    harmless, *rows = [json.loads(line) for line in printed.splitlines()]
    print(f"{'':<48}      ms      MB   times the harmless file's")
    for row in [harmless, *rows]:
        ratios = [f"{row.get(f'times_{key}', 1):7.2f}" for key in ("seconds", "megabytes")]
        print(f"{row['name']:<48} {figures(row)} {' '.join(ratios)}")
    worst = {key: max(row[key] for row in rows) for key in rows[0] if key not in ("name", "said")}
    met = all(row["as_told"] for row in rows) and worst["times_seconds"] <= 2
    met = met and worst["times_megabytes"] <= 8
    print(
        f"the worst of {len(rows)}: {figures(worst)} (ms, MB), {worst['times_seconds']} and "
        f"{worst['times_megabytes']} times the harmless file's (aim: at most 2 and 8, "
        f"{verdict(met=met)})"
    )


def figures(row: dict[str, float]) -> str:
    return f"{1000 * row['seconds']:7.1f} {row['megabytes']:7.1f}"


if __name__ == "__main__":
    main()
