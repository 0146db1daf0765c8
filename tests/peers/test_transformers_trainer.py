"""The Trainer of transformers: its length, its steps, its metrics, its checkpoints."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.peers.characters import Line, gpt2, logged, rows, trainer
from tests.support import CONFIG_CHANGED
from torch import Tensor
from torch.utils.data import IterableDataset
from transformers import Trainer, TrainerCallback

import nshtrainer
from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    AdamWScheduleFreeConfig,
    CosineScheduleConfig,
    LinearScheduleConfig,
    MuonWithAdamWConfig,
    ReduceLROnPlateauConfig,
    ResumeConfig,
    SGDConfig,
)
from nshtrainer.exceptions import (
    ConfigChangedWarning,
    NshtrainerWarning,
    RunLengthError,
)
from nshtrainer.lr_scheduler import lr_scheduler_registry, run_length_of

COSINE = CosineScheduleConfig()


def numbers(count: int) -> list[dict[str, Tensor]]:
    return [{"x": torch.ones(1) * number} for number in range(count)]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(numbers(20))


def line(folder: Path, data: Any = 20, **options: Any) -> Any:
    dataset = numbers(data) if isinstance(data, int) else data
    return trainer(folder, Line(), dataset, **options)


class Epochs(TrainerCallback):
    """Counts the updates of each epoch."""

    def __init__(self) -> None:
        self.updates: list[int] = []

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.updates.append(0)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.updates[-1] += 1


# -- the length ------------------------------------------------------------------------------------

GRID = [
    {
        "num_train_epochs": epochs,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": every,
        "dataloader_drop_last": drop,
        "max_steps": steps,
    }
    for epochs, batch, every, drop, steps in product(
        (0.3, 2.5), (3, 8), (1, 3), (False, True), (-1, 7)
    )
]


@pytest.mark.parametrize("options", GRID, ids=lambda options: "-".join(map(str, options.values())))
def test_the_length_is_that_of_the_run(tmp_path: Path, options: Any):
    counted = Epochs()
    made = line(tmp_path, callbacks=[counted], **options)
    run = run_length_of(made)
    total, per_epoch, samples = run.total_steps, run.steps_per_epoch, run.samples_per_step
    made.train()
    assert total == made.state.max_steps == made.state.global_step == sum(counted.updates)
    assert {per_epoch} >= set(counted.updates[:-1])
    assert per_epoch >= counted.updates[-1]
    batch = options["per_device_train_batch_size"]
    assert samples == batch * options["gradient_accumulation_steps"]


def test_a_stream_is_as_long_as_max_steps(tmp_path: Path):
    made = line(tmp_path, Stream(), max_steps=5)
    run = run_length_of(made)
    assert (run.total_steps, run.steps_per_epoch) == (5, None)
    made.train()
    assert made.state.global_step == 5
    with pytest.raises(RunLengthError, match=r"1 epochs cannot become steps, because the data of "):
        nshtrainer.create(
            SGDConfig(), LinearScheduleConfig(warmup_duration="1 epochs"), Line(), run
        )


@pytest.mark.parametrize("name", ["max_steps", "num_train_epochs"])
def test_a_run_of_nothing_counts_as_one_of_a_step(tmp_path: Path, name: str):
    run = run_length_of(line(tmp_path, **{name: 0}))
    assert (run.total_steps, run.shortened) == (1, f"{name}=0")


def test_with_max_steps_a_schedule_does_without_the_data(tmp_path: Path):
    class Unread(Trainer):
        def get_train_dataloader(self) -> Any:
            raise AssertionError

    made = line(tmp_path, cls=Unread, max_steps=10)
    _, scheduler = nshtrainer.create(SGDConfig(), COSINE, made.model, made)
    scheduler.step(5)
    assert scheduler.get_last_lr() == pytest.approx([5e-4])


def test_to_ask_for_the_length_changes_nothing_of_the_run(tmp_path: Path):
    def losses(ask: bool) -> list[float]:
        made = trainer(tmp_path, gpt2(), rows(20), logging_steps=1, num_train_epochs=1)
        if ask:
            assert run_length_of(made).total_steps == 3
        made.train()
        return [log["loss"] for log in made.state.log_history if "loss" in log]

    assert losses(ask=True) == losses(ask=False)


def linear(made: Any) -> Any:
    """The Trainer with a schedule of the whole run."""
    made.optimizer, made.lr_scheduler = nshtrainer.create(
        SGDConfig(lr=1.0), LinearScheduleConfig(), made.model, made
    )
    return made


def test_a_length_that_changes_before_the_first_step_is_followed(tmp_path: Path):
    made = linear(line(tmp_path, num_train_epochs=2, logging_steps=1))
    made.args.num_train_epochs = 3
    made.train()
    # What is logged with an update is the rate of the next one.
    assert logged(made)[3] == pytest.approx(1 - 2 / 9)
    assert made.optimizer.param_groups[0]["lr"] == 0.0


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_second_run_of_the_same_objects_is_a_warning(tmp_path: Path, epochs: int):
    made = linear(line(tmp_path, num_train_epochs=2))
    made.train()
    made.args.num_train_epochs = epochs
    text = (
        r"schedule 'linear': resolved for 6 steps, 6 of them taken in an earlier run, but this run "
        rf"begins at step 0 and has {3 * epochs} steps\. Create a new optimizer and scheduler"
    )
    with pytest.warns(NshtrainerWarning, match=text):
        made.train()


class Liar(Stream):
    def __len__(self) -> int:
        return 40


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ("linear", "10 steps, but there were 6"),
        ("step", "5 steps before epoch 1, but there were 3"),
    ],
)
def test_a_run_that_is_shorter_than_assumed_is_a_warning(tmp_path: Path, schedule: str, text: str):
    made = line(tmp_path, Liar(), num_train_epochs=2)
    options = {"step_duration": "1 epochs"} if schedule == "step" else {}
    config = lr_scheduler_registry.find(schedule)(**options)
    made.optimizer, made.lr_scheduler = nshtrainer.create(SGDConfig(), config, made.model, made)
    with pytest.warns(NshtrainerWarning, match=text):
        made.train()


def test_a_run_that_is_stopped_is_as_it_was_planned(tmp_path: Path):
    class Stops(TrainerCallback):
        def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
            control.should_training_stop = state.global_step == 2

    made = linear(line(tmp_path, num_train_epochs=2, callbacks=[Stops()]))
    made.train()
    assert made.state.global_step == 2


# -- parameters that are not trained ---------------------------------------------------------------


@pytest.mark.parametrize("schedule", [COSINE, None])
def test_what_is_thawed_or_frozen_in_mid_run_is_named_once(tmp_path: Path, schedule: Any):
    class Changes(TrainerCallback):
        def on_epoch_begin(self, _: Any, state: Any, *__: Any, **parts: Any) -> None:
            if state.epoch == 1:
                parts["model"].transformer.h.requires_grad_(True)
                parts["model"].transformer.ln_f.requires_grad_(False)

    model = gpt2()
    model.transformer.h.requires_grad_(False)
    made = trainer(tmp_path, model, rows(8), num_train_epochs=4, callbacks=[Changes()])
    made.optimizer, made.lr_scheduler = nshtrainer.create(SGDConfig(lr=0.1), schedule, model, made)
    for _ in range(1 if schedule else 2):  # the steps of a schedule are taken
        with pytest.warns(NshtrainerWarning, match="so they are not updated") as said:
            made.train()
        thawed, frozen = [str(each.message) for each in said]
        assert "'transformer.h.0.ln_1.weight', " in thawed
        assert "more are trainable and in no optimizer" in thawed
        assert (
            "'transformer.ln_f.weight', 'transformer.ln_f.bias' are in an optimizer and" in frozen
        )


# -- training --------------------------------------------------------------------------------------

GROUPS = AdamWConfig.model_validate(
    {
        "lr": 0.01,
        "no_decay": "bias_and_norm",
        "groups": [{"name": "head", "select": "transformer.wte", "lr_mult": 0.5}],
    }
)
MUON: Any = MuonWithAdamWConfig.from_mapping({"adamw": {"lr": 0.01, "no_decay": "bias_and_norm"}})
both = pytest.mark.parametrize("config", [GROUPS, MUON], ids=["groups", "muon_with_adamw"])

SAVING = {"num_train_epochs": 2, "logging_steps": 1, "save_strategy": "steps", "save_steps": 5}


def started(folder: Path, config: Any, schedule: Any = COSINE, **options: Any) -> Any:
    model = gpt2()
    made = trainer(folder, model, rows(64), **{**SAVING, **options})
    made.optimizer, made.lr_scheduler = nshtrainer.create(config, schedule, model, made)
    return made


def base(config: Any) -> float:
    return config.create_optimizer(gpt2()).param_groups[0]["lr"]


@both
def test_it_trains_at_the_rates_of_the_schedule_and_resumes_exactly(tmp_path: Path, config: Any):
    whole = started(tmp_path / "whole", config)
    whole.train()
    curve = COSINE.curve(RunLength(total_steps=16))
    rates = {step: base(config) * curve(step - 1) for step in range(1, 17)}
    assert logged(whole) == pytest.approx(rates)
    losses = [log["loss"] for log in whole.state.log_history if "loss" in log]
    assert sum(losses[-4:]) < sum(losses[:4])

    for checkpoint in (5, 10):
        resumed = started(tmp_path / "resumed", config)
        resumed.train(resume_from_checkpoint=f"{tmp_path}/whole/checkpoint-{checkpoint}")
        assert logged(resumed) == logged(whole)
        assert all(map(torch.equal, whole.model.parameters(), resumed.model.parameters()))


@pytest.mark.filterwarnings(CONFIG_CHANGED)
def test_a_checkpoint_finds_its_parameters_in_other_groups(tmp_path: Path):
    config = AdamWConfig(lr=0.01, weight_decay=0.0)
    whole = started(tmp_path / "whole", config)
    whole.train()
    apart = {"name": "words", "select": "transformer.wte", "lr_mult": 1.0}
    resumed = started(tmp_path / "resumed", config.replace(groups=(apart,)))
    assert len(resumed.optimizer.param_groups) == 2
    resumed.train(resume_from_checkpoint=f"{tmp_path}/whole/checkpoint-5")
    assert logged(resumed) == logged(whole)
    assert all(map(torch.equal, whole.model.parameters(), resumed.model.parameters()))


@pytest.mark.filterwarnings(CONFIG_CHANGED)
def test_the_policy_of_resuming_is_given_with_the_run(tmp_path: Path):
    started(tmp_path / "whole", AdamWConfig(lr=0.01)).train()
    resumed = started(tmp_path / "resumed", AdamWConfig(lr=0.5))
    lower = ResumeConfig(policy="override", fields=("lr",))
    run = run_length_of(resumed).replace(resume=lower)
    resumed.optimizer, resumed.lr_scheduler = nshtrainer.create(
        AdamWConfig(lr=0.5), COSINE, resumed.model, run
    )
    resumed.train(resume_from_checkpoint=f"{tmp_path}/whole/checkpoint-10")
    curve = COSINE.curve(RunLength(total_steps=16))
    assert logged(resumed)[12] == pytest.approx(0.5 * curve(11))


@pytest.mark.parametrize("now", [COSINE, LinearScheduleConfig()], ids=lambda now: now.name)
def test_after_a_plateau_a_curve_goes_on_at_the_step_of_the_trainer(tmp_path: Path, now: Any):
    plateau = ReduceLROnPlateauConfig(patience=0, threshold=100.0)
    started(tmp_path / "whole", SGDConfig(lr=0.1), plateau, **SHOWN).train()
    resumed = started(tmp_path / "resumed", SGDConfig(lr=0.1), now)
    with pytest.warns(ConfigChangedWarning, match=f"another scheduler -> {now.name}: .*step 12"):
        resumed.train(resume_from_checkpoint=f"{tmp_path}/whole/checkpoint-12")
    curve, rates = now.curve(RunLength(total_steps=16)), logged(resumed)
    later = {step: 0.1 * curve(step - 1) for step in range(13, 17)}
    assert {step: rates[step] for step in later} == pytest.approx(later)


LONGER = {"num_train_epochs": 5, "max_steps": -1}


@pytest.mark.parametrize("source", [RunLength(16, 8), None], ids=["numbers", "trainer"])
@pytest.mark.parametrize(
    ("now", "options", "change"),
    [(LinearScheduleConfig(), {}, "cosine -> linear"), (COSINE, LONGER, "run 16 -> 40 steps")],
    ids=["schedule", "length"],
)
def test_what_has_changed_of_the_schedule_is_told(
    tmp_path: Path, now: Any, options: Any, change: str, source: RunLength | None
):
    started(tmp_path / "whole", SGDConfig(lr=0.1)).train()
    resumed = trainer(tmp_path / "resumed", gpt2(), rows(64), **{**SAVING, **options})
    run = source.replace(total_steps=40) if source and options else source
    resumed.optimizer, resumed.lr_scheduler = nshtrainer.create(
        SGDConfig(lr=0.1), now, resumed.model, run or resumed
    )
    with pytest.warns(ConfigChangedWarning, match=change) as caught:
        resumed.train(resume_from_checkpoint=f"{tmp_path}/whole/checkpoint-10")
    assert [each.filename for each in caught] == [__file__]


def test_a_pair_is_given_to_the_trainer_where_its_length_is_known_before(tmp_path: Path):
    model = Line()
    pair = nshtrainer.create(SGDConfig(lr=1.0), COSINE, model, RunLength(total_steps=4))
    made = trainer(tmp_path, model, numbers(20), optimizers=pair, max_steps=4, logging_steps=1)
    made.train()
    assert logged(made)[3] == pytest.approx(0.5)


class Ours(Trainer):
    """Makes its optimizer and its scheduler when it begins to train."""

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            self.optimizer, self.lr_scheduler = nshtrainer.create(
                SGDConfig(lr=1.0), COSINE, model or self.model, self
            )
        return self.optimizer


@pytest.mark.parametrize("make", [{}, {"model_init": Line}])
def test_a_trainer_of_ones_own_makes_them_itself(tmp_path: Path, make: Any):
    model = None if make else Line()
    made = trainer(
        tmp_path, model, numbers(20), cls=Ours, num_train_epochs=1, logging_steps=1, **make
    )
    for _ in range(2 if make else 1):
        made.train()
        assert logged(made)[2] == pytest.approx(0.5 * (1 + 0.5))
        assert made.optimizer.param_groups[0]["lr"] == 0.0


def test_an_optimizer_with_two_sets_of_weights_is_switched(tmp_path: Path):
    made = started(tmp_path, AdamWScheduleFreeConfig(lr=0.01), None, lr_scheduler_type="constant")
    made.train()
    assert made.optimizer.param_groups[0]["train_mode"]
    made.eval_dataset = rows(8, 100)
    made.evaluate()
    assert not made.optimizer.param_groups[0]["train_mode"]


SHOWN: dict[str, Any] = {
    "eval_strategy": "steps",
    "eval_steps": 4,
    "metric_for_best_model": "loss",
    "eval_dataset": rows(8, 100),
    "save_steps": 6,
}
