"""Whose is a saved state: parameters are known by their names, and so are groups.

Where nobody knows names, of an old state or of parameters that were given without, places count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from nshtrainer.optimizer.groups.parameters import clean_names

if TYPE_CHECKING:
    from torch import Tensor

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
    "groups_in_order",
    "lacking",
    "saved_in",
]

Group: TypeAlias = dict[str, Any]
StateDict: TypeAlias = dict[str, Any]
Renaming: TypeAlias = Callable[[str], str]

HOOK_KEYS = {"lookahead_step": 0, "sam_rho": 0.0, "skipped": 0, "skipped_in_a_row": 0}
"""The keys that hooks write into parameter groups, with values of the right form."""

STATE_KEYS = ("slow",)
"""The keys that hooks write into states, with tensors of the form of the parameters."""

PARKED = "parked"
"""The key of a state dict for the states of parameters that the model has and no group."""


class SavedParam(NamedTuple):
    """A parameter in a saved state.

    Args:
        place: Which of all parameters it is.
        key: The number, or the name, under which its state is saved.
        name: What it is called, if that is known.
        group: Its group; `None` where it had none.
        state: Its state, if there is any.
    """

    place: int
    key: Any
    name: str | None
    group: Group | None
    state: Any


class CurrentParam(NamedTuple):
    """A parameter of an optimizer.

    Args:
        tensor: The parameter itself.
        names: All its names: a tied weight has several; none, where they are unknown.
        place: Where it is, for messages.
    """

    tensor: Tensor
    names: tuple[str, ...]
    place: str

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.names[0] if self.names else self.place


class CurrentGroup(NamedTuple):
    """A group of an optimizer: its options as the config says them, and its parameters."""

    options: Group
    params: list[CurrentParam]


class StateMatch(NamedTuple):
    """What an optimizer finds of itself in a saved state.

    Args:
        groups: What each group was; `None` for a new one.
        params: What each parameter was, group by group; `None` for a new one.
        foreign: Parameters that are new because what is saved is the state of another optimizer.
        left: Saved parameters that are none of ours.
    """

    groups: list[Group | None]
    params: list[list[SavedParam | None]]
    foreign: list[CurrentParam]
    left: list[SavedParam]

    def pairs(
        self, groups: Iterable[CurrentGroup]
    ) -> Iterator[tuple[CurrentParam, SavedParam | None]]:
        """Yield each parameter of the optimizer's groups, and what it was."""
        for group, found in zip(groups, self.params, strict=True):
            yield from zip(group.params, found, strict=True)


# -- what is saved ---------------------------------------------------------------------------------


def saved_in(state: StateDict) -> list[SavedParam]:
    """Every parameter in a saved state; those that were in no group are the last."""
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
    # `torch.distributed.checkpoint` puts names in the place of numbers, in the order of ours; what
    # else it says of names is then in another.
    if all(isinstance(key, str) for key in keys):
        names = keys
    return zip(keys, names if len(names) == len(keys) else [None] * len(keys), strict=True)


def lacking(saved: Mapping[str, Any], options: Mapping[str, Any]) -> set[str]:
    """The options that a saved group does not have, and one of the same optimizer would have.

    Switches may be missing: an older torch did not have them, and torch fills them in. What hooks
    keep in a group is no option of the optimizer.
    """
    needed = {k for k, value in options.items() if value is not None and type(value) is not bool}
    return needed - saved.keys() - {"name"} - HOOK_KEYS.keys()


# -- by name ---------------------------------------------------------------------------------------


def by_name(state: StateDict, groups: Sequence[CurrentGroup], names: Collection[str]) -> StateMatch:
    """Find each parameter under one of its names; those without any are known by their place.

    A group is known by its name. One without is what the first of its parameters was in, if that
    had no name either.

    Args:
        state: The saved state.
        groups: The groups of the optimizer.
        names: All names in the model.
    """
    trained = [own for group in groups for own in group.params if own.tensor.requires_grad]
    saved = rename_with_prefix(saved_in(state), [own for own in trained if own.names], names)
    known = {each.name: each for each in reversed(saved) if each.name is not None}
    unnamed = iter([each for each in saved if each.name is None])
    found = [[_find(own, known, unnamed) for own in group.params] for group in groups]
    taken = {id(each) for each in chain.from_iterable(found)}
    match = StateMatch([], [], [], [each for each in saved if id(each) not in taken])
    for group, theirs in zip(groups, found, strict=True):
        match.groups.append(_group_for(group, theirs, state["param_groups"]))
        match.params.append([None if _is_anothers(each, group) else each for each in theirs])
        pairs = zip(group.params, theirs, strict=True)
        match.foreign.extend(own for own, each in pairs if _is_anothers(each, group))
    return match


def _find(
    own: CurrentParam, known: Mapping[Any, SavedParam], unnamed: Iterator[SavedParam]
) -> SavedParam | None:
    if not own.names:
        return next(unnamed, None)
    return next((known[name] for name in own.names if name in known), None)


def _group_for(
    own: CurrentGroup, found: Sequence[SavedParam | None], saved: Sequence[Group]
) -> Group | None:
    """The saved group that one of ours was."""
    name = own.options.get("name")
    those = saved if name else [each.group for each in found if each and each.group]
    fitting = (each for each in those if each.get("name") == name)
    return next((each for each in fitting if not lacking(each, own.options)), None)


def _is_anothers(found: SavedParam | None, own: CurrentGroup) -> bool:
    """Whether what is saved is the state of another optimizer."""
    if found is None or found.group is None or not found.state:
        return False
    return bool(lacking(found.group, own.options))


# -- by place --------------------------------------------------------------------------------------


def by_place(state: StateDict, groups: Sequence[CurrentGroup]) -> StateMatch | None:
    """Take groups by their names, if they have those of ours, else one by one, as parameters are.

    Returns:
        `None` where there is another number of groups, or of parameters in one.
    """
    saved = groups_in_order(state["param_groups"], [group.options.get("name") for group in groups])
    if [len(group["params"]) for group in saved] != [len(group.params) for group in groups]:
        return None
    found = iter(saved_in({**state, "param_groups": saved}))
    return StateMatch(
        list(saved), [list(islice(found, len(group.params))) for group in groups], [], []
    )


def groups_in_order(saved: Sequence[Group], names: Sequence[str | None]) -> list[Group]:
    """The saved groups in the order of these names, if these are their names."""
    named = {group.get("name"): group for group in saved}
    same = named.keys() == set(names) and len(saved) == len(names) == len(named)
    return [named[name] for name in names] if same else list(saved)


# -- names of one model in another -----------------------------------------------------------------


def rename_with_prefix(
    saved: Sequence[SavedParam], own: Sequence[CurrentParam], known: Collection[str]
) -> list[SavedParam]:
    """What is saved, under the names of this model where these have another prefix.

    A plain loop knows `0.weight`, and a module that holds the same model as `self.net` knows
    `net.0.weight`. Saved names change only if not one of them is known as it is, if all of them
    together fit with one prefix more or one prefix less, so that each parameter of the optimizer
    finds itself, and if there is one such prefix. Else nothing changes.

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
    if len(fitting) != 1:
        return list(saved)
    new = dict(zip(names, fitting[0], strict=True))
    return [one if one.name is None else one._replace(name=new[one.name]) for one in saved]


def _renamings(names: Sequence[str], own: Sequence[CurrentParam]) -> Iterator[Renaming]:
    """Every way to put a prefix before the saved names, or to take one from all of them."""
    for prefix in {prefix for name in own[0].names for prefix in _prefixes(name)}:
        yield prefix.__add__
    for prefix in _prefixes(names[0]):
        if all(name.startswith(prefix) for name in names):
            yield methodcaller("removeprefix", prefix)


def _prefixes(name: str) -> Iterator[str]:
    """`a.` and `a.b.` of `a.b.weight`."""
    parts = name.split(".")
    return (".".join(parts[:end]) + "." for end in range(1, len(parts)))


def _fits(names: Collection[str], own: Sequence[CurrentParam], known: Collection[str]) -> bool:
    """Whether the model has all of these names, and each parameter of the optimizer has one."""
    return all(name in known for name in names) and all(
        any(name in names for name in each.names) for each in own
    )
