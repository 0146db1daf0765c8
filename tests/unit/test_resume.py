"""What a plain loop takes from its config, and what from the state, where the two differ."""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import pytest
import torch
from tests.changes import DONE, ROWS, HyperbolaConfig, Row, Setup, cases, rates
from torch import nn

from nshtrainer import RunLength, create
from nshtrainer.configs import (
    AdamConfig,
    AdamWConfig,
    CosineScheduleConfig,
    LinearScheduleConfig,
    LookaheadConfig,
    ResumeConfig,
    SAMConfig,
    SchedulesConfig,
    SGDConfig,
)
from nshtrainer.exceptions import (
    ConfigChangedWarning,
    NshtrainerError,
    OptimizerError,
)
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.resume import tell_of

EPOCH = 12


class Loop:
    """A model, its optimizer and its scheduler, in a loop."""

    def __init__(self, setup: Setup, policy: ResumeConfig | None = None) -> None:
        torch.manual_seed(0)
        self.model = nn.ModuleDict({name: nn.Linear(2, 2) for name in "abc"})
        run = RunLength(setup.steps, EPOCH, resume=policy)
        made: Any = create(setup.optimizer, setup.schedule, self.model, run)
        self.optimizer, self.scheduler = made
        self.rates: dict[int, float] = {}

    def train(self, until: int) -> Loop:
        while self.scheduler.last_epoch < until:
            self.rates[self.scheduler.last_epoch] = self.optimizer.param_groups[0]["lr"]
            self.optimizer.zero_grad()
            x = torch.ones(2)
            for layer in self.model.values():
                x = layer(x)
            x.square().sum().backward()
            self.optimizer.step()
            self.scheduler.step()
        return self

    def state(self) -> Any:
        file = io.BytesIO()
        names = ("model", "optimizer", "scheduler")
        torch.save({name: getattr(self, name).state_dict() for name in names}, file)
        file.seek(0)
        return torch.load(file, weights_only=True)

    def load(self, state: Any) -> Loop:
        for name in ("model", "optimizer", "scheduler"):
            getattr(self, name).load_state_dict(state[name])
        return self


def stopped(setup: Setup) -> Any:
    return Loop(setup).train(DONE).state()


def policy_of(row: Row, policy: str) -> ResumeConfig:
    return ResumeConfig(policy=policy, fields=row.fields if policy == "override" else ())  # type: ignore[arg-type]


def resumed(setup: Setup, state: Any, **policy: Any) -> tuple[Loop, str]:
    """A loop that has loaded a state, and what was said."""
    loop = Loop(setup, ResumeConfig(**policy))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.load(copy.deepcopy(state))
    assert all(each.category is ConfigChangedWarning for each in caught)
    assert all(each.filename == __file__ for each in caught)
    return loop, "\n".join(str(each.message) for each in caught)


@pytest.mark.parametrize(("row", "policy", "is_refused"), cases())
def test_the_policy_decides_on_every_rate_and_names_every_difference(
    row: Row, policy: str, is_refused: bool
) -> None:
    state = stopped(row.before)
    how = policy_of(row, policy)
    if is_refused:
        with pytest.raises(NshtrainerError) as caught:
            Loop(row.after, how).load(state)
        assert policy != "error" or row.said[0] in str(caught.value)
        return
    loop, said = resumed(row.after, state, **dict(how))
    loop.train(row.after.steps)
    assert loop.rates == pytest.approx(rates(row, policy, EPOCH), rel=1e-12)
    for text in row.said:
        assert text in said


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name != "two groups"], ids=lambda row: row.name
)
def test_what_is_kept_trains_the_weights_of_a_run_that_never_changed(row: Row) -> None:
    loop, _ = resumed(row.after, stopped(row.before))
    loop.train(12)
    whole = Loop(row.before).train(12)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(loop.model.state_dict()[name], value)


def test_the_difference_and_what_becomes_of_it_are_lines_for_people():
    before = Setup(AdamWConfig(lr=0.1))
    after = Setup(AdamWConfig(lr=0.2), CosineScheduleConfig(min_factor=0.5), steps=24)
    state = stopped(before)
    assert resumed(after, state)[1] == (
        "the config has changed since the checkpoint:\n"
        "  optimizer.lr 0.1 -> 0.2: taken from the checkpoint\n"
        "  to take it from the config: resume: {policy: override, fields: [lr]}\n"
        "the config has changed since the checkpoint:\n"
        "  lr_scheduler.min_factor 0.0 -> 0.5: taken from the checkpoint\n"
        "  run 12 -> 24 steps: the schedule continues unchanged, for 12\n"
        "  to follow the config: resume: {policy: extend} for a longer run, else resume: {policy: "
        "override, fields: [lr_scheduler]}"
    )
    assert resumed(after, state, policy="extend")[1].partition("[lr]}\n")[2] == (
        "the config has changed since the checkpoint:\n"
        "  lr_scheduler.min_factor 0.0 -> 0.5: taken from the config\n"
        "  run 12 -> 24 steps: the schedule is stretched\n"
        "  lr at step 6: 0.0926777 instead of 0.05"
    )


def test_what_was_kept_is_said_again_when_the_run_goes_on_once_more():
    after = Setup(AdamWConfig(lr=0.2), LinearScheduleConfig(), steps=24)
    first, said = resumed(after, stopped(Setup()))
    again, later = resumed(after, first.train(9).state())
    assert later == said
    assert again.train(12).rates == pytest.approx(
        {step: value for step, value in Loop(Setup()).train(12).rates.items() if step >= 9}
    )


def test_what_was_followed_is_not_said_again():
    after = Setup(AdamWConfig(lr=0.2), LinearScheduleConfig(), steps=24)
    fields = ["lr", "lr_scheduler"]
    first, said = resumed(after, stopped(Setup()), policy="override", fields=fields)
    assert "taken from the config" in said
    assert resumed(after, first.train(9).state())[1] == ""


def test_a_field_written_otherwise_that_comes_to_the_same_is_no_change():
    before = Setup(schedule=CosineScheduleConfig(max_duration="12 steps"))
    after = Setup(schedule=CosineScheduleConfig(max_duration="1 epochs"), steps=24)
    assert resumed(after, stopped(before), policy="error")[1] == ""


def test_a_field_of_the_schedule_is_taken_alone():
    after = Setup(schedule=CosineScheduleConfig(min_factor=0.5, k_decay=2.0), steps=24)
    fields = ["lr_scheduler.min_factor"]
    loop, said = resumed(after, stopped(Setup()), policy="override", fields=fields)
    assert "lr_scheduler.min_factor 0.0 -> 0.5: taken from the config" in said
    assert "lr_scheduler.k_decay 1.0 -> 2.0: taken from the checkpoint" in said
    expected = Loop(Setup(schedule=CosineScheduleConfig(min_factor=0.5))).train(12).rates
    ours = loop.train(12).rates
    assert ours == pytest.approx({step: expected[step] for step in ours})


def test_what_is_put_around_an_optimizer_follows_the_config():
    before = Setup(LookaheadConfig(optimizer=AdamWConfig(lr=0.1)))
    after = Setup(LookaheadConfig(optimizer=AdamWConfig(lr=0.2), k=3))
    said = resumed(after, stopped(before))[1]
    assert "optimizer.k 5 -> 3: taken from the config, as it is in no state" in said
    assert "optimizer.optimizer.lr 0.1 -> 0.2: taken from the checkpoint" in said


# -- what cannot be compared, or followed ----------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "radius", "word"), [((), 0.05, "checkpoint"), (("rho",), 0.2, "config")]
)
def test_the_radius_of_sam_is_taken_from_the_config_where_the_policy_names_it(
    fields: tuple[str, ...], radius: float, word: str
) -> None:
    model, sgd = nn.Linear(2, 1), SGDConfig(momentum=0.9)
    saved = SAMConfig(optimizer=sgd).create_optimizer(model).state_dict()
    policy = ResumeConfig(policy="override" if fields else "keep", fields=fields)
    again = SAMConfig(optimizer=sgd, rho=0.2).create_optimizer(model, run=RunLength(resume=policy))
    with pytest.warns(ConfigChangedWarning, match=f"rho 0.05 -> 0.2: taken from the {word}"):
        again.load_state_dict(saved)
    assert again.param_groups[0]["sam_rho"] == radius


def test_the_key_of_the_radius_is_no_field() -> None:
    policy = ResumeConfig(policy="override", fields=("sam_rho",))
    optimizer = SAMConfig(optimizer="sgd").create_optimizer(  # type: ignore[arg-type]
        nn.Linear(2, 1), run=RunLength(resume=policy)
    )
    with pytest.raises(OptimizerError, match="unknown option of the optimizer 'sam_rho'"):
        optimizer.load_state_dict(optimizer.state_dict())


def test_a_state_without_a_config_goes_on_under_that_of_the_config():
    state = stopped(Setup())
    for key in ("config", "run"):
        del state["scheduler"][key]
    del state["optimizer"]["config"]
    assert resumed(Setup(AdamWConfig(lr=0.2)), state, policy="error")[1] == ""
    loop, said = resumed(Setup(schedule=LinearScheduleConfig()), state)
    assert said == (
        "the schedule has changed since the checkpoint: it does not say how, and the run resumes "
        "at step 6 under the linear schedule of the config"
    )
    assert loop.train(7).rates == {6: 0.1 * 0.5}


def test_the_schedule_of_a_class_that_nobody_registered_is_not_kept_and_it_is_said():
    loop, said = resumed(Setup(), stopped(Setup(schedule=HyperbolaConfig())))
    assert (
        "lr_scheduler hyperbola -> cosine: taken from the config, since 'hyperbola' is not " in said
    )
    assert "import the module that registers it" in said
    assert loop.train(7).rates == pytest.approx({6: 0.05})
    with lr_scheduler_registry.scoped():
        lr_scheduler_registry.register(HyperbolaConfig)
        loop, _ = resumed(Setup(), stopped(Setup(schedule=HyperbolaConfig())))
    assert loop.train(7).rates == pytest.approx({6: 0.1 / 7})


def test_a_saved_schedule_that_is_no_longer_valid_is_not_kept_and_it_is_said():
    state = stopped(Setup())
    state["scheduler"]["config"]["num_cycles"] = -1
    said = resumed(Setup(), state)[1]
    assert "taken from the config, since that of the checkpoint cannot be built: num_cycles" in said


def test_the_state_of_another_optimizer_is_refused_under_every_policy():
    state = stopped(Setup())
    for policy in ({}, {"policy": "extend"}, {"policy": "override", "fields": ["lr"]}):
        with pytest.raises(OptimizerError, match="to another optimizer: it has no dampening"):
            Loop(Setup(SGDConfig(lr=0.1)), ResumeConfig(**policy)).load(state)


def test_an_error_leaves_the_optimizer_and_the_scheduler_as_they_were():
    state = stopped(Setup())
    after = Setup(AdamWConfig(lr=0.2), LinearScheduleConfig())
    loop = Loop(after, ResumeConfig(policy="error"))
    for name in ("optimizer", "scheduler"):
        before = copy.deepcopy(getattr(loop, name).state_dict())
        with pytest.raises(NshtrainerError, match=r"the config has changed since the checkpoint"):
            getattr(loop, name).load_state_dict(state[name])
        assert getattr(loop, name).state_dict() == before


def test_a_config_that_has_no_plain_form_is_not_compared():
    class OddConfig(HyperbolaConfig):
        form: Any = object()

    loop = Loop(Setup(schedule=OddConfig())).train(DONE)
    state = loop.state()
    assert not {"config", "run"} & state["scheduler"].keys()
    again, said = resumed(Setup(schedule=OddConfig()), state, policy="error")
    assert again.scheduler.changes(state["scheduler"]) == []
    assert said == ""


def test_an_optimizer_that_the_state_of_another_fits_takes_its_options():
    loop, said = resumed(Setup(), stopped(Setup(AdamConfig(lr=0.3))))
    assert "optimizer adam -> adamw: its state and its options are taken from the check" in said
    assert loop.train(7).rates == pytest.approx({6: 0.15})


def test_whatever_a_schedule_is_resolved_from_is_named():
    config = LinearScheduleConfig(max_duration="96 samples")
    for policy, rate in (("keep", 0.25), ("extend", 0.375)):
        first, again = (
            config.create_scheduler(
                torch.optim.SGD([torch.zeros(1)], lr=0.5), RunLength(samples_per_step=size, **how)
            )["scheduler"]
            for size, how in ((8, {}), (4, {"resume": ResumeConfig(policy=policy)}))  # type: ignore[arg-type]
        )
        first.step(6)
        with pytest.warns(ConfigChangedWarning, match=r"samples_per_step 8 -> 4: the schedule"):
            again.load_state_dict(first.state_dict())
        assert again.get_last_lr() == pytest.approx([rate])


def test_a_schedule_that_leaves_the_rate_alone_makes_it_jump_nowhere():
    schedules = (
        SchedulesConfig.model_validate({"default": {"weight_decay": {"factor": curve}}})
        for curve in ("linear", "cosine")
    )
    before, after = (Setup(schedule=each) for each in schedules)  # type: ignore[arg-type]
    said = resumed(after, stopped(before), policy="extend")[1]
    assert "linear -> cosine: taken from the config" in said
    assert "instead of" not in said


@pytest.mark.parametrize(
    ("is_available", "is_initialized", "rank", "is_said"),
    [
        (False, False, 0, True),
        (True, False, 0, True),
        (True, True, 0, True),
        (True, True, 1, False),
    ],
)
def test_of_several_processes_the_first_says_it(
    is_available: bool,
    is_initialized: bool,
    rank: int,
    is_said: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.distributed, "is_available", lambda: is_available)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: is_initialized)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tell_of("something")
    assert [str(each.message) for each in caught] == ["something"] * is_said
