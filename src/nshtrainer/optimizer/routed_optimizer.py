"""A torch Optimizer that delegates parameter groups to several optimizers.

The parts own everything: the groups in `param_groups` are the same dicts as in the parts, and
`state` is a view of the states of the parts. A schedule or a learning-rate finder that writes into
a group therefore changes the part that steps it. A state dict has the usual form: it is split among
the parts when it is loaded and joined from their state dicts when it is saved, so their hooks run.
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
    """Optimizer made of several optimizers, each of which updates its own parameters.

    The only group of a part is named after its route; with several groups each is named
    `route/group`. `defaults` holds the options that all parts share, with the values of the first
    part. A part may load a state by itself, but groups are added to the whole.

    Args:
        routes: The parts, by the names of their routes.
        default: The route of added groups that name no route.

    Raises:
        OptimizerError: There is no part, `default` is not a route, or a part needs a closure.
        ValueError: A parameter is in two parts.

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
        # The base class keeps these very dicts, so a part sees every later change of its groups.
        groups = [group for part in self.routes.values() for group in part.param_groups]
        first, *others = (part.defaults for part in self.routes.values())
        common = {key: first[key] for key in first if all(key in other for other in others)}
        super().__init__(groups, common)
        self._connect(owners)

    def _connect(self, owners: list[str]) -> None:
        """Share the states and groups of the parts, also after a part has loaded a state.

        Args:
            owners: The route of each group, in the order in which the groups were added.
        """
        self._owners = owners
        self.state: Any = _States(self.routes)
        for part in self.routes.values():
            # Weak: a part may outlive this optimizer, and must not keep it alive.
            part.register_load_state_dict_post_hook(partial(_call, WeakMethod(self._gather)))
        self._gather()

    def _gather(self) -> None:
        """Collect the present groups of the parts: loading a state makes new dicts."""
        groups = {name: iter(part.param_groups) for name, part in self.routes.items()}
        # In order of addition, not by part: schedulers identify groups by index.
        self.param_groups = [next(groups[owner]) for owner in self._owners]

    @torch.no_grad()
    @override
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters; the closure runs once, before the first part steps."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.routes.values():
            part.step()
        return loss

    @override
    def add_param_group(self, param_group: Group) -> None:
        """Add a group to the part that its `route` names, or to the default part.

        Args:
            param_group: A group dict, with the name of a route under `route`. The group is named
                `route/name`.

        Raises:
            OptimizerError: There is no such route.
            ValueError: One of its parameters is already in the optimizer.
        """
        if "_owners" not in vars(self):  # called by the constructor of the base class
            super().add_param_group(param_group)
            return
        route = self._route_for(param_group)
        part = self.routes[route]
        group = {key: value for key, value in param_group.items() if key != "route"}
        group["name"] = f"{route}/{group.get('name', len(part.param_groups))}"
        # The part first, so that its own defaults fill the group and not the shared ones.
        part.add_param_group(group)
        try:
            super().add_param_group(group)
        except ValueError:
            # Only the base class sees a parameter that is in another part.
            part.param_groups.pop()
            raise
        self._owners.append(route)

    def _route_for(self, group: Group) -> str:
        route = group.get("route", self.default)
        if route not in self.routes:
            raise OptimizerError(
                f"param group needs a 'route'; choose one of {', '.join(map(repr, self.routes))} "
                f"instead of {route!r}"
            )
        return route

    # -- state ---------------------------------------------------------------------------------

    @override
    def state_dict(self) -> StateDict:
        """Return the state in the usual flat form, with the parameters numbered by group."""
        # The method of the base class is not called, so the hooks of this optimizer run here.
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        state = self._joined({name: part.state_dict() for name, part in self.routes.items()})
        for after in self._optimizer_state_dict_post_hooks.values():
            state = after(self, state) or state
        return state

    def _joined(self, parts: Mapping[str, StateDict]) -> StateDict:
        """Join the state dicts of the parts into one."""
        groups = {name: iter(part["param_groups"]) for name, part in parts.items()}
        numbers: dict[tuple[str, Any], int] = {}
        joined: list[Group] = []
        for owner in self._owners:
            group = next(groups[owner])
            # Each part numbers its parameters from 0.
            ids = [numbers.setdefault((owner, key), len(numbers)) for key in group["params"]]
            joined.append({**group, "params": ids})
        state: dict[int, Any] = {}
        for name, part in parts.items():
            for key, value in part["state"].items():
                if (name, key) not in numbers:
                    raise OptimizerError(
                        f"route {name!r}: {type(self.routes[name]).__name__} keeps a state that "
                        f"belongs to no parameter ({key!r}), which cannot be saved in a joint state"
                    )
                state[numbers[name, key]] = value
        return {"state": dict(sorted(state.items())), "param_groups": joined}

    @override
    def load_state_dict(self, state_dict: StateDict) -> None:
        """Load a state: each part loads its share.

        Saved groups with the names of the present groups are matched by name, in any order.
        Without names they are matched by position.

        Raises:
            OptimizerError: The saved groups have other names or sizes, or there is another number
                of them; or a part refuses its share.
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
    """View of the states of all parts, as one mapping from a parameter to its state."""

    def __init__(self, routes: Mapping[str, Optimizer]) -> None:
        self._routes = routes

    def _home(self, param: Any) -> MutableMapping[Any, Any]:
        """Return the state of the part that a parameter belongs to."""
        # By key first: a part may keep a state that belongs to no parameter.
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
        """Return the state of a parameter; unlike `[]` this makes no new state."""
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
    """Return the saved groups in the order of the current ones, by name if they have names."""
    if len(saved) != len(own):
        refuse(f"it has {len(saved)} parameter groups, and there are {len(own)} here")
    names: list[str] = [group["name"] for group in own]
    saved = groups_in_order(saved, names)
    theirs = [group.get("name") for group in saved]
    if theirs != names and None not in theirs:
        raise OptimizerError(
            f"the saved state has other routes: its groups are "
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
