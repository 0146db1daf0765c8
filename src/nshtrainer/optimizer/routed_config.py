"""Configs of several optimizers for the parameters of one model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, StringConstraints, model_validator
from typing_extensions import Self, final, override

from nshtrainer.config import Config
from nshtrainer.config.messages import join_quoted
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.base import (
    OptimizerConfig,
    OptimizerConfigBase,
    Params,
    innermost,
    optimizer_registry,
)
from nshtrainer.optimizer.build import build_optimizer
from nshtrainer.optimizer.groups.assign import assign
from nshtrainer.optimizer.groups.parameters import ParameterSubset, inventory
from nshtrainer.optimizer.groups.selectors import (
    Selection,
    SelectorConfig,
    described,
    nearest,
    needs_modules,
    selects,
)
from nshtrainer.optimizer.torch_optim.adam import AdamWConfig
from nshtrainer.optimizer.torch_optim.curvature import MuonConfig

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer

    from nshtrainer.optimizer.groups.parameters import Parameter
    from nshtrainer.run_length import RunLength

__all__ = ["MuonWithAdamWConfig", "RouteConfig", "RoutedOptimizerConfig", "RoutingConfigBase"]

RouteName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")]
"""Name of a route: letters, digits, `_`, `.` and `-`. A slash separates the name of a group."""


def _check_routable(config: OptimizerConfigBase) -> OptimizerConfigBase:
    if isinstance(config, RoutingConfigBase):
        raise ValueError(  # noqa: TRY004 - pydantic turns it into a place in a file
            f"{config.name} is routed itself; write its routes beside this one"
        )
    if getattr(config, "needs_closure", False):
        raise ValueError(
            f"{config.name} computes the loss several times an update, which the other routes "
            "would not know of; use it alone, or another optimizer here"
        )
    return config


Routable: TypeAlias = Annotated[OptimizerConfig, AfterValidator(_check_routable)]
"""Optimizer config that can be used together with others."""


class RouteConfig(Config):
    """Selection of parameters, and the optimizer for them.

    >>> RouteConfig(name="embeddings", select={"role": "embedding"}, optimizer="sparseadam").name
    'embeddings'
    """

    name: RouteName
    """Name of the route, and of its parameter group in monitors, tables and schedules."""

    select: Selection
    """Parameters of the route: a pattern for names, a selector, or a list of these."""

    optimizer: Routable
    """Optimizer that updates them."""

    required: bool = True
    """Raise an error if no parameter is selected, or if all selected ones are frozen."""


class RoutingConfigBase(OptimizerConfigBase):
    """Base of configs that build one optimizer out of several: subclasses write `all_routes`."""

    @abstractmethod
    def all_routes(self) -> tuple[RouteConfig, ...]:
        """Return the routes; the first that selects a parameter takes it."""

    @override
    def config_for_group(self, name: str | None) -> OptimizerConfigBase | None:
        routes = {route.name: route.optimizer for route in self.all_routes()}
        config = routes.get(str(name).partition("/")[0])
        return None if config is None else config.config_for_group(None)

    def create_optimizer(self, params: Params, /, *, run: RunLength | None = None) -> Optimizer:
        """Build the optimizers, and join them into one.

        Args:
            params: A module, or `module.named_parameters()` if no route selects by role or by the
                type of a module.
            run: The length of the run, for `resume` and for routes with an `lr_scaling`.

        Raises:
            OptimizerError: A route matches no parameter; no route takes a parameter; names or
                modules are needed but not given; an optimizer cannot be built of its parameters.
        """
        from nshtrainer.optimizer.checkpoint.hooks import OptimizerStateHooks
        from nshtrainer.optimizer.parameter_checks import watch_parameters
        from nshtrainer.optimizer.routed_optimizer import RoutedOptimizer
        from nshtrainer.optimizer_record import record_of

        model, parameters = _read(params, self.all_routes())
        taken = self._taken(parameters)
        parts = {
            route.name: _create(
                route, ParameterSubset(model, parameters, frozenset(taken[route.name])), run
            )
            for route in self.all_routes()
            if taken[route.name]
        }
        last = self.all_routes()[-1]
        takes_rest = last.select == "*" and last.name in parts
        optimizer = RoutedOptimizer(parts, default=last.name if takes_rest else None)
        if isinstance(params, ParameterSubset):
            return optimizer
        named = [(name, p.tensor) for p in parameters for name in p.names]
        of = {route.name: route.optimizer for route in self.all_routes()}
        free = {
            name: keys
            for name, part in parts.items()
            if (keys := _checked_keys(of[name], part)) is not None
        }
        known = OptimizerStateHooks(
            named if model is None else model, run, unchecked=free, config=self
        )
        known.attach(optimizer)
        record_of(optimizer).keep_hooks()
        watch_parameters(optimizer, model, self)
        return optimizer

    def routing(self, params: Params, /) -> dict[str, str]:
        """Return the route of every parameter in the optimizer; a tied weight has its first name.

        >>> from torch import nn
        >>> route = RouteConfig(name="out", select="2", optimizer="adagrad")
        >>> config = RoutedOptimizerConfig(routes=[route], default="adamw")
        >>> config.routing(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)))
        {'0.weight': 'default', '0.bias': 'default', '2.weight': 'out', '2.bias': 'out'}

        Args:
            params: As for `create_optimizer`.

        Raises:
            OptimizerError: As for `create_optimizer`; the optimizers themselves are not built.
        """
        _, parameters = _read(params, self.all_routes())
        route_of = {p: name for name, mine in self._taken(parameters).items() for p in mine}
        return {p.name: route_of[p] for p in parameters if p in route_of}

    def describe(self, params: Params, /) -> str:
        """Return the routing for people, a line for each route: sizes, and the first names.

        >>> from torch import nn
        >>> route = RouteConfig(name="out", select="2", optimizer="adagrad")
        >>> config = RoutedOptimizerConfig(routes=[route], default="adamw")
        >>> print(config.describe(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))))
        out (adagrad): 5 parameters in 2 tensors: '2.weight', '2.bias'
        default (adamw): 12 parameters in 2 tensors: '0.weight', '0.bias'

        Args:
            params: As for `create_optimizer`.
        """
        _, parameters = _read(params, self.all_routes())
        taken = self._taken(parameters)
        return "\n".join(
            f"{route.name} ({route.optimizer.name}): "
            f"{sum(p.shaped.numel() for p in mine):,} parameters in "
            f"{len(mine)} tensor{'s' * (len(mine) > 1)}: "
            f"{join_quoted((p.name for p in mine), limit=2)}"
            for route in self.all_routes()
            if (mine := taken[route.name])
        )

    def _taken(self, parameters: Sequence[Parameter]) -> dict[str, list[Parameter]]:
        """Return the parameters of each route: the first that selects a parameter takes it."""
        self._check_selections(parameters)
        routes = self.all_routes()
        assignment = assign(routes, parameters, _is_excluded)
        for name, reason in assignment.reasons.items():
            raise OptimizerError(f"route {name!r}: {reason}")
        taken: dict[str, list[Parameter]] = {route.name: [] for route in routes}
        for parameter, route in assignment.taken.items():
            if not _is_excluded(route, parameter):
                taken[route.name].append(parameter)
        _check_left([p for p in assignment.unmatched if p.tensor.requires_grad], taken)
        return taken

    def _check_selections(self, parameters: Sequence[Parameter]) -> None:
        """Check selections that are only a part of a route; subclasses may have some."""


def _is_excluded(route: RouteConfig, parameter: Parameter) -> bool:
    """Return True for a frozen parameter, unless the optimizer of the route includes them."""
    optimizer = innermost(route.optimizer)
    return not (parameter.tensor.requires_grad or getattr(optimizer, "include_frozen", False))


def _read(
    params: Params, routes: Sequence[RouteConfig]
) -> tuple[Module | None, tuple[Parameter, ...]]:
    """Return the model, if it is given, and its parameters."""
    import torch

    if isinstance(params, ParameterSubset):
        return params.model, params.inventory
    if isinstance(params, torch.nn.Module):
        return params, tuple(inventory(params))
    for route in routes:
        if needs_modules(route.select):
            raise OptimizerError(
                f"route {route.name!r}: select {described(route.select)} looks at modules, which "
                "only the model has; give the module: create_optimizer(module)"
            )
    try:
        return None, tuple(inventory(cast("Any", params)))
    except OptimizerError as error:
        raise OptimizerError(
            f"routes tell parameters by their names: {error}; give the module: "
            "create_optimizer(module)"
        ) from error


def _create(route: RouteConfig, part: ParameterSubset, run: RunLength | None) -> Optimizer:
    try:
        return build_optimizer(route.optimizer, part, run)
    except OptimizerError as error:
        raise OptimizerError(f"route {route.name!r}: {error}") from error


def _checked_keys(config: OptimizerConfigBase, optimizer: Optimizer) -> tuple[str, ...] | None:
    """Return the state keys with the shape of the parameter; None if a step on a copy shows all."""
    from nshtrainer.optimizer.checkpoint.hooks import is_torchs

    of_others = None if is_torchs(optimizer) else ()
    return getattr(innermost(config), "state_like_param", of_others)


# -- what is wrong ---------------------------------------------------------------------------------


def _check_left(left: list[Parameter], taken: dict[str, list[Parameter]]) -> None:
    if left:
        raise OptimizerError(
            f"no route takes {join_quoted(p.name for p in left)}; give a default, or a last route "
            "that selects '*'"
        )
    if not any(taken.values()):
        raise OptimizerError("there is no parameter to optimize: the model has none, or all frozen")


# -- the config ------------------------------------------------------------------------------------


@final
@optimizer_registry.register
class RoutedOptimizerConfig(RoutingConfigBase):
    """Several optimizers as one: each parameter goes to the first route that selects it.

    The result is one torch optimizer, so schedules, clipping, accumulation and checkpoints treat it
    as one; every rate in it is scheduled. Frozen parameters are left out, and tied weights count
    once. A parameter group is named after its route, or `route/group` if the route's optimizer has
    groups itself.

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Linear(4, 2))
    >>> route = RouteConfig(name="table", select={"role": "embedding"}, optimizer="sparseadam")
    >>> config = RoutedOptimizerConfig(routes=[route], default="adamw")
    >>> [group["name"] for group in config.create_optimizer(model).param_groups]
    ['table', 'default']
    """

    name: Literal["routed"] = "routed"

    routes: tuple[RouteConfig, ...]
    """Routes; the first that selects a parameter takes it."""

    default: Routable | None = None
    """Optimizer for parameters that no route takes, as a last route `default`; None: such a
    parameter is an error."""

    @model_validator(mode="after")
    def _check_route_names(self) -> Self:
        if not self.routes:
            raise ValueError("there is no route; write at least one, or the optimizer alone")
        names = [route.name for route in self.all_routes()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!r} is the name of two routes; give each its own")
        return self

    @override
    def all_routes(self) -> tuple[RouteConfig, ...]:
        if self.default is None:
            return self.routes
        rest = RouteConfig(name="default", select="*", optimizer=self.default, required=False)
        return (*self.routes, rest)


@final
@optimizer_registry.register
class MuonWithAdamWConfig(RoutingConfigBase):
    """Muon for the hidden matrices of a network, AdamW for the rest: the usual way to use Muon.

    Hidden matrices are the weights of linear layers, without embeddings and the head;
    `SelectorConfig.role` describes how these are found. A matrix in a module that is no linear
    layer, such as learned positions, goes to AdamW. `include` and `exclude` correct the choice. The
    defaults are taken from the reference implementation.

    Reference: K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4))
    >>> MuonWithAdamWConfig().routing(model)
    {'0.weight': 'adamw', '1.weight': 'muon', '1.bias': 'adamw'}
    """

    name: Literal["muon_with_adamw"] = "muon_with_adamw"

    muon: MuonConfig = MuonConfig(lr=0.02, weight_decay=0.01)
    """Optimizer of the hidden matrices."""

    adamw: AdamWConfig = AdamWConfig(lr=3e-4, betas=(0.9, 0.95), weight_decay=0.01)
    """Optimizer of embeddings, the head, norms, biases and the rest."""

    convolutions: bool = False
    """Use Muon for convolution kernels too, each as a matrix of outputs by all other dimensions."""

    include: Selection | None = None
    """More parameters for Muon, such as a head or a bare matrix."""

    exclude: Selection | None = None
    """Parameters that Muon does not take, such as a head that is not recognized; wins over
    `include`."""

    @override
    def all_routes(self) -> tuple[RouteConfig, ...]:
        roles = SelectorConfig(role=("matrix", "conv") if self.convolutions else "matrix")
        select = roles
        if self.include is not None:
            more = self.include if isinstance(self.include, tuple) else (self.include,)
            select = SelectorConfig(any_of=(roles, *more))
        if self.exclude is not None:
            select = SelectorConfig(all_of=select, none_of=self.exclude)
        muon = self.muon.replace(flatten=self.convolutions or self.muon.flatten)
        return (
            RouteConfig(name="muon", select=select, optimizer=muon),
            RouteConfig(name="adamw", select="*", optimizer=self.adamw, required=False),
        )

    @override
    def _check_selections(self, parameters: Sequence[Parameter]) -> None:
        for field in ("include", "exclude"):
            selection = getattr(self, field)
            if selection is not None and not any(selects(selection, p) for p in parameters):
                raise OptimizerError(
                    f"{type(self).__name__}: {field}: {described(selection)} matches no parameter; "
                    f"{nearest(selection, parameters)}"
                )
