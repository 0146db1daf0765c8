"""Plot of the planned schedule, and a record of the values that each update used."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, final

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from nshtrainer.runs.metrics import rows_before
from nshtrainer.config.files import replace_file, write_file
from nshtrainer.escaping import csv_cell, printable
from nshtrainer.exceptions import ScheduleError
from nshtrainer.integrations.lightning.checkpoint.entries import refuse_entry
from nshtrainer.lr_scheduler.driver.hyperparameters import HyperparameterRef, find
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.lr_scheduler.preview import describe_tracks, number_text, preview_tracks
from nshtrainer.lr_scheduler.track import Track
from nshtrainer.plotting import Plot, rendered

if TYPE_CHECKING:
    from nshtrainer.runs.run_dir import RunFolder
    from nshtrainer.lr_scheduler.driver.plan import SchedulePlan

__all__ = ["ScheduleRecord"]

_MOST_ROWS = 2000
"""Above this number of updates only every 2nd, 4th, ... is written; all are compared."""

_HEAD = ("step", "hyperparameter", "planned", "used")


class Row(NamedTuple):
    """One value at one update; a schedule that monitors a metric has no planned value."""

    step: int
    planned: float | None
    used: float


@dataclass
class _Watch:
    """One hyperparameter of the groups that share a curve and a base.

    Args:
        group: The name of the first of the groups; empty if all share one plan.
        place: The location of the hyperparameter in a group.
        track: The curve; None if nothing is planned.
        groups: The indices of the groups.
        by_metric: True if the value also depends on a metric and cannot be planned.
    """

    group: str
    place: HyperparameterRef
    track: Track | None
    groups: list[int]
    by_metric: bool
    rows: list[Row] = field(default_factory=list[Row])
    newest: Row | None = None
    every: int = 1
    unlike: int = 0
    first: Row | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """The name of the value: `lr`, or `backbone/lr`."""
        return f"{self.group}/{self.place}" if self.group else str(self.place)

    def planned(self, position: int, group: dict[str, Any]) -> float | None:
        """Return the planned value at this position."""
        if self.track is None or self.by_metric:
            return None
        base = 1.0 if self.track.kind == "value" else group[f"initial_{self.place}"]
        return base * self.track.curve(position)

    def look(self, groups: Sequence[dict[str, Any]], step: int, position: int) -> bool:
        """Compare and store the values of an update; return True if one differs from the plan."""
        planned = self.planned(position, groups[self.groups[0]])
        keep = step % self.every == 0
        unlike = False
        for place, index in enumerate(self.groups):
            used = self.place.get(groups[index])
            # A tensor may lie on an accelerator, which would have to be waited for.
            if isinstance(used, Tensor) and not (keep and place == 0):
                continue
            row = self.newest = Row(step, planned, float(used))
            if planned is not None and not _same(planned, used):
                self.first, unlike = self.first or row, True
            if keep and place == 0:
                self.rows.append(row)
        self.unlike += unlike
        self._thin()
        return unlike

    def _thin(self) -> None:
        if len(self.rows) > _MOST_ROWS:
            self.every *= 2
            self.rows = [row for row in self.rows if row.step % self.every == 0]


def _same(planned: float, used: Any) -> bool:
    if isinstance(used, Tensor):  # in its own precision
        return bool(used == planned)
    return used == planned


@dataclass
class _Record:
    """One scheduler, the optimizer that it drives, and the recorded values.

    Args:
        scheduler: The scheduler.
        optimizer: The optimizer.
        prefix: A prefix of the names if there are several schedulers, such as `0/`.
        updates: The number of updates so far, those before a resume included.
        looks_at: The monitored metric, if any.
    """

    scheduler: Any
    optimizer: Optimizer
    prefix: str
    updates: int
    looks_at: str | None
    began: int = field(init=False)
    watches: list[_Watch] = field(default_factory=list[_Watch])
    planned: object = None

    def __post_init__(self) -> None:
        self.began = self.updates

    def watch(self) -> None:
        """Collect the scheduled values, again if a group was added or the plan changed."""
        planned = self._plan, len(self.optimizer.param_groups)
        if planned == self.planned:
            return
        old = {watch.name: watch for watch in self.watches}
        self.planned = planned
        self.watches = list(self._watches())
        for watch in self.watches:
            if watch.name in old:
                watch.rows, watch.every = old[watch.name].rows, old[watch.name].every
                watch.unlike, watch.first = old[watch.name].unlike, old[watch.name].first

    @property
    def _plan(self) -> SchedulePlan | None:
        return self.scheduler.plan if isinstance(self.scheduler, CurveScheduler) else None

    def _watches(self) -> Iterator[_Watch]:
        found: dict[tuple[HyperparameterRef, Any, float], _Watch] = {}
        for index, group in enumerate(self.optimizer.param_groups):
            for track in self._tracks(group):
                place = find(group, track.hyperparameter if track else "lr")
                base = float(group.get(f"initial_{place}", 0.0))
                key = (place, track and track.curve, base)
                if key in found:
                    found[key].groups.append(index)
                else:
                    name = str(group.get("name", index))
                    by_metric = track is None or self.looks_at is not None
                    found[key] = _Watch(name, place, track, [index], by_metric)
        for watch in found.values():
            if sum(other.place == watch.place for other in found.values()) == 1:
                watch.group = ""
            yield watch

    def _tracks(self, group: dict[str, Any]) -> Iterator[Track | None]:
        if isinstance(self.scheduler, CurveScheduler):
            yield from self.scheduler.plan.tracks(group, float(group["initial_lr"]))
        else:
            yield None

    def look(self) -> None:
        """Compare the values of this update with the plan."""
        self.watch()
        position, moved = self.updates, self.updates
        if isinstance(self.scheduler, CurveScheduler):
            moved = self.scheduler.last_epoch
            if self.scheduler.plan.run.total_time is not None:
                position = moved  # given by the clock, not by the number of updates
        groups = self.optimizer.param_groups
        for watch in self.watches:
            if watch.look(groups, self.updates, position) and not watch.why:
                watch.why = (
                    "written by other code"
                    if moved == position
                    else f"the scheduler had made {moved} steps"
                )
        self.updates += 1

    def metrics(self) -> dict[str, float]:
        """Return the values of the newest update in the form that a logger takes."""
        found: dict[str, float] = {}
        for watch in self.watches:
            if watch.newest is None:
                continue
            found[f"schedule/{self.prefix}{watch.name}/used"] = watch.newest.used
            if watch.newest.planned is not None:
                found[f"schedule/{self.prefix}{watch.name}/planned"] = watch.newest.planned
        return found

    def table(self) -> Iterator[tuple[int, str, float | str, float]]:
        """Yield the rows of the file."""
        for watch in self.watches:
            name = csv_cell(self.prefix + watch.name)
            for step, planned, used in watch.rows:
                yield step, name, "" if planned is None else planned, used

    def plot(self, label: str) -> Plot:
        """Return the plot of the plan.

        Raises:
            ScheduleError: Neither the schedule nor the run has an end.
        """
        self.watch()
        tracks = [
            watch.track._replace(group=watch.group or None)
            for watch in self.watches
            if watch.track is not None
        ]
        groups = self.optimizer.param_groups
        bases = {
            watch.name: float(groups[watch.groups[0]].get(f"initial_{watch.place}", 1.0))
            for watch in self.watches
        }
        run = self.scheduler.plan.run
        description = describe_tracks(tracks, run, bases=bases)
        return Plot(label, preview_tracks(tracks, run, bases=bases), description)

    def summary(self) -> str:
        """Summarize planned against used values in a line."""
        count = f"{self.updates:,} updates"
        if self.updates > self.began > 0:
            count = f"{count}, of which {self.updates - self.began:,} in this run"
        texts = [text for watch in self.watches for text in self._text(watch)]
        if self._plan is not None and self._plan.difference is not None:
            texts.append(f"planned for {self._plan.difference}")
        if not texts:
            texts = ["planned = used"]
        return f"{count}, {'; '.join(texts)}"

    def _text(self, watch: _Watch) -> Iterator[str]:
        if watch.by_metric and watch.rows:
            first, last = number_text(watch.rows[0].used), number_text(watch.rows[-1].used)
            looks = f" monitors {self.looks_at}" if self.looks_at else ""
            text = f"{watch.name} from {first} to {last}"
            yield f"{text}; nothing was planned: {type(self.scheduler).__name__}{looks}"
        elif watch.first is not None:
            row = watch.first
            yield (
                f"{watch.name}: {watch.unlike:,} values not as planned, the first at step "
                f"{row.step:,}: planned {row.planned!r}, used {row.used!r} ({watch.why})"
            )


@final
class ScheduleRecord(Callback):
    """Plot the planned schedule, and compare each update with the plan.

    Args:
        folder: The folder of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._records: list[_Record] = []
        self._resumed: dict[str, int] = {}
        self._before: list[dict[str, str]] = []

    # -- following the run -------------------------------------------------------------------

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the plan, after a checkpoint was loaded."""
        if not trainer.is_global_zero:
            return
        configs = trainer.lr_scheduler_configs
        several = len(configs) > 1
        for place, config in enumerate(configs):
            key = str(place)
            self._records.append(
                _Record(
                    config.scheduler,
                    config.scheduler.optimizer,
                    f"{key}/" if several else "",
                    self._resumed.get(key, trainer.global_step),
                    config.monitor,
                )
            )
        began = max((record.updates for record in self._records), default=0)
        rows = rows_before(self._folder.schedule, began) if began else []
        self._before = [row for row in rows if row.keys() == set(_HEAD)]
        self._draw()

    @override
    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Record the values that this update uses."""
        every: int = getattr(trainer, "log_every_n_steps")  # noqa: B009 - Lightning sets it late
        for record in self._records:
            # Lightning may have put something around the optimizer.
            if record.optimizer is not getattr(optimizer, "optimizer", optimizer):
                continue
            record.look()
            if every and record.updates % every == 0:
                for logger in trainer.loggers:
                    logger.log_metrics(record.metrics(), step=trainer.global_step)

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write the table, so that a killed run resumes with its rows."""
        self._write()

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the table."""
        self._write()

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates of each scheduler's optimizer."""
        return {str(place): record.updates for place, record in enumerate(self._records)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of updates."""
        for place, count in state_dict.items():
            if not isinstance(count, int) or count < 0:
                refuse_entry(f"callbacks.ScheduleRecord.{printable(place)}", "is not a count")
        self._resumed = dict(state_dict)

    def summary(self) -> Iterator[str]:
        """Summarize planned against used values, a line for each scheduler."""
        for record in self._records:
            yield f"{record.prefix[:-1]}: {record.summary()}" if record.prefix else record.summary()

    # -- writing -----------------------------------------------------------------------------

    def _draw(self) -> None:
        plots: list[Plot] = []
        title = "/".join(self._folder.path.parts[-2:])
        for record in self._records:
            if not isinstance(record.scheduler, CurveScheduler):
                continue
            try:
                label = f"scheduler {record.prefix[:-1]}" if record.prefix else title
                plots.append(record.plot(label))
            except ScheduleError:  # without an end there is no picture
                continue
        if plots:
            self._folder.path.mkdir(parents=True, exist_ok=True)
            write_file(self._folder.picture, rendered(plots, ".svg", title))

    def _write(self) -> None:
        rows = [row for record in self._records for row in record.table()]
        if not rows:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_HEAD)
        writer.writerows([row[key] for key in _HEAD] for row in self._before)
        writer.writerows(sorted(rows, key=itemgetter(0)))
        replace_file(self._folder.schedule, text.getvalue().encode())
