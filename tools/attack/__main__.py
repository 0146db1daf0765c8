"""`python -m tools.attack --seed 0 --seconds 1200 --only damaged`; exit code 1 if any fails."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.attack.categories import MODULES
from tools.attack.frame import attack


def main(arguments: list[str] | None = None) -> int:
    """Run, and print the counts."""
    parser = ArgumentParser(prog="python -m tools.attack")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--most", type=int, default=10**9, help="attempts of each category")
    parser.add_argument("--first", type=int, default=0, help="number of the first attempt")
    parser.add_argument("--only", nargs="*", choices=sorted(MODULES), default=sorted(MODULES))
    args = parser.parse_args(arguments)
    names = [MODULES[name] for name in args.only]
    with TemporaryDirectory() as home:
        report = attack(
            names,
            Path(home),
            seed=args.seed,
            seconds=args.seconds,
            most=args.most,
            first=args.first,
        )
    print(report.text())
    return bool(report.failed.total())


if __name__ == "__main__":
    sys.exit(main())
