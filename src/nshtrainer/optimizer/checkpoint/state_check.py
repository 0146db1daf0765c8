"""Check a saved state against the state that a fresh optimizer makes in one step.

PyTorch takes any tensor into the state of an optimizer. A fused kernel then reads and writes as
many elements as the parameter has, in the order of memory, so a tensor of another shape or layout
gives wrong weights or corrupts memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

from nshtrainer.config.messages import dotted
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.checkpoint.config_changes import CONFIG
from nshtrainer.optimizer.checkpoint.fresh_state import (
    IMPLEMENTATIONS,
    form_of,
    fresh_states,
    step_of_one,
)
from nshtrainer.optimizer.checkpoint.match import HOOK_KEYS, PARKED, STATE_KEYS
from nshtrainer.optimizer.checkpoint.option_ranges import find_out_of_range
from nshtrainer.optimizer_record import record_of
from nshtrainer.structure import describe_form, find_misfits, find_odd_values

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from nshtrainer.optimizer.checkpoint.match import (
        CurrentGroup,
        CurrentParam,
        SavedParam,
        StateMatch,
    )

__all__ = ["check_form", "check_row_state", "check_states", "refuse", "refuse_sizes"]

Group: TypeAlias = dict[str, Any]
Shape: TypeAlias = tuple[int, ...]
StateDict: TypeAlias = dict[str, Any]

_FORM: StateDict = {"state": {}, "param_groups": [{"params": []}]}
"""Form of a state dict."""

_MOST_STEPS = 2**53
"""Largest count of steps: a double holds all integers up to this one."""

_SAVED = "load a state that an optimizer has saved"
_ANOTHER = "resume with the optimizer that wrote it, or start without the state"


def check_form(state: Any) -> None:
    """Check that an object has the form of an optimizer's state dict.

    Raises:
        OptimizerError: An entry has another form; the message names the entry.
    """
    for path, problem in find_misfits(state, _FORM):
        refuse(f"{dotted(path) or 'it'} {problem}", _SAVED)
    # The config comes from a file, so it may hold anything.
    config: Any = {} if state.get(CONFIG) is None else state[CONFIG]
    for path, problem in (*find_odd_values(config), *find_misfits(config, {})):
        refuse(f"{dotted((CONFIG, *path))} {problem}", _SAVED)
    parked: Any = state.get(PARKED, {})
    states: list[tuple[str, Any]] = [(PARKED, parked)]
    if isinstance(parked, Mapping):
        states += [(PARKED, held) for held in cast("StateDict", parked).values()]
    for place, group in enumerate(state["param_groups"]):
        _check_group_form(f"param_groups.{place}", group)
        states += [(f"state.{key}", state["state"].get(key)) for key in group["params"]]
    for where, held in states:
        for _, problem in find_misfits({} if held is None else held, {}):
            refuse(f"{where} {problem}", _SAVED)


def refuse_sizes(state: StateDict, groups: Sequence[CurrentGroup]) -> NoReturn:
    """Refuse a state with another number of groups, or of parameters in a group.

    Raises:
        OptimizerError: Always.
    """
    saved = [len(group["params"]) for group in state["param_groups"]]
    own = [len(group.params) for group in groups]
    refuse(f"its parameter groups have {saved} parameters, and those here {own}")


def _check_group_form(where: str, group: Group) -> None:
    """Check the keys of parameters in a group, and the base values of schedules."""
    noted = {key: value for key, value in group.items() if str(key).startswith("initial_")}
    for path, problem in find_misfits(noted, dict.fromkeys(noted, 0.0)):
        refuse(f"{where}.{dotted(path)} {problem}", _SAVED)
    for key in group["params"]:
        if not isinstance(key, (int, str)):
            refuse(f"{where}.params has {describe_form(key)} in it", _SAVED)
    names: Any = group.get("param_names", [])
    if not isinstance(names, (list, tuple)):
        refuse(f"{where}.param_names is {describe_form(names)}, not a list", _SAVED)
    for name in cast("Sequence[Any]", names):
        if not isinstance(name, (str, type(None))):
            refuse(f"{where}.param_names has {describe_form(name)} in it", _SAVED)


def check_states(
    optimizer: Optimizer,
    state: StateDict,
    match: StateMatch,
    groups: Sequence[CurrentGroup],
    unchecked: Mapping[str, tuple[str, ...]],
) -> None:
    """Check that each tensor of a state has the shape and dtype kind of a fresh optimizer's.

    The state of a fresh optimizer is the state of a copy after one step, with the saved options.
    Further entries (hooks and later steps add some) must be numbers, or tensors with the shape of
    the parameter. A tensor with other strides is replaced by a copy with the strides of the
    optimizer's.

    Args:
        optimizer: The optimizer that loads the state.
        state: The state, in the order of the optimizer; tensors in it may be replaced.
        match: The saved parameter for each parameter; only matched states are checked.
        groups: The groups of the optimizer.
        unchecked: Routes whose state shapes a step on a copy does not show, each with the keys
            whose tensors have the shape of the parameter. The empty name is an optimizer without
            routes.

    Raises:
        OptimizerError: An entry has another shape or kind, or is out of the range of the config;
            the message names the entry.
    """
    routes: Mapping[str, Optimizer] = getattr(optimizer, "routes", {"": optimizer})
    # Each part of a routed optimizer has its own algorithm, and so its own form of state.
    homes = {id(group): name for name, part in routes.items() for group in part.param_groups}
    for live, saved, own, found in zip(
        optimizer.param_groups, state["param_groups"], groups, match.params, strict=True
    ):
        _check_options(saved, own)
        _check_written(saved)
        name = homes[id(live)]
        _check_none(None if name in unchecked else routes[name], saved, own)
        config = record_of(routes[name]).config_class
        for option, problem in find_out_of_range(config, saved, own.options):
            refuse(f"the option {option} {problem}")
        entries = zip(saved["params"], own.params, found, strict=True)
        checked = [(number, param, was) for number, param, was in entries if was and was.state]
        for _, param, was in checked:
            _check_kept(param, was, unchecked.get(name, ()))
        if name not in unchecked:
            # A state of an older torch may lack these options, without which no copy steps.
            switches = {k: v for k, v in own.options.items() if v is None or isinstance(v, bool)}
            _check_group(routes[name], switches | saved, checked, state["state"])


def check_row_state(state: Mapping[str, Any], length: int) -> dict[str, Any]:
    """Check the one state that L-BFGS keeps for all parameters, and return the part to load.

    Args:
        state: The saved state.
        length: The number of elements of all parameters together.

    Raises:
        OptimizerError: An entry has another form; the message names the entry.
    """
    import torch

    # Spelled out, since a step on a copy needs a closure.
    row = torch.empty(length, device="meta")
    counts = {"func_evals": 0, "n_iter": 0}
    rows = {"old_dirs": [row], "old_stps": [row], "d": row, "prev_flat_grad": row}
    others = {"ro": [0.0], "t": 0.0, "H_diag": 0.0, "prev_loss": 0.0}
    for path, problem in find_misfits(state, counts):
        refuse(f"{dotted(path)} {problem}")
    for key, tensor in _tensors(state):
        if tensor.is_meta:
            refuse(f"{key} has no values (its device is meta)")
    for key in counts:
        _check_count(state, f"the saved {key}", key)
    for path, problem in find_misfits(state, {**rows, **others} if state["n_iter"] else {}):
        refuse(f"{dotted(path)} {problem}")
    histories = {len(state[key]) for key in ("old_dirs", "old_stps", "ro") if state["n_iter"]}
    if len(histories) > 1:
        refuse("old_dirs, old_stps and ro have different lengths")
    # Each step overwrites this scratch list, and fails if it is too short.
    scratch: Any = state.get("al")
    is_whole = isinstance(scratch, list) and len(cast("Any", scratch)) >= max(histories, default=0)
    return {key: value for key, value in state.items() if key != "al" or is_whole}


def _check_options(saved: Group, own: CurrentGroup) -> None:
    """Check the kind of each option that the optimizer has.

    `None` is accepted for any option, and a tensor with one element for a number. A number must be
    finite unless the optimizer's own value is not.
    """
    for key, value in own.options.items():
        given: Any = saved.get(key)
        given = given.reshape(()) if getattr(given, "shape", ()) == (1,) else given
        if given is not None:
            for path, problem in find_misfits(given, value, (key,)):
                refuse(f"the option {dotted(path)} {problem}")
            if _is_finite(value) and not _is_finite(given):
                refuse(f"the option {key} is not finite")


def _check_written(saved: Group) -> None:
    """Check the keys that hooks and steps write into a group and a new group does not have."""
    for key, value in {**HOOK_KEYS, "step": 0}.items():
        if key in saved:
            problems = ["is none"] if saved[key] is None else []
            for problem in (*problems, *(text for _, text in find_misfits(saved[key], value))):
                refuse(f"the option {key} {problem}")
            _check_count(saved, f"the option {key}", key)


def _is_finite(value: Any) -> bool:
    """Return False for a number, or a list with a number, that is nan or infinite."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, cast("Sequence[Any]", value)))
    if hasattr(value, "is_meta"):
        return value.ndim > 0 or (not value.is_meta and math.isfinite(value))
    return not isinstance(value, float) or math.isfinite(value)


def _check_none(optimizer: Optimizer | None, saved: Group, own: CurrentGroup) -> None:
    """Refuse a `None` in place of a switch, or with which the optimizer cannot step.

    If a step on a copy shows nothing about the optimizer, only switches are checked.
    """
    options = {k: v for k, v in own.options.items() if v is not None and k not in IMPLEMENTATIONS}
    lost = [key for key in options if saved.get(key, 0) is None]
    no_step = False
    if lost and optimizer is not None and own.params:
        param = _whole(own.params[0].tensor)
        # A copy that cannot step with the own options either shows nothing about the `None`.
        no_step = step_of_one(optimizer, saved, param) is None and (
            step_of_one(optimizer, {**saved, **options}, param) is not None
        )
    for key in lost:
        if no_step or isinstance(options[key], bool):
            refuse(f"the option {key} is none, not {describe_form(options[key])}")


def _check_group(
    optimizer: Optimizer,
    group: Group,
    entries: Sequence[tuple[int, CurrentParam, SavedParam]],
    states: dict[Any, Any],
) -> None:
    """Check the states of the parameters of one group, and give them the optimizer's strides."""
    # The shape of a DTensor is the whole shape; the copy steps with it in this process alone.
    wholes = [_whole(own.tensor) for _, own, _ in entries]
    fresh = fresh_states(optimizer, group, wholes) if entries else {}
    for (number, own, found), param in zip(entries, wholes, strict=True):
        expected = fresh[form_of(param)]
        _check_state(own, found, expected, type(optimizer).__name__)
        like = dict.fromkeys(found.state, _like(param)) | (expected or {})
        states[number] = {
            key: _in_order(key, value, like[key]) for key, value in found.state.items()
        }


def _check_state(
    own: CurrentParam, found: SavedParam, expected: Mapping[str, Any] | None, kind: str
) -> None:
    """Check the state of one parameter; nothing is expected if a step on a copy fails."""
    state = {key: value for key, value in found.state.items() if value is not None}
    needed = {key for key, value in (expected or {}).items() if value is not None}
    if missing := sorted(needed - state.keys()):
        refuse(f"the state of {own.name} has no {', '.join(missing)}, which {kind} needs")
    known = {key: value for key, value in (expected or {}).items() if key in state}
    shape = tuple(own.tensor.shape)
    for path, problem in find_misfits(state, known):
        refuse(
            f"{own.name} is {shape}, and its saved {dotted(path)} {problem}", _advice(own, found)
        )
    for key, value in state.items():
        if isinstance(value, str):  # in what a fresh optimizer does not have
            refuse(f"{own.name} is {shape}, and its saved {key} is text", _advice(own, found))
    for key, tensor in _tensors(state):
        is_extra = known.get(key) is None and not _is_possible(tensor, shape, expected is not None)
        if tensor.is_meta or is_extra:
            what = (
                "without values (its device is meta)" if tensor.is_meta else describe_form(tensor)
            )
            refuse(f"{own.name} is {shape}, and its saved {key} is {what}", _advice(own, found))
    _check_count(state, f"the saved step of {own.name}")


def _check_kept(own: CurrentParam, found: SavedParam, keys: tuple[str, ...]) -> None:
    """Check that hook entries and these keys in a state are tensors of the parameter's shape."""
    like = _like(_whole(own.tensor))
    kept = {key: value for key, value in found.state.items() if key in STATE_KEYS}
    forms = dict.fromkeys(kept, like)
    for key in found.state.keys() & keys:
        kept[key] = value = found.state[key]
        # The dtype is not declared, only the shape.
        forms[key] = like.to(getattr(value, "dtype", None))
    empty = [((key,), "has no values") for key, tensor in _tensors(kept) if tensor.is_meta]
    for path, problem in (*find_misfits(kept, forms), *empty):
        refuse(
            f"{own.name} is {tuple(like.shape)}, and its saved {dotted(path)} {problem}",
            _advice(own, found),
        )


def _check_count(held: Mapping[str, Any], what: str, key: str = "step") -> None:
    """Check that a count, if there is one, is a number of at least 0."""
    count = held.get(key)
    if count is None or any(find_misfits(count, 0)):
        return  # the checks of the form report what is no number
    number = count.item() if hasattr(count, "item") else count
    if not 0 <= number <= _MOST_STEPS:
        refuse(f"{what} is no count (below 0, not finite or too large)")


def _is_possible(tensor: Tensor, shape: Shape, is_known: bool) -> bool:
    """Return True if a state may have a tensor that a fresh optimizer does not have.

    Such a tensor has no dimensions, or the shape of the parameter. For an unknown optimizer any
    tensor is possible, unless it would be broadcast to the shape of the parameter.
    """
    if tensor.is_nested or tensor.ndim == 0 or tuple(tensor.shape) == shape:
        return not tensor.is_nested
    # A tensor that broadcasts is likely the state of another parameter: the step would not fail.
    sizes = zip(tensor.shape[::-1], shape[::-1], strict=False)
    is_broadcast = tensor.ndim <= len(shape) and all(n in (1, size) for n, size in sizes)
    return not is_known and not is_broadcast


def _tensors(state: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a state, each with its key."""
    import torch

    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            yield key, value
        elif isinstance(value, (list, tuple)):
            parts = cast("list[Any]", value)
            yield from ((key, part) for part in parts if isinstance(part, torch.Tensor))


def _in_order(key: str, value: Any, like: Any) -> Any:
    """Return a value in the optimizer's form: a tensor with its strides, or a count of steps."""
    import torch

    if not isinstance(like, torch.Tensor):
        return value
    if (
        type(value) is torch.Tensor
        and value.shape == like.shape != ()
        and value.layout is like.layout
        and value.stride() != like.stride()
    ):
        made = torch.empty_strided(
            like.shape, like.stride(), dtype=value.dtype, device=value.device
        )
        return made.copy_(value)
    # PyTorch reads only the first count of steps to find out if all of them are tensors.
    is_count = key == "step" and isinstance(value, (int, float))
    return torch.tensor(float(value), dtype=like.dtype) if is_count else value


def _like(param: Tensor) -> Tensor:
    import torch

    return torch.empty_like(param, device="meta")


def _whole(param: Any) -> Tensor:
    """Return the parameter, or for a sharded one an empty tensor of the whole shape."""
    import torch

    sharded = hasattr(param, "to_local")
    return torch.empty(param.shape, dtype=param.dtype, device="meta") if sharded else param


def _advice(own: CurrentParam, found: SavedParam) -> str:
    if found.name is not None and own.names:
        return "give it the size that it had, or start without the state"
    return (
        "without names in the state and in the optimizer a parameter is known by its place, so "
        "give them in the order that they had"
    )


def refuse(problem: str, remedy: str = _ANOTHER) -> NoReturn:
    """Refuse a saved state, with the problem and the remedy.

    Raises:
        OptimizerError: Always.
    """
    raise OptimizerError(f"the saved state does not fit: {problem}; {remedy}")
