"""A schedule resolved for one run and its parameter groups."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.exceptions import NshtrainerWarning, RunLengthError, ScheduleError
from nshtrainer.lr_scheduler.driver.hyperparameters import find
from nshtrainer.lr_scheduler.track import Track
from nshtrainer.run_length import LazyRunLength

if TYPE_CHECKING:
    from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase
    from nshtrainer.lr_scheduler.driver.hyperparameters import HyperparameterRef
    from nshtrainer.lr_scheduler.track import Curve
    from nshtrainer.run_length import RunLength

__all__ = ["SchedulePlan"]

Group = Mapping[str, Any]

_OWN_LENGTH = (
    "Give its durations in steps, or pass RunLength(total_steps=..., steps_per_epoch=[...]) to "
    "create_scheduler"
)


class SchedulePlan:
    """The tracks of each parameter group, in a run of known length.

    A schedule is resolved once for each base rate, because an absolute rate is another factor of
    each, and again for groups that are added during the run.

    Args:
        run: The length of the run.
        config: The config of the schedule.
        curve: In the place of a config, a curve for the learning rate of every group.
        label: The name of that curve.
    """

    def __init__(
        self,
        run: RunLength,
        config: LRSchedulerConfigBase | None = None,
        *,
        curve: Curve | None = None,
        label: str | None = None,
    ) -> None:
        self.run = run
        self.config = config
        self._curve = curve
        self._given_label = label
        self._tracks: dict[tuple[float, float | None], Sequence[Track]] = {}
        self.in_use: dict[tuple[float, float | None], None] = {}
        """The base rate and beta2 of each group for which the plan was resolved."""
        self.is_of_trainer = isinstance(run, LazyRunLength)
        """True if a trainer counted the lengths; lengths that were passed are never overridden."""
        self.difference: str | None = None
        """The assumed and the real length, where they differ and steps have been made."""
        self.is_warned = False
        """True after a warning about the length or the calls: further ones wait for the end."""
        self.is_open = False
        """True after a warning about lengths: the length of the run is known at its end."""

    def in_run(self, run: RunLength) -> SchedulePlan:
        """Return the plan of the same config in a run of another length."""
        assert self.config is not None, "a schedule that a trainer gave its length has one"
        made = SchedulePlan(run, self.config)
        made.is_warned, made.difference, made.is_open = (
            self.is_warned,
            self.difference,
            self.is_open,
        )
        return made

    def differs_from(self, run: RunLength) -> bool:
        """Return True if the lengths that a trainer knows now would give another schedule."""
        # A timed run has a fixed number of ticks, whatever a trainer counts.
        is_timed = self.run.total_time is not None
        return self.is_of_trainer and not is_timed and self.run.differs_from(run)

    def warn_difference(self, text: str, remedy: str | None = None) -> None:
        """Warn that a run is not as long as assumed; once before its end.

        Args:
            text: The assumed length and that of the run.
            remedy: An imperative; by default, to pass the lengths.
        """
        if not self.is_warned:
            self._warn(text, remedy)

    def check_end(self, made: int, remedy: str | None = None, *, was_stopped: bool) -> None:
        """Warn that a run had another number of steps than planned, also after other warnings.

        Args:
            made: The number of steps.
            remedy: An imperative; by default, to pass the lengths.
            was_stopped: True if the run was stopped early, which makes it shorter legitimately.
        """
        total = self.run.total_steps
        is_as_planned = total is None or made == total or (was_stopped and made < total)
        if not is_as_planned and (self.is_open or not self.is_warned):
            self._warn(f"{total} steps, but there were {made}", remedy)

    def _warn(self, text: str, remedy: str | None) -> None:
        self.is_warned, self.difference, self.is_open = True, text, remedy is None
        name = getattr(self.config, "name", "")
        message = f"schedule {name!r}: resolved for {text}. {remedy or _OWN_LENGTH}."
        warnings.warn(message, NshtrainerWarning, stacklevel=4)

    def warn_rhythm(self, problem: str) -> None:
        """Warn that a schedule does not move once with each update; once in a run.

        Args:
            problem: A main clause about the updates.
        """
        if not self.is_warned:
            self.is_warned = True
            warnings.warn(
                f"{self.name}: a step of the schedule is one optimizer update, and {problem}. Call "
                "scheduler.step() after each optimizer.step(); for Lightning return what "
                'create_scheduler gives, or {"scheduler": scheduler, "interval": "step"}.',
                NshtrainerWarning,
                stacklevel=6,
            )

    def begin_run(self) -> None:
        """Enable the warnings again, for another run."""
        self.is_warned, self.difference, self.is_open = False, None, False

    def warn_used(self, position: int, run: RunLength, begin: int) -> None:
        """Warn if steps were made in an earlier run, and this run has another start or length.

        Args:
            position: The steps that the schedule has made.
            run: The length of this run.
            begin: The step at which this run begins.
        """
        if position != begin or self.differs_from(run):
            text = (
                f"{_steps_of(self.run)}, {position} of them taken in an earlier run, but this run "
                f"begins at step {begin} and has {_steps_of(run)}"
            )
            self.warn_difference(text, "Create a new optimizer and scheduler for each run")

    def tracks(self, group: Group, base_lr: float) -> Iterable[Track]:
        """Return the tracks of a group.

        Args:
            group: The parameter group.
            base_lr: The base rate of the group.

        Raises:
            ScheduleError: The schedule does not fit this run and this rate.
        """
        # Groups with the same base rate and beta2 share their tracks.
        betas = group.get("betas")
        # The initial value: a schedule may have changed the current one.
        name = f"initial_betas.{len(betas) - 1}" if betas else ""
        key = base_lr, float(group.get(name, betas[-1])) if betas else None
        self.in_use[key] = None
        if key not in self._tracks:
            self._tracks[key] = self._resolved(self.run.replace(base_lr=key[0], beta2=key[1]))
        own = group.get("name")
        fitting = [t for t in self._tracks[key] if t.group is None or _fits(t.group, own)]
        # The longest name is the most specific; a later entry of the dict replaces an earlier one.
        fitting.sort(key=lambda track: len(track.group or ""))
        return {track.hyperparameter: track for track in fitting}.values()

    def track_of(self, group: Group, place: HyperparameterRef, base_lr: float) -> Track | None:
        """Return the track of one hyperparameter of a group, for another base rate.

        Args:
            group: The parameter group.
            place: The hyperparameter.
            base_lr: The base rate to assume.
        """
        # A hypothetical rate must not change the label of the plan.
        in_use = dict(self.in_use)
        try:
            tracks = self.tracks(group, base_lr)
            return next((t for t in tracks if find(group, t.hyperparameter) == place), None)
        finally:
            self.in_use = in_use

    def check_names(self, groups: Iterable[Group]) -> None:
        """Check that every group that a track names exists.

        Raises:
            ScheduleError: A group is missing; the message lists the existing ones.
        """
        names = {group["name"] for group in groups if group.get("name")}
        tracks = self._tracks_in_use()
        for wanted in [track.group for track in tracks if track.group is not None]:
            if not any(_fits(wanted, name) for name in names):
                known = ", ".join(sorted(names)) or "none has a name"
                raise ScheduleError(
                    f"the schedule names a parameter group {wanted!r}, which the optimizer does "
                    f"not have (its groups: {known})"
                )

    @property
    def name(self) -> str:
        """The name of the schedule's config; the label of a bare curve."""
        return getattr(self.config, "name", None) or self.label

    @property
    def label(self) -> str:
        """The name of the resolved schedule in checkpoints; other lengths give other names."""
        return "; ".join(dict.fromkeys(map(self._text, self._tracks_in_use())))

    def _tracks_in_use(self) -> list[Track]:
        return [track for key in self.in_use for track in self._tracks[key]]

    def _text(self, track: Track) -> str:
        # A dataclass prints as a value; a function prints an address, which differs each time.
        named = hasattr(track.curve, "__dataclass_fields__")
        text = repr(track.curve) if named else self._label()
        where = f"{track.group}/" if track.group else ""
        what = where + track.hyperparameter
        return text if what == "lr" else f"{what}: {text}"

    def _label(self) -> str:
        if self._given_label or self.config is None:
            return self._given_label or repr(self._curve)
        # All fields, unlike in its repr: a checkpoint outlives the defaults of a class.
        fields = ", ".join(f"{name}={value!r}" for name, value in self.config)
        return f"{type(self.config).__name__}({fields})"

    def _resolved(self, run: RunLength) -> Sequence[Track]:
        if self.config is None:
            return [Track("lr", cast("Curve", self._curve))]
        try:
            tracks = self.config.tracks(run)
        except RunLengthError:
            # A run limited by time has no length in steps, but one in ticks.
            timed = run.by_time()
            if timed is None:
                raise
            run, tracks = timed, self.config.tracks(timed)
        self.run = run.snapshot()  # the plan may outlive the trainer
        return tracks


def _steps_of(run: RunLength) -> str:
    return "an unknown number of steps" if run.total_steps is None else f"{run.total_steps} steps"


def _fits(wanted: str, name: str | None) -> bool:
    """Return True if a track is for a group, by its name or by the first part of `head/bias`."""
    return name is not None and f"{name}/".startswith(f"{wanted}/")
