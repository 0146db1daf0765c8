"""The Trainer of transformers: metrics, what cannot work, and what is alive after a run."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from tests.peers.characters import Line, gpt2, logged, trainer
from tests.peers.test_transformers_trainer import COSINE, SHOWN, Stream, line, numbers, started
from torch.optim.lr_scheduler import StepLR
from transformers import Trainer

import nshtrainer
from nshtrainer.configs import (
    AdamWConfig,
    ClippedConfig,
    LBFGSConfig,
    MetricConfig,
    MuonWithAdamWConfig,
    ReduceLROnPlateauConfig,
    SAMConfig,
    SGDConfig,
    SkippingConfig,
    StepLRConfig,
)
from nshtrainer.exceptions import (
    MetricError,
    OptimizerError,
    RunLengthError,
    ScheduleError,
)
from nshtrainer.integrations.transformers import MetricCallback
from nshtrainer.lr_scheduler import LRSchedulerConfigBase, run_length_of

# -- metrics ---------------------------------------------------------------------------------------

PLATEAU: dict[str, Any] = {"factor": 0.5, "patience": 0, "threshold": 1e9, "threshold_mode": "abs"}


def test_a_plateau_sees_each_evaluation_and_resumes(tmp_path: Path):
    plateau = ReduceLROnPlateauConfig(**PLATEAU)
    whole = started(tmp_path / "whole", SGDConfig(lr=1.0), plateau, **SHOWN)
    whole.train()
    # The first value is the best of all; each that follows is none.
    rates = {step: 0.5 ** max(0, (step - 1) // 4 - 1) for step in range(1, 17)}
    assert logged(whole) == rates
    resumed = started(tmp_path / "resumed", SGDConfig(lr=1.0), plateau, **SHOWN)
    resumed.train(resume_from_checkpoint=f"{tmp_path}/whole/checkpoint-6")
    assert logged(resumed) == rates


def test_beside_a_warmup_a_callback_shows_the_metric(tmp_path: Path):
    plateau = ReduceLROnPlateauConfig(warmup_duration="3 steps", **PLATEAU)

    def make(folder: str) -> Any:
        callbacks = [MetricCallback()]
        return started(tmp_path / folder, SGDConfig(lr=1.0), plateau, callbacks=callbacks, **SHOWN)

    whole, resumed = make("whole"), make("resumed")
    whole.train()
    rates = {step: 0.5 ** max(0, (step - 1) // 4 - 1) for step in range(1, 17)}
    assert logged(whole) == pytest.approx(rates | {1: 1 / 4, 2: 2 / 4, 3: 3 / 4})
    resumed.train(resume_from_checkpoint=f"{tmp_path}/whole/checkpoint-6")
    assert logged(resumed) == logged(whole)


@pytest.mark.parametrize(
    ("schedule", "options", "text"),
    [
        (PLATEAU, {"eval_strategy": "no"}, r"set eval_strategy='epoch' or 'steps' in its Training"),
        (
            PLATEAU,
            {"metric_for_best_model": None},
            r"set metric_for_best_model, such as 'loss' in its",
        ),
        (
            {"metric": {"monitor": "eval_accuracy", "mode": "max"}},
            {},
            r"looks at eval_accuracy, and the trainer shows eval_loss to its scheduler",
        ),
        (
            {"warmup_duration": "3 steps"},
            {},
            r"callbacks=\[nshtrainer.integrations.transformers.MetricCall",
        ),
    ],
)
def test_a_metric_that_nobody_would_show_is_refused(
    tmp_path: Path, schedule: Any, options: Any, text: str
):
    plateau = ReduceLROnPlateauConfig.model_validate(schedule)
    with pytest.raises(MetricError, match=text):
        started(tmp_path, SGDConfig(), plateau, **{**SHOWN, **options})


def test_the_direction_is_that_of_the_metric(tmp_path: Path):
    accuracy = run_length_of(line(tmp_path, metric_for_best_model="accuracy"))
    assert accuracy.context.primary_metric == MetricConfig(monitor="eval_accuracy", mode="max")
    loss = run_length_of(line(tmp_path, metric_for_best_model="eval_loss"))
    assert loss.context.primary_metric == MetricConfig(monitor="eval_loss", mode="min")
    assert run_length_of(line(tmp_path)).context.primary_metric is None


# -- what cannot work ------------------------------------------------------------------------------


class HalvingConfig(LRSchedulerConfigBase):
    name: Literal["halving"] = "halving"
    interval: Literal["step", "epoch"] = "epoch"
    frequency: int = 1

    def metadata(self) -> Any:
        return {"interval": self.interval, "frequency": self.frequency}

    def create_scheduler_impl(self, optimizer: Any, lightning_module: Any, /) -> Any:
        return StepLR(optimizer, 1, gamma=0.5)


def test_a_scheduler_of_epochs_is_refused_and_one_of_steps_is_not(tmp_path: Path):
    made = line(tmp_path, num_train_epochs=1, logging_steps=1)
    for bad in (HalvingConfig(), HalvingConfig(interval="step", frequency=2)):
        with pytest.raises(
            ScheduleError, match=r"halving moves every \d (epoch|step)s, and the tr"
        ):
            nshtrainer.create(SGDConfig(), bad, made.model, made)
    made.optimizer, made.lr_scheduler = nshtrainer.create(
        SGDConfig(lr=1.0), HalvingConfig(interval="step"), made.model, made
    )
    made.train()
    assert logged(made) == {1: 1.0, 2: 0.5, 3: 0.25}


def test_a_curve_that_counts_epochs_is_right(tmp_path: Path):
    made = line(tmp_path, num_train_epochs=3, logging_steps=1)
    config = StepLRConfig(step_size=1, gamma=0.5, unit="epoch")
    made.optimizer, made.lr_scheduler = nshtrainer.create(
        SGDConfig(lr=1.0), config, made.model, made
    )
    made.train()
    assert logged(made) == {step: 0.5 ** ((step - 1) // 3) for step in range(1, 10)}


@pytest.mark.parametrize("config", [SAMConfig(optimizer=SGDConfig()), LBFGSConfig()])
def test_an_optimizer_that_needs_a_closure_is_refused(tmp_path: Path, config: Any):
    made = line(tmp_path)
    with pytest.raises(OptimizerError, match=r"it needs a closure .* without them"):
        nshtrainer.create(config, None, made.model, made)


def test_where_the_length_is_not_known_the_error_says_why(tmp_path: Path):
    searching = line(tmp_path, auto_find_batch_size=True)
    with pytest.raises(RunLengthError, match="with auto_find_batch_size the number of updates is"):
        nshtrainer.create(SGDConfig(), COSINE, searching.model, searching)
    empty = line(tmp_path, None)
    with pytest.raises(RunLengthError, match="the Trainer has no train_dataset; give it one, set "):
        nshtrainer.create(SGDConfig(), COSINE, empty.model, empty)

    class Streaming(Trainer):
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(Stream())

    endless = line(tmp_path, None, cls=Streaming)
    with pytest.raises(
        RunLengthError, match="the data of the Trainer has no length; set max_steps"
    ):
        nshtrainer.create(SGDConfig(), COSINE, endless.model, endless)


def test_what_is_no_trainer_is_refused(tmp_path: Path):
    model = gpt2()
    for wrong, name in ((model, "GPT2LMHeadModel"), (line(tmp_path).args, "TrainingArguments")):
        with pytest.raises(
            ScheduleError, match=f"the run length of a {name} is unknown; pass the Tr"
        ):
            nshtrainer.create(SGDConfig(), COSINE, model, wrong)


def test_what_the_trainer_would_drop_is_refused(tmp_path: Path):
    made = trainer(tmp_path, None, numbers(20), model_init=Line)
    with pytest.raises(
        ScheduleError, match=r"with model_init the Trainer drops .* in a subclass of"
    ):
        nshtrainer.create(SGDConfig(), COSINE, made.model, made)


# -- lifetime --------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [AdamWConfig(), MuonWithAdamWConfig()], ids=["adamw", "muon"])
def test_nothing_is_alive_after_a_run(tmp_path: Path, inner: Any):
    config = SkippingConfig(optimizer=ClippedConfig(optimizer=inner, max_norm=1.0))
    made = started(tmp_path, config, COSINE, max_steps=4)
    made.train()
    held = [made, made.model, made.optimizer, next(made.model.parameters())]
    refs = [weakref.ref(each) for each in held]
    del made, held
    gc.collect()  # a Trainer of transformers and its callbacks refer to each other
    assert [ref() for ref in refs] == [None] * 4


def test_telemetry_reaches_the_log(tmp_path: Path):
    run = line(tmp_path, max_steps=10)
    run.optimizer, run.lr_scheduler = nshtrainer.create(AdamWConfig(), COSINE, run.model, run)
    nshtrainer.watch_telemetry(run.optimizer, 5, lambda values, _: run.log(values))
    run.train()
    rows = [row for row in run.state.log_history if "telemetry/skipped" in row]
    assert [row["step"] for row in rows] == [4, 9]
    assert all(row["telemetry/0/update_norm"] > 0 for row in rows)
