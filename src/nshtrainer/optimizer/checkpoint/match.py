"""Match saved optimizer state to parameters and groups by name.

Without names, in an old state or for parameters that were given without, positions are used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from nshtrainer.config.messages import find_similar, join_quoted
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import clean_names

if TYPE_CHECKING:
    from torch import Tensor

    from nshtrainer.resume import ResumeConfig

__all__ = [
    "HOOK_KEYS",
    "PARKED",
    "STATE_KEYS",
    "CurrentGroup",
    "CurrentParam",
    "SavedParam",
    "StateMatch",
    "by_name",
    "by_place",
    "check_names",
    "groups_in_order",
    "lacking",
    "prefixes_of",
    "saved_in",
]

Group: TypeAlias = dict[str, Any]
StateDict: TypeAlias = dict[str, Any]
Renaming: TypeAlias = Callable[[str], str]

HOOK_KEYS = {"lookahead_step": 0, "sam_rho": 0.0, "skipped": 0, "skipped_in_a_row": 0}
"""Keys that hooks write into parameter groups, with values of the right form."""

STATE_KEYS = ("slow",)
"""Keys that hooks write into states, with tensors of the form of the parameters."""

PARKED = "parked"
"""Key of a state dict for the states of parameters that are in the model but in no group."""


class SavedParam(NamedTuple):
    """Parameter in a saved state.

    Args:
        place: Its index among all parameters.
        key: The number, or the name, under which its state is saved.
        name: Its name, if it is known.
        group: Its group; `None` if it was in no group.
        state: Its state, if there is any.
    """

    place: int
    key: Any
    name: str | None
    group: Group | None
    state: Any


class CurrentParam(NamedTuple):
    """Parameter of an optimizer.

    Args:
        tensor: The parameter itself.
        names: All its names: several for a tied weight, none if they are unknown.
        place: Its group and its index there, for messages.
    """

    tensor: Tensor
    names: tuple[str, ...]
    place: str

    @property
    def name(self) -> str:
        """Name, or position, for messages."""
        return self.names[0] if self.names else self.place


class CurrentGroup(NamedTuple):
    """Parameter group of an optimizer: its options as the config sets them, and its parameters."""

    options: Group
    params: list[CurrentParam]


class StateMatch(NamedTuple):
    """Match of the groups and parameters of an optimizer with a saved state.

    Args:
        groups: The saved group for each group; `None` for a new one.
        params: The saved parameter for each parameter, by group; `None` for a new one.
        foreign: Parameters without a match because another optimizer saved their state.
        left: Saved parameters that match no parameter of the optimizer.
    """

    groups: list[Group | None]
    params: list[list[SavedParam | None]]
    foreign: list[CurrentParam]
    left: list[SavedParam]

    def pairs(
        self, groups: Iterable[CurrentGroup]
    ) -> Iterator[tuple[CurrentParam, SavedParam | None]]:
        """Yield each parameter of the optimizer's groups with the saved one that it matches."""
        for group, found in zip(groups, self.params, strict=True):
            yield from zip(group.params, found, strict=True)


# -- the saved state -------------------------------------------------------------------------------


def saved_in(state: StateDict) -> list[SavedParam]:
    """Return all parameters in a saved state; parameters without a group come last."""
    states: Mapping[Any, Any] = state["state"]
    each = ((group, *pair) for group in state["param_groups"] for pair in _keys_and_names(group))
    found = [
        SavedParam(place, key, name, group, states.get(key))
        for place, (group, key, name) in enumerate(each)
    ]
    names = iter(clean_names([one.name for one in found if one.name is not None]))
    found = [one if one.name is None else one._replace(name=next(names)) for one in found]
    parked: Mapping[str, Any] = state.get(PARKED, {})
    return found + [SavedParam(-1, None, name, None, held) for name, held in parked.items()]


def _keys_and_names(group: Group) -> Iterator[tuple[Any, str | None]]:
    keys: Sequence[Any] = group["params"]
    names: Sequence[str | None] = group.get("param_names", ())
    # `torch.distributed.checkpoint` replaces the numbers by names, in the order of this optimizer;
    # its `param_names` then have another order.
    if all(isinstance(key, str) for key in keys):
        names = keys
    return zip(keys, names if len(names) == len(keys) else [None] * len(keys), strict=True)


def lacking(saved: Mapping[str, Any], options: Mapping[str, Any]) -> set[str]:
    """Return the options that a saved group lacks, although the same optimizer would have them.

    Switches may be missing: an older torch did not have them, and torch fills them in. Keys that
    hooks write into a group are not options of the optimizer.
    """
    needed = {k for k, value in options.items() if value is not None and type(value) is not bool}
    return needed - saved.keys() - {"name"} - HOOK_KEYS.keys()


# -- by name ---------------------------------------------------------------------------------------


def by_name(state: StateDict, groups: Sequence[CurrentGroup], names: Collection[str]) -> StateMatch:
    """Match each parameter by one of its names, and parameters without names by position.

    A group is matched by its name. A group without a name matches the saved group of its first
    parameter that was in a group without a name.

    Args:
        state: The saved state.
        groups: The groups of the optimizer.
        names: All names in the model.
    """
    # Frozen parameters may be without state, so only trained ones decide on a prefix.
    trained = [own for group in groups for own in group.params if own.tensor.requires_grad]
    saved = rename_with_prefix(saved_in(state), [own for own in trained if own.names], names)
    # In reverse, so that of two entries with one name the first counts.
    known = {each.name: each for each in reversed(saved) if each.name is not None}
    unnamed = iter([each for each in saved if each.name is None])
    found = [[_find_saved(own, known, unnamed) for own in group.params] for group in groups]
    taken = {id(each) for each in chain.from_iterable(found)}
    match = StateMatch([], [], [], [each for each in saved if id(each) not in taken])
    for group, matched in zip(groups, found, strict=True):
        match.groups.append(_group_for(group, matched, state["param_groups"]))
        # A name may lead to the state of another optimizer, when a route has moved.
        match.params.append([None if _is_of_another(each, group) else each for each in matched])
        pairs = zip(group.params, matched, strict=True)
        match.foreign.extend(own for own, each in pairs if _is_of_another(each, group))
    return match


def _find_saved(
    own: CurrentParam, known: Mapping[Any, SavedParam], unnamed: Iterator[SavedParam]
) -> SavedParam | None:
    if not own.names:
        return next(unnamed, None)
    return next((known[name] for name in own.names if name in known), None)


def _group_for(
    own: CurrentGroup, found: Sequence[SavedParam | None], saved: Sequence[Group]
) -> Group | None:
    """Return the saved group that matches a group of the optimizer, if there is one."""
    name = own.options.get("name")
    candidates = saved if name else [each.group for each in found if each and each.group]
    fitting = (each for each in candidates if each.get("name") == name)
    return next((each for each in fitting if not lacking(each, own.options)), None)


def _is_of_another(found: SavedParam | None, own: CurrentGroup) -> bool:
    """Return True if another optimizer saved the state of a parameter."""
    if found is None or found.group is None or not found.state:
        return False
    return bool(lacking(found.group, own.options))


# -- by place --------------------------------------------------------------------------------------


def by_place(state: StateDict, groups: Sequence[CurrentGroup]) -> StateMatch | None:
    """Match groups by name if the saved names are the same, else by position, like parameters.

    Returns:
        `None` if the number of groups differs, or the number of parameters in a group.
    """
    saved = groups_in_order(state["param_groups"], [group.options.get("name") for group in groups])
    if [len(group["params"]) for group in saved] != [len(group.params) for group in groups]:
        return None
    # The parameters are read in the new order of the groups.
    found = iter(saved_in({**state, "param_groups": saved}))
    return StateMatch(
        list(saved), [list(islice(found, len(group.params))) for group in groups], [], []
    )


def groups_in_order(saved: Sequence[Group], names: Sequence[str | None]) -> list[Group]:
    """Return the saved groups in the order of these names, if these are their names."""
    named = {group.get("name"): group for group in saved}
    same = named.keys() == set(names) and len(saved) == len(names) == len(named)
    return [named[name] for name in names] if same else list(saved)


# -- names of one model in another -----------------------------------------------------------------


def rename_with_prefix(
    saved: Sequence[SavedParam], own: Sequence[CurrentParam], known: Collection[str]
) -> list[SavedParam]:
    """Rename saved parameters to the names of this model if these have another prefix.

    A plain loop saves `0.weight`, and a module that holds the same model as `self.net` has
    `net.0.weight`. Names change only under three conditions: no saved name is in the model; adding
    or removing one prefix makes all of them names of the model, with one for each parameter of the
    optimizer; and there is only one such prefix.

    Args:
        saved: The parameters in a saved state.
        own: The parameters that the optimizer trains, as far as they have names.
        known: All names in the model.
    """
    names = [each.name for each in saved if each.name is not None]
    if not names or not known or not own or any(name in known for name in names):
        return list(saved)
    fitting = [
        [rename(name) for name in names]
        for rename in _renamings(names, own)
        if _fits({rename(name) for name in names}, own, known)
    ]
    # If two prefixes fit, as in a model with two equal branches, either could be wrong.
    if len(fitting) != 1:
        return list(saved)
    new = dict(zip(names, fitting[0], strict=True))
    return [one if one.name is None else one._replace(name=new[one.name]) for one in saved]


def _renamings(names: Sequence[str], own: Sequence[CurrentParam]) -> Iterator[Renaming]:
    """Yield functions that add one prefix to the saved names, or remove one from all of them."""
    # The first name is enough: one prefix must fit all names.
    for prefix in {prefix for name in own[0].names for prefix in prefixes_of(name)}:
        yield prefix.__add__
    for prefix in prefixes_of(names[0]):
        if all(name.startswith(prefix) for name in names):
            yield methodcaller("removeprefix", prefix)


def prefixes_of(name: str) -> Iterator[str]:
    """Return the prefixes of a name: `a.` and `a.b.` of `a.b.weight`."""
    parts = name.split(".")
    return (".".join(parts[:end]) + "." for end in range(1, len(parts)))


def _fits(names: Collection[str], own: Sequence[CurrentParam], known: Collection[str]) -> bool:
    """Return True if the model has all these names, and each parameter of the optimizer has one."""
    return all(name in known for name in names) and all(
        any(name in names for name in each.names) for each in own
    )


_MOST = 10
"""Largest number of names in a message."""


def check_names(
    match: StateMatch, groups: Sequence[CurrentGroup], names: Collection[str], policy: ResumeConfig
) -> None:
    """Check that a saved state has the parameters of the model, except where the policy allows it.

    A frozen parameter need not have a state, and one that is in the model but not in the optimizer
    is not unexpected.

    Args:
        match: The match of the state with the optimizer.
        groups: The groups of the optimizer.
        names: All names in the model.
        policy: The resume policy.

    Raises:
        OptimizerError: A parameter is missing or unexpected; the message lists the names.
    """
    # A frozen parameter has no state in a run that never trained it.
    new = [own for own, was in match.pairs(groups) if was is None and own.tensor.requires_grad]
    missing = [] if policy.allow_missing else new
    # A state whose parameter is frozen now is kept (`parked`), so it is not unexpected.
    extra = [each.name or "one without a name" for each in match.left if each.name not in names]
    unexpected = [] if policy.allow_unexpected else extra
    allow = {"allow_missing": missing, "allow_unexpected": unexpected}
    if missing or unexpected:
        fields = ", ".join(f"{field}: true" for field, given in allow.items() if given)
        raise OptimizerError(
            f"optimizer state does not match the model: "
            f"{'; '.join(_describe_names(missing, match.foreign, extra))}; give them the names "
            f"that they had, or load it anyway with resume: {{{fields}}}"
        )


def _describe_names(
    missing: Sequence[CurrentParam], foreign: Sequence[CurrentParam], extra: Sequence[str]
) -> Iterator[str]:
    """Yield the missing, the moved and the unexpected parameters, in words."""
    others = {id(own.tensor) for own in foreign}
    unknown = [own.name for own in missing if id(own.tensor) not in others]
    moved = [own.name for own in missing if id(own.tensor) in others]
    if unknown:
        near = find_similar(unknown[0], extra)
        was = f" (was the first {near[0]!r}?)" if near else ""
        yield f"missing (here, and not in the state) {join_quoted(unknown, _MOST)}{was}"
    if moved:
        yield f"another optimizer had {join_quoted(moved, _MOST)}"
    if extra:
        yield f"unexpected (in the state, and not in the model) {join_quoted(extra, _MOST)}"
