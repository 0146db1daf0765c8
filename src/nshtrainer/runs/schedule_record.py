"""Plot of the planned schedule, and a record of the values that each update used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, final

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from nshtrainer.config.files import write_file
from nshtrainer.escaping import csv_cell, printable
from nshtrainer.exceptions import ScheduleError
from nshtrainer.integrations.lightning.checkpoint.entries import refuse_entry
from nshtrainer.lr_scheduler.driver.hyperparameters import HyperparameterRef, find
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.lr_scheduler.preview import describe_tracks, number_text, preview_tracks
from nshtrainer.lr_scheduler.track import Track
from nshtrainer.plotting import Plot, rendered
from nshtrainer.runs.schedule_table import ScheduleTable

if TYPE_CHECKING:
    from nshtrainer.lr_scheduler.driver.plan import SchedulePlan
    from nshtrainer.runs.run_dir import RunFolder

__all__ = ["ScheduleRecord"]

_MOST_UNREAD = 5_000
"""Values in memory above which the table is written."""


class Row(NamedTuple):
    """One value at one update.

    Args:
        step: The number of the update.
        planned: The planned value; a schedule that monitors a metric has none.
        used: The used value. A copy of a tensor is read later: its device may be busy.
        why: The reason for a difference.
    """

    step: int
    planned: float | None
    used: Any
    why: str


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
    oldest: Row | None = None
    newest: Row | None = None
    unread: list[Row] = field(default_factory=list[Row])
    unlike: int = 0
    first: Row | None = None

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

    def look(self, groups: Sequence[dict[str, Any]], step: int, position: int, why: str) -> None:
        """Store the values of an update, and compare those that are no tensors."""
        planned = self.planned(position, groups[self.groups[0]])
        rows: list[Row] = []
        for place, index in enumerate(self.groups):
            used = self.place.get(groups[index])
            if isinstance(used, Tensor):
                if place:
                    continue
                used = used.detach().clone()
            rows.append(Row(step, planned, used, why))
        self.newest = rows[0]
        self.oldest = self.oldest or rows[0]
        self.unread.append(rows[0])
        different = [row for row in rows if not isinstance(row.used, Tensor) and _differs(row)]
        self._count(different[:1])

    def read(self) -> Iterator[tuple[int, float | str, float]]:
        """Yield the stored values, and compare those in tensors."""
        rows, self.unread = self.unread, []
        self._count([row for row in rows if isinstance(row.used, Tensor) and _differs(row)])
        for step, planned, used, _ in rows:
            yield step, "" if planned is None else planned, float(used)

    def _count(self, different: list[Row]) -> None:
        self.unlike += len(different)
        self.first = self.first or next(iter(different), None)


def _differs(row: Row) -> bool:
    return row.planned is not None and bool(row.used != row.planned)  # in a tensor's own precision


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
    ended: list[_Watch] = field(default_factory=list[_Watch])
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
                before = old.pop(watch.name)
                watch.oldest, watch.unread = before.oldest, before.unread
                watch.unlike, watch.first = before.unlike, before.first
        self.ended += old.values()

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
        late = f"the scheduler had made {moved} steps"
        why = "written by other code" if moved == position else late
        for watch in self.watches:
            watch.look(self.optimizer.param_groups, self.updates, position, why)
        self.updates += 1

    def metrics(self) -> dict[str, float]:
        """Return the values of the newest update in the form that a logger takes."""
        found: dict[str, float] = {}
        for watch in self.watches:
            if watch.newest is None:
                continue
            found[f"schedule/{self.prefix}{watch.name}/used"] = float(watch.newest.used)
            if watch.newest.planned is not None:
                found[f"schedule/{self.prefix}{watch.name}/planned"] = watch.newest.planned
        return found

    def read_into(self, table: ScheduleTable) -> None:
        """Add the values since the last call to the file."""
        for watch in (*self.ended, *self.watches):
            name = csv_cell(self.prefix + watch.name)
            for step, planned, used in watch.read():
                table.add((step, name, planned, used))

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
        texts = [text for watch in (*self.ended, *self.watches) for text in self._text(watch)]
        if self._plan is not None and self._plan.difference is not None:
            texts.append(f"planned for {self._plan.difference}")
        if not texts:
            texts = ["planned = used"]
        return f"{count}, {'; '.join(texts)}"

    def _text(self, watch: _Watch) -> Iterator[str]:
        if watch.by_metric and watch.oldest and watch.newest:
            first, last = (number_text(float(row.used)) for row in (watch.oldest, watch.newest))
            looks = f" monitors {self.looks_at}" if self.looks_at else ""
            text = f"{watch.name} from {first} to {last}"
            yield f"{text}; nothing was planned: {type(self.scheduler).__name__}{looks}"
        elif watch.first is not None:
            row = watch.first
            yield (
                f"{watch.name}: {watch.unlike:,} values not as planned, the first at step "
                f"{row.step:,}: planned {row.planned!r}, used {float(row.used)!r} ({row.why})"
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
        self._table = ScheduleTable(folder.schedule)
        self._unread = 0

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
        if began:
            self._table.resume(began)
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
            self._unread += len(record.watches)
            if every and record.updates % every == 0:
                for logger in trainer.loggers:
                    logger.log_metrics(record.metrics(), step=trainer.global_step)
        if self._unread >= _MOST_UNREAD:
            self._write()

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
        if self._table.every > 1:
            yield f"{self._folder.schedule.name} is long; it has 1 of {self._table.every} updates"

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
        for record in self._records:
            record.read_into(self._table)
        self._table.write()
        self._unread = 0
