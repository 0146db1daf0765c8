"""Which parameter goes to which optimizer: the configs that build one optimizer out of several."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from typing_extensions import Self, final

from nshtrainer.config import Config
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.base import (
    OptimizerConfig,
    OptimizerConfigBase,
    Params,
    optimizer_registry,
)
from nshtrainer.optimizer.inventory import inventory
from nshtrainer.optimizer.native.adam import AdamWConfig
from nshtrainer.optimizer.native.curvature import MuonConfig
from nshtrainer.optimizer.selection import (
    Selection,
    SelectorConfig,
    described,
    needs_modules,
    selects,
)

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.optimizer.inventory import Parameter

__all__ = ["MuonWithAdamWConfig", "RouteConfig", "RoutedOptimizerConfig", "RoutingConfigBase"]

RouteName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^/\s]+$")]
"""The name of a route: no space and no slash, which comes before the name of a group."""


def _routable(config: OptimizerConfigBase) -> OptimizerConfigBase:
    if isinstance(config, RoutingConfigBase):
        raise ValueError(f"{config.name} is routed itself; write its routes beside this one")
    if getattr(config, "needs_closure", False):
        raise ValueError(
            f"{config.name} computes the loss several times an update, which the other routes "
            "would not know of; use it alone, or another optimizer here"
        )
    return config


Routable: TypeAlias = Annotated[OptimizerConfig, AfterValidator(_routable)]
"""An optimizer that can work beside others."""


class RouteConfig(Config):
    """A selection of parameters, and the optimizer for them.

    >>> RouteConfig(name="embeddings", select={"role": "embedding"}, optimizer="sparseadam").name
    'embeddings'
    """

    name: RouteName
    """The name of the route, and of its parameter group in monitors, tables and schedules."""

    select: Selection
    """Which parameters: a pattern for names, a selector, or a list of these."""

    optimizer: Routable
    """The optimizer that updates them."""

    required: bool = True
    """Whether it is an error if there is no such parameter, or if all of them are frozen."""


class RoutingConfigBase(OptimizerConfigBase):
    """The base of configs that build one optimizer out of several: write their `all_routes`."""

    @abstractmethod
    def all_routes(self) -> tuple[RouteConfig, ...]:
        """The routes, of which the first that selects a parameter takes it."""

    def create_optimizer(self, params: Params, /) -> Optimizer:
        """Build the optimizers, and one that is all of them.

        Args:
            params: A module, or `module.named_parameters()` where no route asks for the type of a
                module or for a role.

        Raises:
            OptimizerError: A route matches nothing, or no route a parameter; names or modules are
                needed and not there; an optimizer cannot be built of what it gets.
        """
        from nshtrainer.optimizer.routed import RoutedOptimizer

        route_of = self._routes_of(params)
        parts = {
            route.name: _create(route, [p for p in route_of if route_of[p] == route.name])
            for route in self.all_routes()
            if route.name in route_of.values()
        }
        last = self.all_routes()[-1]
        takes_rest = last.select == "*" and last.name in parts
        return RoutedOptimizer(parts, default=last.name if takes_rest else None)

    def routing(self, params: Params, /) -> dict[str, str]:
        """The route of every parameter that is trained, by name; a tied weight has its first name.

        >>> from torch import nn
        >>> model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 4))
        >>> for name, route in MuonWithAdamWConfig().routing(model).items():
        ...     print(name, route)
        0.weight adamw
        1.weight muon
        1.bias adamw
        2.weight muon
        2.bias adamw

        Args:
            params: As for `create_optimizer`.

        Raises:
            OptimizerError: As there.
        """
        return {p.name: route for p, route in self._routes_of(params).items()}

    def _routes_of(self, params: Params) -> dict[Parameter, str]:
        """The name of the route of each parameter that is trained, in the order of the model."""
        routes = self.all_routes()
        parameters = _named(params, routes)
        found = {
            p: next((route.name for route in routes if selects(route.select, p)), "")
            for p in parameters
            if p.tensor.requires_grad
        }
        for route in routes:
            if route.required and route.name not in found.values():
                raise OptimizerError(_why_empty(route, routes, parameters))
        left = [p.name for p, name in found.items() if not name]
        if left or not found:
            raise OptimizerError(
                f"no route takes {_some(left)}; add a default, or a last route that selects '*'"
                if left
                else "there is no parameter to optimize: the model has none that is trained"
            )
        return found


def _named(params: Params, routes: Sequence[RouteConfig]) -> list[Parameter]:
    import torch

    if isinstance(params, torch.nn.Module):
        return inventory(params)
    for route in routes:
        if needs_modules(route.select):
            raise OptimizerError(
                f"route {route.name!r} selects by the module that holds a parameter, which only "
                "the model tells; give the module, as in create_optimizer(module)"
            )
    return inventory(cast("Any", params))


def _create(route: RouteConfig, parameters: list[Parameter]) -> Optimizer:
    config = route.optimizer
    # Ours know names for their messages, and modules; a method of a user's takes what torch takes.
    ours = type(config).create_optimizer.__module__.partition(".")[0] == __name__.partition(".")[0]
    try:
        return config.create_optimizer(parameters if ours else [p.tensor for p in parameters])
    except OptimizerError as error:
        raise OptimizerError(f"route {route.name!r}: {error}") from error


# -- what is wrong ---------------------------------------------------------------------------------


def _why_empty(
    route: RouteConfig, routes: Sequence[RouteConfig], parameters: Sequence[Parameter]
) -> str:
    """Why a route has no parameter: all are frozen, or taken before, or there is none."""
    where = f"route {route.name!r}: select {described(route.select)}"
    matched = [p for p in parameters if selects(route.select, p)]
    trained = [p for p in matched if p.tensor.requires_grad]
    if trained:
        before = [each.name for each in routes[: routes.index(route)]]
        return (
            f"{where} matches only what an earlier route takes ({', '.join(before)}): "
            f"{_some([p.name for p in trained])}; the first that matches wins, so put it before"
        )
    if matched:
        return (
            f"{where} matches only frozen parameters: {_some([p.name for p in matched])}; leave "
            "the route out, or write required: false"
        )
    names = [name for p in parameters for name in p.names]
    return f"{where} matches no parameter; the nearest are {_some(_nearest(route.select, names))}"


def _nearest(selection: Selection, names: list[str]) -> list[str]:
    found = [
        name
        for pattern in _patterns(selection)
        for name in difflib.get_close_matches(pattern, names, n=3, cutoff=0.3)
    ]
    return list(dict.fromkeys(found)) or names


def _patterns(selection: Selection) -> Iterator[str]:
    if isinstance(selection, str):
        yield selection.removeprefix("re:")
    elif isinstance(selection, tuple):
        for one in selection:
            yield from _patterns(one)
    else:
        for field in ("name", "any_of", "all_of"):
            yield from _patterns(getattr(selection, field) or ())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


# -- the configs -----------------------------------------------------------------------------------


@final
@optimizer_registry.register
class RoutedOptimizerConfig(RoutingConfigBase):
    """Several optimizers as one: each parameter goes to the first route that selects it.

    What is built is one optimizer of torch's, so that schedules, clipping, accumulation and
    checkpoints take it as one; every rate in it is scheduled. Frozen parameters are left out, and
    tied weights count once. A parameter group is named after its route, or `route/group` where the
    optimizer of the route has groups of its own.

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Linear(4, 2))
    >>> route = RouteConfig(name="table", select={"role": "embedding"}, optimizer="sparseadam")
    >>> config = RoutedOptimizerConfig(routes=[route], default=AdamWConfig(lr=1e-3))
    >>> [group["name"] for group in config.create_optimizer(model).param_groups]
    ['table', 'default']
    """

    name: Literal["routed"] = "routed"

    routes: Annotated[tuple[RouteConfig, ...], Field(min_length=1)]
    """The routes, of which the first that selects a parameter takes it."""

    default: Routable | None = None
    """The optimizer for all that no route takes, as a last route `default`; None: that is an
    error."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [route.name for route in self.all_routes()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!r} is the name of two routes; give each its own")
        return self

    def all_routes(self) -> tuple[RouteConfig, ...]:
        """The routes, and the default one as the last."""
        if self.default is None:
            return self.routes
        rest = RouteConfig(name="default", select="*", optimizer=self.default, required=False)
        return (*self.routes, rest)


@final
@optimizer_registry.register
class MuonWithAdamWConfig(RoutingConfigBase):
    """Muon for the hidden matrices of a network, AdamW for all else.

    Hidden matrices have two dimensions and are neither an embedding nor the head. A head is known
    by its name (`head`, `lm_head`, `classifier`, `fc`) or from `get_output_embeddings()`; where
    yours is called otherwise, write the routes of `routed`. The defaults are those of the
    reference implementation.

    Reference: K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4))
    >>> MuonWithAdamWConfig().routing(model)
    {'0.weight': 'adamw', '1.weight': 'muon', '1.bias': 'adamw'}
    """

    name: Literal["muon_with_adamw"] = "muon_with_adamw"

    muon: MuonConfig = MuonConfig(lr=0.02, weight_decay=0.01)
    """The optimizer of the hidden matrices."""

    adamw: AdamWConfig = AdamWConfig(lr=3e-4, betas=(0.9, 0.95), weight_decay=0.01)
    """The optimizer of embeddings, the head, norms, biases and the rest."""

    convolutions: bool = False
    """Whether Muon takes the kernels of convolutions too, as matrices of outputs by all else."""

    def all_routes(self) -> tuple[RouteConfig, ...]:
        """The two routes, `muon` and `adamw`."""
        roles = SelectorConfig(role=("matrix", "conv") if self.convolutions else "matrix")
        muon = self.muon.replace(flatten=self.convolutions or self.muon.flatten)
        return (
            RouteConfig(name="muon", select=roles, optimizer=muon),
            RouteConfig(name="adamw", select="*", optimizer=self.adamw, required=False),
        )
