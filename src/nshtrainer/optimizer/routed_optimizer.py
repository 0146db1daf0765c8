"""Several optimizers behind one: one of torch's, whose parts each have their own parameters.

The parts own everything: the groups in `param_groups` are the very dicts of the parts, and `state`
looks into theirs. So whatever reads or writes a group, a schedule or a learning-rate finder, reads
and writes what a part computes with. A state dict is split among the parts and joined from theirs,
so their hooks run; it has the form of any optimizer's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from itertools import chain
from typing import Any
from weakref import WeakMethod

import torch
from torch.optim import Optimizer
from typing_extensions import override

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.checkpoint.match import groups_in_order
from nshtrainer.optimizer.checkpoint.state_check import refuse

__all__ = ["RoutedOptimizer"]

Group = dict[str, Any]
StateDict = dict[str, Any]


class RoutedOptimizer(Optimizer):
    """One optimizer out of several, each of which updates its own parameters.

    The groups of a part that has one are named after its route, and those of a part that has more
    `route/group`. `defaults` holds the options that all parts have, with the values of the first.
    A part may load a state by itself, but groups are added to the whole.

    Args:
        routes: The parts, by the names of their routes.
        default: The route of groups that are added without saying which.

    Raises:
        OptimizerError: There is no part, `default` is none of them, or one needs a closure.
        ValueError: A parameter is in two of them.

    >>> from torch import nn
    >>> hidden, head = nn.Linear(2, 2), nn.Linear(2, 1)
    >>> optimizer = RoutedOptimizer(
    ...     {
    ...         "hidden": torch.optim.SGD(hidden.parameters(), lr=0.1, momentum=0.9),
    ...         "head": torch.optim.AdamW(head.parameters(), lr=1e-3),
    ...     }
    ... )
    >>> [(group["name"], group["lr"]) for group in optimizer.param_groups]
    [('hidden', 0.1), ('head', 0.001)]
    >>> optimizer.param_groups[0] is optimizer.routes["hidden"].param_groups[0]
    True
    """

    def __init__(self, routes: Mapping[str, Optimizer], *, default: str | None = None) -> None:
        _check_routes(routes, default)
        self.routes = dict(routes)
        self.default = default
        for name, part in self.routes.items():
            for place, group in enumerate(part.param_groups):
                own = group.get("name", place if len(part.param_groups) > 1 else None)
                group["name"] = name if own is None else f"{name}/{own}"
        owners = [name for name, part in self.routes.items() for _ in part.param_groups]
        groups = [group for part in self.routes.values() for group in part.param_groups]
        first, *others = (part.defaults for part in self.routes.values())
        common = {key: first[key] for key in first if all(key in other for other in others)}
        super().__init__(groups, common)
        self._connect(owners)

    def _connect(self, owners: list[str]) -> None:
        """Look into the parts, and hear of it when one of them has loaded a state.

        Args:
            owners: The route of each group, in the order in which the groups were added.
        """
        self._owners = owners
        self.state: Any = _States(self.routes)
        for part in self.routes.values():
            part.register_load_state_dict_post_hook(partial(_call, WeakMethod(self._gather)))
        self._gather()

    def _gather(self) -> None:
        """Take the groups of the parts as they are now: loading a state makes new dicts."""
        groups = {name: iter(part.param_groups) for name, part in self.routes.items()}
        self.param_groups = [next(groups[owner]) for owner in self._owners]

    @torch.no_grad()
    @override
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters; the closure runs once, before the first part."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.routes.values():
            part.step()
        return loss

    @override
    def add_param_group(self, param_group: Group) -> None:
        """Add a group to the part that its `route` names, or else to the default one.

        Args:
            param_group: As torch takes it, with the name of a route under `route`. Its own `name`
                is put behind that of the route.

        Raises:
            OptimizerError: There is no such route.
            ValueError: One of its parameters is in the optimizer already.
        """
        if "_owners" not in vars(self):  # the base is being built, of groups that the parts have
            super().add_param_group(param_group)
            return
        route = self._route_for(param_group)
        part = self.routes[route]
        group = {key: value for key, value in param_group.items() if key != "route"}
        group["name"] = f"{route}/{group.get('name', len(part.param_groups))}"
        part.add_param_group(group)
        try:
            super().add_param_group(group)
        except ValueError:
            part.param_groups.pop()
            raise
        self._owners.append(route)

    def _route_for(self, group: Group) -> str:
        route = group.get("route", self.default)
        if route not in self.routes:
            raise OptimizerError(
                f"which optimizer is the group for? Its 'route' is {route!r}; write one of "
                f"{', '.join(map(repr, self.routes))} under that key"
            )
        return route

    # -- state ---------------------------------------------------------------------------------

    @override
    def state_dict(self) -> StateDict:
        """The state in the form of any optimizer's: flat, the parameters numbered by group."""
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        state = self._joined({name: part.state_dict() for name, part in self.routes.items()})
        for after in self._optimizer_state_dict_post_hooks.values():
            state = after(self, state) or state
        return state

    def _joined(self, parts: Mapping[str, StateDict]) -> StateDict:
        groups = {name: iter(part["param_groups"]) for name, part in parts.items()}
        numbers: dict[tuple[str, Any], int] = {}
        joined: list[Group] = []
        for owner in self._owners:
            group = next(groups[owner])
            ids = [numbers.setdefault((owner, key), len(numbers)) for key in group["params"]]
            joined.append({**group, "params": ids})
        state: dict[int, Any] = {}
        for name, part in parts.items():
            for key, value in part["state"].items():
                if (name, key) not in numbers:
                    raise OptimizerError(
                        f"route {name!r}: {type(self.routes[name]).__name__} keeps a state that "
                        f"belongs to no parameter ({key!r}), which cannot be saved among others'"
                    )
                state[numbers[name, key]] = value
        return {"state": dict(sorted(state.items())), "param_groups": joined}

    @override
    def load_state_dict(self, state_dict: StateDict) -> None:
        """Give each part its share of a state.

        Saved groups with the names of those that are here are known by them, in whatever order;
        without names they are known by their place.

        Raises:
            OptimizerError: The saved groups have other names, or a part refuses its share.
            ValueError: There is another number of groups, or of parameters in one.
        """
        state_dict = state_dict.copy()
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = before(self, state_dict) or state_dict
        groups = _in_order(state_dict["param_groups"], self.param_groups)
        for name, part in self.routes.items():
            own = [
                group for group, owner in zip(groups, self._owners, strict=True) if owner == name
            ]
            ids = set(chain.from_iterable(group["params"] for group in own))
            state = {key: value for key, value in state_dict["state"].items() if key in ids}
            part.load_state_dict({**state_dict, "state": state, "param_groups": own})
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    # -- copies --------------------------------------------------------------------------------

    @override
    def __getstate__(self) -> StateDict:
        return {
            "routes": self.routes,
            "default": self.default,
            "defaults": self.defaults,
            "owners": self._owners,
        }

    @override
    def __setstate__(self, state: StateDict) -> None:
        super().__setstate__({key: value for key, value in state.items() if key != "owners"})
        self._connect(list(state["owners"]))


class _States(MutableMapping[Any, Any]):
    """The states of the parts, as one mapping from a parameter to its state."""

    def __init__(self, routes: Mapping[str, Optimizer]) -> None:
        self._routes = routes

    def _home(self, param: Any) -> MutableMapping[Any, Any]:
        """The state of the part that a parameter belongs to."""
        for part in self._routes.values():
            if param in part.state:
                return part.state
        for part in self._routes.values():
            if any(param is own for group in part.param_groups for own in group["params"]):
                return part.state
        raise KeyError(param)

    def __getitem__(self, param: Any) -> Any:
        return self._home(param)[param]

    def __setitem__(self, param: Any, value: Any) -> None:
        self._home(param)[param] = value

    def __delitem__(self, param: Any) -> None:
        del self._home(param)[param]

    def __contains__(self, param: object) -> bool:
        return any(param in part.state for part in self._routes.values())

    def get(self, param: Any, default: Any = None) -> Any:
        """The state of a parameter that has one; unlike `[]`, none is made."""
        return self[param] if param in self else default  # noqa: SIM401 - it is `get`

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(part.state for part in self._routes.values())

    def __len__(self) -> int:
        return sum(len(part.state) for part in self._routes.values())

    def __repr__(self) -> str:
        return repr(dict(self))


def _call(method: WeakMethod[Callable[[], None]], *_: object) -> None:
    bound = method()
    if bound is not None:
        bound()


def _check_routes(routes: Mapping[str, Optimizer], default: str | None) -> None:
    if not routes:
        raise OptimizerError("there are no routes; give at least one optimizer")
    if default is not None and default not in routes:
        raise OptimizerError(
            f"the default route {default!r} is none of {', '.join(map(repr, routes))}"
        )
    for name, part in routes.items():
        closure = inspect.signature(part.step).parameters.get("closure")
        if closure is not None and closure.default is inspect.Parameter.empty:
            raise OptimizerError(
                f"route {name!r}: {type(part).__name__} computes the loss several times an update, "
                "which the others would not know of; use it alone, or another optimizer here"
            )


def _in_order(saved: list[Group], own: list[Group]) -> list[Group]:
    """The saved groups in the order of ours, by name where they have names."""
    if len(saved) != len(own):
        refuse(f"it has {len(saved)} parameter groups, and there are {len(own)} here")
    names: list[str] = [group["name"] for group in own]
    saved = groups_in_order(saved, names)
    theirs = [group.get("name") for group in saved]
    if theirs != names and None not in theirs:
        raise OptimizerError(
            f"the saved state is that of other routes: its groups are "
            f"{', '.join(map(str, theirs))}, and here they are {', '.join(names)}; give the "
            "routes the names that they had"
        )
    for theirs, ours in zip(saved, own, strict=True):
        if len(theirs["params"]) != len(ours["params"]):
            refuse(
                f"{ours['name']!r} has {len(ours['params'])} parameters here, "
                f"{len(theirs['params'])} in the state"
            )
    return saved
