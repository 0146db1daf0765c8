"""Descriptions of schedules in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nshtrainer.config.messages import join_names
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.lr_scheduler.preview import describe_tracks
from nshtrainer.lr_scheduler.track import Track

__all__ = ["group_sentence", "schedulers_of", "sentences", "tracks_of"]

Group = dict[str, Any]


def schedulers_of(optimizer: Any, configs: Iterable[Any]) -> list[Any]:
    """Return the schedulers that drive an optimizer.

    Args:
        optimizer: The optimizer.
        configs: Lightning's config of each scheduler.
    """
    return [each for each in configs if getattr(each.scheduler, "optimizer", None) is optimizer]


def group_sentence(config: Any, group: Group) -> str | None:
    """Describe the schedule of one parameter group; None if no scheduler drives it.

    Args:
        config: Lightning's config of a scheduler: the scheduler, and when it is stepped.
        group: A group of the optimizer that the scheduler drives.
    """
    scheduler = config.scheduler
    if not isinstance(scheduler, CurveScheduler):
        return _in_full(config, type(scheduler).__name__)
    tracks = tracks_of(scheduler, group)
    return _in_full(config, _curves_text(scheduler, tracks, [group])) if tracks else None


def sentences(config: Any) -> Iterator[str]:
    """Describe a scheduler: one sentence for all groups with the same schedule, with their names.

    The last value is a share of the base where groups begin with different ones.
    """
    scheduler = config.scheduler
    if not isinstance(scheduler, CurveScheduler):
        yield _in_full(config, type(scheduler).__name__)
        return
    alike: list[tuple[list[Track], list[Group]]] = []
    numbered: dict[int, str] = {}
    for place, group in enumerate(scheduler.optimizer.param_groups):
        numbered[id(group)] = str(group.get("name", place))
        tracks = tracks_of(scheduler, group)
        same = next((groups for others, groups in alike if others == tracks), None)
        if same is None:
            alike.append((tracks, same := []))
        same.append(group)
    for tracks, groups in alike:
        names = join_names((numbered[id(group)] for group in groups), limit=3)
        text = "not scheduled"
        if tracks:
            text = _in_full(config, _curves_text(scheduler, tracks, groups))
        yield f"{names}: {text}" if len(alike) > 1 else text


def tracks_of(scheduler: CurveScheduler, group: Group) -> list[Track]:
    """Return the scheduled hyperparameters of a group, without the names of groups."""
    base = float(group["initial_lr"])
    return [track._replace(group=None) for track in scheduler.plan.tracks(group, base)]


def _in_full(config: Any, what: str) -> str:
    often = config.interval if config.frequency == 1 else f"{config.frequency} {config.interval}s"
    looks = f", monitors {config.monitor}" if config.monitor else ""
    return f"{what}, by the {often}{looks}"


def _curves_text(
    scheduler: CurveScheduler, tracks: Sequence[Track], groups: Sequence[Group]
) -> str:
    """Describe the phases of each curve, and its last value if all groups have one base value."""
    bases: dict[str, float] = {}
    for name in (track.hyperparameter for track in tracks):
        base, *others = {group.get(f"initial_{name}") for group in groups}
        if base is not None and not others:
            bases[name] = base
    run = scheduler.plan.run.replace(base_lr=bases.get("lr"))
    return describe_tracks(tracks, run, bases=bases)
