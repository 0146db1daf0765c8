"""Plot schedules in the terminal, or as .svg, .html, .png, .csv or .json.

A file is a run file, a config with an optimizer and a schedule, or a schedule. The length of the
run is read from the options, from the manifest of a run's folder, or from the trainer section of
the file. Overrides such as lr_scheduler.min_factor=0.1 take precedence over every file.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from nshtrainer.cli.length_options import add_length_arguments
from nshtrainer.console import say

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser
    from nshtrainer.config import Config
    from nshtrainer.config.document import Document
    from nshtrainer.plotting import Plot
    from nshtrainer.project.find_configs import LocatedSchedule
    from nshtrainer.run_length import RunLength

HELP = "plot the schedules of files"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    parser.add_file("files", nargs="+")
    parser.add_overrides("override of the files")
    text = "output file; its suffix is the format"
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", is_file=True, help=text)
    parser.add_code("use the classes and defaults of this code")
    add_length_arguments(parser, for_plot=True)


def run(args: Namespace) -> int:
    """Draw all schedules of all files in one picture, and describe each in a line."""
    _check_format(args.out)
    plots = [plot for file in args.files for plot in _plots(file, args)]
    if args.out is None:
        _print(plots)
    else:
        _write(plots, args.out)
    for plot in plots:
        say(f"{plot.label}: {plot.description}")
    return 0


# -- from a file to numbers ------------------------------------------------------------------------


def _plots(file: str, args: Namespace) -> Iterator[Plot]:
    """Yield the schedules of a file to draw.

    Raises:
        ConfigError: The file is invalid, has no schedule, or one that does not fit this run.
    """
    from nshtrainer.config.document import fail
    from nshtrainer.project.find_configs import schedules_in, with_recorded_lengths

    config, document = _read(file, args)
    found = schedules_in(config)
    if not found:
        fail(file, "has no schedule, so there is nothing to draw; add one, such as lr_scheduler=")
    args = with_recorded_lengths(args, file)
    for each in found:
        label = file if len(found) == 1 else f"{file} {each.path[-1]}"
        yield _plot(each, label, config, document, args)


def _read(file: str, args: Namespace) -> tuple[Config, Document]:
    from nshtrainer.project.partial_check import read_loosely

    overrides: Sequence[str] = args.overrides
    if not args.code:
        return read_loosely(file, overrides)
    from nshtrainer.config.io import read_document
    from nshtrainer.project.run_file import read_run
    from nshtrainer.project.user_code import load_user_code

    document = read_document(file)
    return read_run(document, load_user_code(args.code), overrides), document


def _plot(
    found: LocatedSchedule, label: str, config: Config, document: Document, args: Namespace
) -> Plot:
    from nshtrainer.exceptions import RunLengthError, ScheduleError
    from nshtrainer.project.find_configs import run_length, time_limit

    try:
        run = run_length(config, args)
        rate = run.context.base_lr
        bases = dict(found.bases) if rate is None else {**found.bases, "lr": rate}
        run = run.replace(base_lr=bases.get("lr"), beta2=bases.get("betas.1"))
        try:
            return _resolved(found, label, run, bases, args)
        except RunLengthError:
            seconds = time_limit(config)
            if seconds is None or run.total_steps is not None:
                raise
            return _resolved(found, label, replace(run, total_time=seconds), bases, args)
    except ScheduleError as error:
        _refuse(error, found, config, document)


def _resolved(
    found: LocatedSchedule, label: str, run: RunLength, bases: dict[str, float], args: Namespace
) -> Plot:
    from nshtrainer.lr_scheduler.preview import describe_tracks, preview_tracks
    from nshtrainer.plotting import Plot

    schedule = found.schedule
    if not schedule.is_curve:
        return Plot(label, schedule.preview(run), schedule.describe(run))
    tracks, points = schedule.tracks(run), _POINTS.get(_suffix(args.out), 200)
    preview = preview_tracks(tracks, run, points, bases=bases, label=schedule.name)
    return Plot(label, preview, describe_tracks(tracks, run, bases=bases, label=schedule.name))


_POINTS = {".html": 1000, ".csv": 1000, ".json": 1000}
"""Number of sampled steps of a data file, such as CSV."""


def _refuse(
    error: Exception, found: LocatedSchedule, config: Config, document: Document
) -> NoReturn:
    """Refuse a schedule with its place, naming command-line options instead of Python arguments."""
    from nshtrainer.config.document import fail
    from nshtrainer.config.messages import dotted
    from nshtrainer.project.find_configs import trainer_in

    trainer = trainer_in(config)
    by_epochs = trainer is not None and trainer.max_epochs is not None

    def option(match: re.Match[str]) -> str:
        name = match[1].replace("_", "-")
        either = " or --steps-per-epoch" if name == "total-steps" and by_epochs else ""
        return f"give --{name}{either}"

    text = re.sub(r"pass RunLength\((\w+)=\.\.\.\)", option, str(error))
    where = dotted(found.path)
    fail(document.place(found.path), f"{where}: {text}" if where else text, error)


# -- the picture -----------------------------------------------------------------------------------


def _suffix(out: Path | None) -> str:
    return "" if out is None else out.suffix.lower()


def _check_format(out: Path | None) -> None:
    from nshtrainer.config.document import fail
    from nshtrainer.plotting import FORMATS

    if out is not None and _suffix(out) not in FORMATS:
        fail(f"--out {out}", f"unsupported suffix; use one of {', '.join(FORMATS)}")


def _print(plots: Sequence[Plot]) -> None:
    from nshtrainer.escaping import without_commands
    from nshtrainer.plotting import figure_of
    from nshtrainer.plotting.terminal import text

    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    width = shutil.get_terminal_size((100, 24)).columns
    drawn = text(figure_of(plots), width, colour=not plain, ascii_only=not _shows_dots())
    print(without_commands(drawn))


def _shows_dots() -> bool:
    try:
        "⣿┊┤".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _write(plots: Sequence[Plot], out: Path) -> None:
    from nshtrainer.config.files import write_file
    from nshtrainer.plotting import rendered

    picture = rendered(plots, _suffix(out))
    write_file(out, picture)
    say(f"written to {out}")
