"""Differences between two config files in optimizers, parameter groups and schedules."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from typing_extensions import override

from nshtrainer.callbacks.base import callback_registry
from nshtrainer.config.messages import dotted, join_names
from nshtrainer.config.parts import leaves_of, parts_of
from nshtrainer.config.registry import Registry
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigError, ScheduleError
from nshtrainer.loggers.base import logger_registry
from nshtrainer.lr_scheduler.preview import describe_tracks, number_text
from nshtrainer.optimizer.wrappers.config import unwrapped
from nshtrainer.project.find_configs import optimizers_in, run_length, schedules_in
from nshtrainer.project.partial_check import read_data_loosely

if TYPE_CHECKING:
    from nshtrainer.analysis.summary import GroupRow, OptimizationSummary
    from nshtrainer.config import Config
    from nshtrainer.config.document import Keys
    from nshtrainer.lr_scheduler.track import Track
    from nshtrainer.project.find_configs import LocatedSchedule
    from nshtrainer.run_length import RunLength

__all__ = ["ConfigDifference", "DiffValue", "by_data", "by_field", "by_parameter"]

_HOW = frozenset({"capturable", "differentiable", "foreach", "fused"})
"""Options that choose the implementation of an update, not its result."""

_NOTHING = "nothing"
_MOST_STEPS = 10_000


class ConfigDifference(NamedTuple):
    """One difference: its place, and the text of each side."""

    where: str
    first: str
    second: str

    @override
    def __str__(self) -> str:
        return printable(f"{self.where}: {self.first} -> {self.second}")


class Differences(list[ConfigDifference]):
    """Differences, which print as a line each."""

    @override
    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "no difference in optimizers and schedules"

    __repr__ = __str__


class DiffValue(NamedTuple):
    """A compared value, and its text in a report of differences."""

    value: Any
    text: str


Facts: TypeAlias = dict[str, DiffValue]
"""The compared value of each difference, by its place."""


# -- by field --------------------------------------------------------------------------------------


def by_field(
    first: Config, second: Config, lengths: Sequence[Namespace], *, schedules_only: bool = False
) -> list[ConfigDifference]:
    """Compare the optimizers and the schedules of two files, field by field.

    Args:
        first: The first file.
        second: The second file.
        lengths: The command line for each, with options for the length of its run.
        schedules_only: True to leave out the optimizers.
    """
    both = (first, second)
    one, two = ({} if schedules_only else _optimizers_of(each) for each in both)
    mine, theirs = (_resolved(each, args) for each, args in zip(both, lengths, strict=True))
    if mine is None or theirs is None:
        mine, theirs = (
            _leaves_of((found.path, found.schedule) for found in schedules_in(each))
            for each in both
        )
    return list(_differing(one | mine, two | theirs))


def by_data(
    first: Mapping[str, Any], second: Mapping[str, Any], lengths: Sequence[Namespace]
) -> list[ConfigDifference]:
    """Compare two configs as plain data, whose classes need not be known.

    Optimizers and schedules are compared as `by_field` does, if their classes are known here.

    Args:
        first: The first config.
        second: The second config.
        lengths: The lengths of each run, as from the command line.
    """
    both = (first, second)
    closed: tuple[str, ...] = ()
    found: list[ConfigDifference] = []
    try:
        one, two = (read_data_loosely(each) for each in both)
        found = by_field(one, two, lengths)
        places = [path for each in (one, two) for path, _ in optimizers_in(each)]
        places += [each.path for config in (one, two) for each in schedules_in(config)]
        closed = tuple(f"{dotted(path)}." for path in places)
    except (ConfigError, ScheduleError):  # a custom class is not registered here
        found = []
    mine, theirs = (
        {
            dotted(keys): _plainly(value)
            for keys, value in leaves_of(each)
            if keys[:2] not in _SECTIONS
        }
        for each in both
    )
    kinds = [{keys: _named(each, keys) for keys in _SECTIONS} for each in both]
    mine, theirs = mine | _of_components(*kinds), theirs | _of_components(*reversed(kinds))
    rest = [each for each in _differing(mine, theirs) if not f"{each.where}.".startswith(closed)]
    return [*found, *rest]


_SECTIONS: dict[tuple[str, str], Registry[Any]] = {
    ("trainer", "logger"): logger_registry,
    ("trainer", "callbacks"): callback_registry,
}
"""The loggers and callbacks of a run."""

Named: TypeAlias = dict[str, Mapping[str, Any]]
"""Components by their names; of several with one name, the others by a number too."""


def _named(config: Mapping[str, Any], path: tuple[str, str]) -> Named:
    """Return the components at a place of a config."""
    value: Any = dict(parts_of(config.get(path[0]))).get(path[1])
    items = [item for _, item in parts_of(value)] if isinstance(value, list) else [value]
    found: Named = {}
    for each in items:
        data: dict[Any, Any] = dict(parts_of(each)) or {"name": each}
        name = str(data.get("name"))
        same = sum(key.partition(" ")[0] == name for key in found)
        if each is not None:
            found[f"{name} {same + 1}" if same else name] = data
    return found


def _of_components(
    own: Mapping[tuple[str, str], Named], others: Mapping[tuple[str, str], Named]
) -> Facts:
    """Return the names of components and their options, of those that others lack no defaults."""
    facts: Facts = {}
    for path, components in own.items():
        facts[dotted(path)] = _plainly(", ".join(components) or _NOTHING)
        for name, data in components.items():
            cls = _SECTIONS[path].find(name.partition(" ")[0], plugins=False)
            defaults = cls.model_construct().to_dict() if cls else {"name": data.get("name")}
            held = {**defaults, **data}
            if name not in others[path]:
                held = {k: v for k, v in held.items() if k not in defaults or v != defaults[k]}
            for keys, value in leaves_of(held) if held else ():
                facts[dotted((*path, name, *keys))] = _plainly(value)
    return facts


def _optimizers_of(config: Config) -> Facts:
    """Return the fields of the optimizers and of their wrappers."""
    found = [(path, *unwrapped(each)) for path, each in optimizers_in(config)]
    around = {
        dotted((*path, "around")): _plainly(", ".join(each.label() for each in wrappers))
        for path, wrappers, _ in found
        if wrappers
    }
    return around | _leaves_of((path, within) for path, _, within in found)


def _leaves_of(configs: Iterable[tuple[Keys, Config]]) -> Facts:
    """Return the fields of configs, defaults included."""
    return {
        dotted((*path, *keys)): _plainly(value)
        for path, config in configs
        for keys, value in leaves_of(config.to_dict())
        if keys[-1] not in _HOW
    }


def _resolved(config: Config, args: Namespace) -> Facts | None:
    """Return the resolved schedules of a file; None if one needs a run to be resolved."""
    run = run_length(config, args)
    try:
        return {dotted(each.path): _schedule(each, run) for each in schedules_in(config)}
    except (ScheduleError, NotImplementedError):
        return None


def _schedule(found: LocatedSchedule, run: RunLength) -> DiffValue:
    schedule, bases = found.schedule, dict(found.bases)
    if not schedule.is_curve:
        raise NotImplementedError
    run = run.replace(base_lr=bases.get("lr"), beta2=bases.get("betas.1"))
    tracks = schedule.tracks(run)
    text = describe_tracks(tracks, run, bases=bases, label=schedule.name)
    return DiffValue({_key(each): _values(each, run) for each in tracks}, text)


def _key(track: Track) -> str:
    """Return the label of a scheduled value: `head/lr`, or `lr times` if scheduled by a factor."""
    where = f"{track.group}/" if track.group else ""
    return f"{where}{track.hyperparameter}{' times' * (track.kind == 'factor')}"


def _values(track: Track, run: RunLength) -> tuple[float, ...]:
    """Return the values of a curve at every update, or at ten thousand of a longer run."""
    steps = min(run.total_steps or _MOST_STEPS, 10**9)
    every = max(1, steps // _MOST_STEPS)
    return tuple(float(f"{track.curve(step):.12g}") for step in range(0, steps, every))


def _differing(first: Facts, second: Facts) -> Iterator[ConfigDifference]:
    """Return the values that differ between the two."""
    none = DiffValue(None, _NOTHING)
    for where in dict.fromkeys((*first, *second)):
        one, two = first.get(where, none), second.get(where, none)
        if one.value != two.value:
            yield ConfigDifference(where, *_texts(one, two))


def _texts(one: DiffValue, two: DiffValue) -> tuple[str, str]:
    """Return both texts; if the sentences are equal, the first values that differ."""
    if one.text != two.text:
        return one.text, two.text
    mine, theirs = cast("dict[Any, Any]", one.value), cast("dict[Any, Any]", two.value)
    for key in [key for key in mine if key in theirs]:
        for a, b in zip(mine[key], theirs[key], strict=False):
            if a != b:
                return f"{one.text} ({key} {_short(a)})", f"{two.text} ({key} {_short(b)})"
    return one.text, two.text


def _short(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else str(value)


# -- by parameter ----------------------------------------------------------------------------------


def by_parameter(first: OptimizationSummary, second: OptimizationSummary) -> list[ConfigDifference]:
    """Compare two runs for each parameter; parameters with equal differences share an entry."""
    one, two = _of_parameters(first), _of_parameters(second)
    alike: dict[ConfigDifference, list[str]] = {}
    for name in dict.fromkeys((*one, *two)):
        for each in _differing(one.get(name, {}), two.get(name, {})):
            alike.setdefault(each, []).append(name)
    return [
        each._replace(where=f"{join_names(names, limit=3)}: {each.where}")
        for each, names in alike.items()
    ]


def _of_parameters(found: OptimizationSummary) -> dict[str, Facts]:
    """Return the options of each parameter; a parameter without a group has none."""
    from nshtrainer.analysis.sentences import schedulers_of

    sources = found.sources
    names = [*found.frozen.names, *found.uncovered.names]
    facts: dict[str, Facts] = {name.partition(" = ")[0]: {} for name in names}
    frozen = set(facts)
    groups = ((each, group) for each in sources.optimizers for group in each.param_groups)
    for row, (optimizer, group) in zip(found.groups, groups, strict=True):
        mine = schedulers_of(optimizer, sources.schedulers)
        moved = {k: v for each in mine for k, v in _moved(each, group, found).items()}
        held = dict(_of_group(row)) | {"schedule": DiffValue(moved, row.schedule or "none")}
        for name in row.names:
            facts[name] = {**held, "trained": _plainly(name not in frozen)}
    return facts


def _of_group(row: GroupRow) -> Iterator[tuple[str, DiffValue]]:
    yield "optimizer", _plainly(row.optimizer)
    if row.around:
        yield "around", _plainly(", ".join(row.around))
    yield "lr", _plainly(row.lr)
    yield "weight_decay", _plainly(row.weight_decay)
    for key, value in row.options.items():
        if key not in _HOW:
            yield key, _plainly(value)


def _moved(config: Any, group: dict[str, Any], found: OptimizationSummary) -> dict[Any, Any]:
    """Describe the schedule of a group; without a curve, the scheduler class and its settings."""
    from nshtrainer.analysis.sentences import tracks_of
    from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler

    scheduler = config.scheduler
    if isinstance(scheduler, CurveScheduler):
        # The plan knows of the run only what its curves asked for.
        run = scheduler.plan.run.replace(total_steps=found.total_steps)
        return {_key(track): _values(track, run) for track in tracks_of(scheduler, group)}
    state = {k: (v,) for k, v in scheduler.state_dict().items() if not k.startswith("_")}
    return {"class": (type(scheduler).__name__,), **state}


def _plainly(value: Any) -> DiffValue:
    return DiffValue(value, str(value))
