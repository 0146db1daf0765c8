"""List the runs below a folder, or compare two runs.

The records are the manifest.json of runs that `nshtrainer fit` or the callback
nshtrainer.RunManifest wrote. One folder is searched; two runs are compared: their configs with
defaults filled in and schedules by their values, and their metrics. No code of a run is imported.
"""

from __future__ import annotations

import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshtrainer.console import print_table, say

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser
    from nshtrainer.runs.listing import RecordedRun

_WIDE = 120

HELP = "list runs with their outcomes, or compare two runs"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    text = "folder to search (default: runs), or two runs to compare"
    parser.add_file("folders", nargs="*", metavar="FOLDER", type=Path, help=text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    text = "plot of the curves of two runs; its suffix is the format"
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", is_file=True, help=text)


def run(args: Namespace) -> int:
    """Print a row for each run, or the differences of two runs."""
    from nshtrainer.config.document import fail
    from nshtrainer.config.files import kind_of
    from nshtrainer.plotting import FORMATS
    from nshtrainer.runs.listing import find_runs, read_run_folder

    folders: Sequence[Path] = args.folders or [Path("runs")]
    if len(folders) > 2:
        fail("runs", f"got {len(folders)} folders; give one to list runs, or two runs to compare")
    if args.out is not None and (len(folders) != 2 or args.out.suffix.lower() not in FORMATS):
        fail(f"--out {args.out}", f"give two runs, and a suffix among {', '.join(FORMATS)}")
    if len(folders) == 1:
        is_first = not args.folders and kind_of(folders[0]) is None
        _list([] if is_first else find_runs(folders[0]), folders[0], args)
    else:
        first, second = map(read_run_folder, folders)
        _compare(first, second, args)
    return 0


def _print_json(data: Any) -> None:
    from nshtrainer.config.formats.json import write_json

    print(write_json(data), end="")


# -- list ------------------------------------------------------------------------------------------


def _list(runs: list[RecordedRun], folder: Path, args: Namespace) -> None:
    from nshtrainer.config.messages import truncate
    from nshtrainer.runs.listing import differing_values

    different = differing_values(runs)
    if args.json:
        rows = [{**r.to_dict(), "differs": d} for r, d in zip(runs, different, strict=True)]
        _print_json(rows)
        return
    if not runs:
        say(f"no runs in {folder}" if args.folders else "no runs yet; train with nshtrainer fit")
        return
    rows = [
        (
            os.path.relpath(each.path, folder) if each.path != folder else str(folder),
            each.started.astimezone().strftime("%Y-%m-%d %H:%M") if each.started else "",
            *_facts(each),
            ", ".join(truncate(f"{key}={value}") for key, value in own.items()),
        )
        for each, own in zip(runs, different, strict=True)
    ]
    columns = ("run", "started", "duration", "outcome", "steps", "result", "differs in")
    if sys.stdout.isatty() and shutil.get_terminal_size().columns < _WIDE:
        for row in rows:
            _print_narrow(dict(zip(columns, row, strict=True)))
        return
    shown = [at for at in range(len(columns)) if any(row[at] for row in rows)]
    print_table([columns[at] for at in shown], [[row[at] for at in shown] for row in rows])


def _print_narrow(row: dict[str, str]) -> None:
    """Print a run in a few lines, for a terminal in which the table would break its cells."""
    say(f"{row['run']}  {row['outcome']}")
    steps = f"{row['steps']} steps" if row["steps"] else ""
    for texts in ((row["started"], row["duration"], steps, row["result"]), (row["differs in"],)):
        line = "  ".join(filter(None, texts))
        if line:
            say(f"  {line}")


def _facts(each: RecordedRun) -> tuple[str, str, str, str]:
    """Return the duration, the outcome, the steps and the main result."""
    from nshtrainer.lr_scheduler.preview import time_text

    if each.manifest is None:
        return "", each.outcome, "", ""
    last = each.manifest.last
    error = f" ({last.error.partition(':')[0]})" if last.error else ""
    results = [*last.best.items()] or [*last.metrics.items()]
    main = [f"{name} {_number(value)}" for name, value in results[:1]]
    return time_text(each.seconds or 0), f"{each.outcome}{error}", f"{last.steps:,}", "".join(main)


def _number(value: float | None) -> str:
    return "NaN or Inf" if value is None else f"{value:.4g}"


# -- compare ---------------------------------------------------------------------------------------


def _compare(first: RecordedRun, second: RecordedRun, args: Namespace) -> None:
    from nshtrainer.analysis.config_diff import by_data
    from nshtrainer.project.find_configs import recorded_lengths

    lengths = [Namespace(**recorded_lengths(each.manifest)) for each in (first, second)]
    found = by_data(first.config, second.config, lengths)
    if args.json:
        runs = [each.to_dict() for each in (first, second)]
        _print_json({"runs": runs, "config": [each._asdict() for each in found]})
    else:
        for each in found:
            say(f"{each.where}: {each.first} -> {each.second}")
        if not found:
            say("no difference in the configs")
        names = [str(each.path) for each in (first, second)]
        rows = [*_rows_of_facts(first, second), *_rows_of_metrics(first, second)]
        print_table(("", *names), [row for row in rows if any(row[1:])])
    if args.out is not None:
        _plot(first, second, args.out)


def _rows_of_facts(*runs: RecordedRun) -> Iterator[tuple[str, ...]]:
    yield from zip(
        ("duration", "outcome", "steps"), *(_facts(each)[:3] for each in runs), strict=True
    )
    last = [each.manifest.last if each.manifest else None for each in runs]
    yield "code", *((each.code or "") if each else "" for each in last)
    yield "commit", *(_commit(each.git) if each and each.git else "" for each in last)
    versions: list[dict[str, str]] = [each.versions if each else {} for each in last]
    for name in dict.fromkeys(name for each in versions for name in each):
        texts = [each.get(name, "") for each in versions]
        if len(set(texts)) > 1:
            yield name, *texts


def _commit(git: Any) -> str:
    return f"{git.commit[:12]}{' with changes' if git.is_dirty else ''}"


def _rows_of_metrics(*runs: RecordedRun) -> Iterator[tuple[str, ...]]:
    for kind, word in (("metrics", "last"), ("best", "best")):
        values: list[dict[str, float | None]] = [
            getattr(each.manifest.last, kind) if each.manifest else {} for each in runs
        ]
        for name in dict.fromkeys(name for each in values for name in each):
            texts = [_number(each[name]) if name in each else "" for each in values]
            yield f"{word} {name}", *texts


def _plot(first: RecordedRun, second: RecordedRun, out: Path) -> None:
    from nshtrainer.config.document import fail
    from nshtrainer.config.files import write_file
    from nshtrainer.plotting import rendered
    from nshtrainer.runs.curves import plots_of

    names = [each.path.name for each in (first, second)]
    if names[0] == names[1]:
        names = [str(each.path) for each in (first, second)]
    plots = [
        plot
        for each, name in zip((first, second), names, strict=True)
        for plot in plots_of(each.path, name)
    ]
    if not plots:
        fail(f"{first.path}, {second.path}", "have neither metrics.csv nor schedule.csv to plot")
    write_file(out, rendered(plots, out.suffix.lower(), " and ".join(names)))
    say(f"written to {out}")
