"""`explain`: parameter groups and schedules of any model, without training and without memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from nshtrainer.analysis.advice import IN_PYTHON, Advice
from nshtrainer.analysis.summary import (
    COLUMNS,
    OptimizationSummary,
    Sources,
    cells,
    remarks,
    summarize,
    summary_text,
)
from nshtrainer.config.display.html import html_table
from nshtrainer.config.parts import find_configs
from nshtrainer.config_arguments import read_config
from nshtrainer.exceptions import ArgumentError, OptimizerError, RunLengthError
from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase, lr_scheduler_registry
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer.base import OptimizerConfigBase, innermost, optimizer_registry
from nshtrainer.optimizer.build import build_optimizer
from nshtrainer.optimizer.groups.config import BatchScalingConfig
from nshtrainer.optimizer.groups.parameters import ParameterSubset, inventory
from nshtrainer.optimizer.parameter_checks import watched
from nshtrainer.optimizer.stand_ins import stand_in
from nshtrainer.optimizer_record import optimizer_within
from nshtrainer.run_length import RunLength, run_length_of

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from nshtrainer.analysis.config_diff import Differences
    from nshtrainer.analysis.parameter_trace import ParameterTrace
    from nshtrainer.optimizer.groups.parameters import Parameter

__all__ = ["Explanation", "explain", "explain_configs", "with_batch"]


class Explanation(OptimizationSummary):
    """Parameter groups and schedules of a model; `print` shows the table.

    Its fields are those of the table: `groups`, `frozen`, `tied`, `uncovered`, `schedules`,
    `total_steps` and `missing`. `to_dict` returns them as plain data.
    """

    def to_json(self) -> str:
        """Return the explanation as JSON."""
        from nshtrainer.config.formats.json import write_json

        return write_json(self.to_dict())

    def parameter(self, name: str) -> ParameterTrace:
        """Return the group of one parameter, the rule that took it, and why the others did not.

        Args:
            name: A name of the parameter, as in `named_parameters()`.

        Raises:
            ConfigError: No parameter has this name; the message lists similar names.
        """
        from nshtrainer.analysis.parameter_trace import trace_parameter

        return trace_parameter(name, self)

    def diff(self, other: Explanation) -> Differences:
        """Return the differences from another explanation; parameters that differ alike share one.

        The result is a list that prints as a line for each difference.

        Args:
            other: The explanation of another config, usually for the same model.

        Raises:
            ArgumentError: The other object is no explanation.
        """
        from nshtrainer.analysis.config_diff import Differences, by_parameter

        if not isinstance(cast("Any", other), OptimizationSummary):
            kind = type(other).__name__
            raise ArgumentError(f"diff: {kind} is no explanation; give explain(model, config)")
        return Differences(by_parameter(self, other))

    @override
    def __str__(self) -> str:
        return summary_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = html_table(COLUMNS, map(cells, self.groups))
        return f"{table}\n{html_table((), remarks(self))}"


def explain(
    model: Module,
    optimizer: OptimizerConfigBase | Optimizer | str | dict[str, Any],
    scheduler: LRSchedulerConfigBase | LRScheduler | str | dict[str, Any] | None = None,
    run: RunLength | Any = None,
) -> Explanation:
    """Explain what an optimizer does with each parameter of a model, without building it there.

    From a config, the optimizer is built on the `meta` device: this takes no memory and changes
    nothing in the model, which may be on any device, on `meta`, sharded, compiled or wrapped.

    Args:
        model: The module.
        optimizer: The config of the optimizer, the name of one, or an optimizer that was built.
        scheduler: The config of the schedule, the name of one, or the scheduler of an optimizer
            that was built.
        run: The length of the run, in a form that `create` takes.

    Returns:
        The explanation: `print` it, or ask it for one parameter.

    Raises:
        ArgumentError: An argument is of another kind, or two are swapped.
        ConfigError: A config is invalid.
        OptimizerError: The config does not fit the model.
        ScheduleError: The schedule does not fit the run.

    >>> from torch import nn
    >>> from nshtrainer.configs import AdamWConfig
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4))
    >>> explanation = explain(model, AdamWConfig(no_decay="bias_and_norm"))
    >>> [(group.name, group.parameters, group.weight_decay) for group in explanation.groups]
    [('default', 8, 0.01), ('no_decay', 12, 0.0)]
    >>> print(explanation.parameter("1.weight").rules[0].why)
    its role is norm
    """
    import torch

    if not isinstance(model, torch.nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        kind = type(model).__name__
        raise OptimizerError(f"explain takes the model first, then the optimizer; got a {kind}")
    length = RunLength() if run is None else run_length_of(run)
    if hasattr(optimizer, "param_groups"):
        return _explain_built(model, optimizer_within(optimizer), scheduler, length)
    order = "explain(model, optimizer, scheduler, run)"
    config = read_config(optimizer_registry, optimizer, order)
    if scheduler is not None:
        scheduler = read_config(lr_scheduler_registry, scheduler, order)
    return explain_configs(model, config, scheduler, length)


def explain_configs(
    model: Module,
    optimizer: OptimizerConfigBase,
    scheduler: LRSchedulerConfigBase | None,
    run: RunLength,
    advice: Advice = IN_PYTHON,
    notes: Sequence[str] = (),
) -> Explanation:
    """Explain the configs of an optimizer and of its schedule.

    Args:
        model: The module; it is not changed.
        optimizer: The config of the optimizer.
        scheduler: The config of the schedule, if any.
        run: The length of the run.
        advice: The remedies for a length that is missing.
        notes: Remarks on facts about the model that are missing.
    """
    import torch

    run, missing = with_batch(optimizer, _unchecked(run), advice)
    missing += notes
    parameters = tuple(replace(p, tensor=stand_in(p.tensor)) for p in inventory(model))
    schedulers: list[Any] = []
    # Some optimizers draw random numbers when they are built.
    with cast("Any", torch.random).fork_rng(devices=[]):
        built = build_optimizer(optimizer, _chosen(optimizer, parameters, model), run)
        try:
            if scheduler is not None:
                schedulers.append(SimpleNamespace(**scheduler.create_scheduler(built, run)))
        except RunLengthError as error:
            missing.append(f"the schedule: {str(error).partition(';')[0]}; {advice.steps}")
    sources = Sources(parameters, [built], schedulers, [("optimizer", optimizer)], model)
    return _explanation(sources, run, missing)


def _unchecked(run: RunLength) -> RunLength:
    """Return a run whose trainer gets no callbacks that check the lengths."""
    # An attribute of the instance takes precedence over the method.
    return run.replace(context=run.context.replace(attach_check=lambda: None))


def _chosen(
    config: OptimizerConfigBase, parameters: tuple[Parameter, ...], model: Module
) -> ParameterSubset:
    """Return the parameters that a config takes of a module."""
    within = innermost(config)
    # A config with rules has to see frozen parameters, which it leaves out by itself.
    takes_frozen = getattr(within, "asks_for_groups", True) or within.include_frozen
    chosen = frozenset(p for p in parameters if takes_frozen or p.tensor.requires_grad)
    return ParameterSubset(model, parameters, chosen)


def with_batch(
    config: Any, run: RunLength, advice: Advice = IN_PYTHON
) -> tuple[RunLength, list[str]]:
    """Add a batch size to a run where `lr_scaling` needs an unknown one; return remarks on it.

    Args:
        config: The config of the optimizer, or one with it.
        run: The length of the run.
        advice: The remedies for a length that is missing.
    """
    _, scaling = next(find_configs(config, BatchScalingConfig), ((), None))
    if scaling is None or run.samples_per_step is not None:
        return run, []
    batch = scaling.base_batch_size
    text = f"batch size for lr_scaling: learning rates assume {batch} samples per update"
    return run.replace(samples_per_step=batch), [f"{text}; {advice.samples}"]


def _explain_built(
    model: Module, optimizer: Optimizer, scheduler: Any, run: RunLength
) -> Explanation:
    """Explain an optimizer that was built, and the scheduler that was built for it."""
    scheduler = getattr(scheduler, "scheduler", scheduler)  # that of Accelerate is a wrapper
    if scheduler is not None and not hasattr(scheduler, "step"):
        raise OptimizerError(
            "a config of a schedule cannot be explained for an optimizer that was built; pass its "
            "scheduler, or the config of the optimizer"
        )
    often = "step" if _is_curve(scheduler) else "call of step()"
    entry = SimpleNamespace(scheduler=scheduler, interval=often, frequency=1, monitor=None)
    schedulers = [entry] if scheduler is not None else []
    watch = watched(optimizer)
    config = watch and watch.config
    configs = [("optimizer", config)] if config is not None else []
    sources = Sources(inventory(model), [optimizer], schedulers, configs, model)
    return _explanation(sources, run, [])


def _explanation(sources: Sources, run: RunLength, missing: Sequence[str]) -> Explanation:
    plans = [each.scheduler.plan for each in sources.schedulers if _is_curve(each.scheduler)]
    # Lengths that were not needed are not read.
    lengths = [each.snapshot() for each in (run, *(plan.run for plan in plans))]
    total = next((each.total_steps for each in lengths if each.total_steps), None)
    if any(each.total_time for each in lengths):
        total = None  # these are positions on a clock
    return Explanation(**vars(summarize(sources, total_steps=total, missing=missing)))


def _is_curve(scheduler: Any) -> bool:
    return isinstance(scheduler, CurveScheduler)
