"""Use of the learning rate by an optimizer, and checks that a schedule has an effect on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from nshtrainer.exceptions import OptimizerError, ScheduleError
from nshtrainer.optimizer_record import parts_of, record_of
from nshtrainer.run_length import RunLength, known_run_length

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["RateScope", "RateUse", "ZeroRate", "check_schedule", "set_rate_use"]

RateScope: TypeAlias = Literal["group", "optimizer", "first_step"]
"""Read scope: each group's rate at each step, the first group's for all, or each group's once."""

ZeroRate: TypeAlias = Literal["allowed", "not_first", "never"]
"""Steps at which the learning rate may be 0."""


class RateUse(NamedTuple):
    """Use of the learning rate by one optimizer.

    Args:
        name: The name of the optimizer, for messages.
        scope: The groups and steps for which the learning rate is read.
        zero: The steps at which the learning rate may be 0.
        problem: The reason why a schedule has no effect, if it has none.
    """

    name: str
    scope: RateScope = "group"
    zero: ZeroRate = "allowed"
    problem: str | None = None


def set_rate_use(optimizer: Optimizer, use: RateUse) -> None:
    """Declare how an optimizer uses its learning rate, and refuse a 0 that it cannot use."""
    record_of(optimizer).rate_use = use
    if use.zero != "allowed":
        optimizer.register_step_pre_hook(_refuse_zero)


def check_schedule(optimizer: Any, scheduler: Any, source: Any) -> None:
    """Check that a schedule has an effect, and that its first and last learning rate are valid.

    Args:
        optimizer: The optimizer, with the values of the first step in its groups.
        scheduler: Its scheduler.
        source: A run length, or a module or trainer with one.

    Raises:
        ScheduleError: The optimizer does not read the scheduled value, or cannot use a rate of 0
            with which the schedule begins or ends.
    """
    for part in parts_of(optimizer):
        use: RateUse | None = record_of(part).rate_use
        if use is not None and use != RateUse(use.name):
            _check_part(part.param_groups, use, scheduler)
            if use.zero == "never" and hasattr(scheduler, "rates_at"):
                _check_end(part.param_groups, use, scheduler, known_run_length(source))


def _check_part(groups: list[dict[str, Any]], use: RateUse, scheduler: Any) -> None:
    moved = _moved_together(groups, scheduler)
    if moved and use.problem is not None:
        raise ScheduleError(f"{use.problem}, so a schedule of lr has no effect")
    if moved and use.scope == "optimizer" and len(moved[0]) < len(groups):
        raise ScheduleError(
            f"{use.name} reads the lr of its first group for all groups; give all groups the same "
            "schedule of lr"
        )
    if use.zero != "allowed" and any(float(group["lr"]) == 0 for group in groups):
        raise ScheduleError(
            f"{use.name}: the first lr must be above 0. Set warmup_start_factor above 0, or to auto"
        )


def _check_end(
    groups: list[dict[str, Any]], use: RateUse, scheduler: Any, run: RunLength | None
) -> None:
    total = run.total_steps if run else None
    if total is None:
        return
    ids = {*map(id, groups)}
    rates = zip(scheduler.optimizer.param_groups, scheduler.rates_at(total - 1), strict=True)
    if any(rate == 0 and id(group) in ids for group, rate in rates):
        raise ScheduleError(
            f"{use.name}: the lr must be above 0 up to the last step of the run, {total - 1}, and "
            "the schedule is 0 there. Set min_factor (of an override end_factor) above 0"
        )


def _moved_together(groups: list[dict[str, Any]], scheduler: Any) -> list[list[dict[str, Any]]]:
    """Return the groups whose learning rate moves, in lists with the same factor."""
    moved_groups = getattr(scheduler, "moved_groups", None)
    if moved_groups is None:  # a scheduler that depends on a metric, or a PyTorch scheduler
        return [groups]
    together = [{*map(id, cohort)} for cohort in moved_groups("lr")]
    found = [[group for group in groups if id(group) in ids] for ids in together]
    return [some for some in found if some]


def _begins(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    """Return True if a parameter with a gradient has no state yet."""
    return any(
        p.is_leaf and p.grad is not None and not optimizer.state.get(p) for p in group["params"]
    )


def _refuse_zero(optimizer: Optimizer, *_: object) -> None:
    """Raise if the learning rate is 0 in a step at which the optimizer cannot use it."""
    use: RateUse = record_of(optimizer).rate_use
    for group in optimizer.param_groups:
        rate = group["lr"]
        if isinstance(rate, float) and rate != 0.0:
            continue
        # Reading a tensor waits for its device and breaks a graph capture, so it comes last.
        if (use.zero == "never" or _begins(optimizer, group)) and float(rate) == 0:
            never = use.zero == "never"
            first, end = ("", " and ends above 0 (min_factor)") if never else ("first ", "")
            raise OptimizerError(
                f"{use.name}: the {first}lr must be above 0, and it is 0. Give a schedule that "
                f"begins above 0 (warmup_start_factor){end}, or freeze what is not to be trained"
            )
