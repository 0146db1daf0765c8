"""The named schedules: how they are configured, and what they refuse."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError

from nshtrainer import Config, RunLength
from nshtrainer.configs import (
    AdamWConfig,
    CurveScheduleConfigBase,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfig,
    LRSchedulerConfigBase,
    MetricConfig,
    ReduceLROnPlateauConfig,
    lr_scheduler_registry,
)
from nshtrainer.exceptions import MetricError, NshtrainerWarning, RunLengthError, ScheduleError
from nshtrainer.lr_scheduler.curves import LinearWarmupCosine
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.run_context import RunContext

Cosine = LinearWarmupCosineDecayLRSchedulerConfig
LOSS = MetricConfig(monitor="val/loss", mode="min")
F1 = MetricConfig(monitor="f1", mode="max")


def optimizer(groups: int = 1) -> torch.optim.Optimizer:
    parameters = [{"params": [torch.nn.Parameter(torch.ones(2))]} for _ in range(groups)]
    return torch.optim.SGD(parameters, lr=1.0)


class TestLinearWarmupCosineDecay:
    def test_it_resolves_to_the_curve_of_its_lengths(self):
        config = Cosine(
            warmup_duration={"name": "epochs", "value": 0.5},
            max_duration="50%",
            warmup_start_lr_factor=0.1,
            min_lr_factor=0.2,
            annealing=True,
        )
        curve = config.curve(RunLength(total_steps=1000, steps_per_epoch=100))
        assert curve == LinearWarmupCosine(50, 500, 0.1, 0.2, restarts=True)

    def test_its_factors_start_at_nothing_and_it_does_not_restart(self):
        config = Cosine(warmup_duration="1 step", max_duration="2 steps")
        assert (config.warmup_start_lr_factor, config.min_lr_factor) == (0, 0)
        assert config.annealing is False

    def test_it_moves_by_the_step(self):
        metadata = Cosine(warmup_duration="1 epochs", max_duration="2 epochs").metadata()
        assert metadata["interval"] == "step"
        assert metadata["frequency"] == 1
        assert metadata["monitor"] is None
        assert metadata["reduce_on_plateau"] is False

    def test_both_durations_are_required(self):
        with pytest.raises(ValidationError, match="max_duration"):
            Cosine(warmup_duration="1 step")  # type: ignore[call-arg]

    @pytest.mark.parametrize("field", ["warmup_start_lr_factor", "min_lr_factor"])
    @pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), True, "0.1"])
    def test_a_factor_is_a_finite_number_from_zero(self, field: str, value: Any):
        with pytest.raises(ValidationError, match=field):
            Cosine(warmup_duration="1 step", max_duration="2 steps", **{field: value})

    def test_a_warm_up_longer_than_the_whole_is_an_error_that_names_both_lengths(self):
        config = Cosine(warmup_duration="2 epochs", max_duration="50 steps")
        with pytest.raises(ScheduleError, match=r"200 steps \(2 epochs\).* 50 steps"):
            config.curve(RunLength(steps_per_epoch=100))

    def test_in_a_run_cut_short_on_purpose_the_warm_up_is_clipped_with_a_warning(self):
        config = Cosine(warmup_duration="500 steps", max_duration="2 epochs")
        with pytest.warns(NshtrainerWarning, match="with fast_dev_run .* clipped to 2 steps"):
            curve = config.curve(RunLength(steps_per_epoch=1, shortened="fast_dev_run"))
        assert curve.warmup == curve.total == 2

    def test_an_unknown_length_is_an_error_that_names_the_field(self):
        config = Cosine(warmup_duration="10 steps", max_duration="2 epochs")
        with pytest.raises(RunLengthError, match="max_duration: 2"):
            config.create_scheduler(optimizer(), RunLength())

    def test_a_plain_loop_gets_the_driver(self):
        made = optimizer()
        config = Cosine(warmup_duration="2 steps", max_duration="4 steps")
        entry = config.create_scheduler(made, RunLength(total_steps=4))
        assert isinstance(entry["scheduler"], CurveScheduler)
        assert (entry["interval"], entry["frequency"]) == ("step", 1)
        used = []
        for _ in range(5):
            used.append(made.param_groups[0]["lr"])
            made.step()
            entry["scheduler"].step()
        assert used == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-15)


class TestReduceOnPlateau:
    def test_it_has_the_defaults_of_torch(self):
        made = optimizer()
        ours = ReduceLROnPlateauConfig(metric=LOSS).create_scheduler(made, RunLength())["scheduler"]
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer())
        state, expected = ours.state_dict(), theirs.state_dict()
        assert type(ours) is type(theirs)
        assert state == expected

    def test_every_option_reaches_torch(self):
        config = ReduceLROnPlateauConfig(
            metric=MetricConfig(monitor="acc", mode="max"),
            factor=0.5,
            patience=0,
            cooldown=2,
            min_lr=(0.1, 0.2),
            threshold=0.0,
            threshold_mode="abs",
            eps=0.0,
        )
        entry = config.create_scheduler(optimizer(2), RunLength())
        made = entry["scheduler"]
        assert entry["monitor"] == "acc"
        assert (made.mode, made.factor, made.patience, made.cooldown) == ("max", 0.5, 0, 2)
        assert (made.min_lrs, made.threshold, made.threshold_mode) == ([0.1, 0.2], 0.0, "abs")
        assert made.eps == 0.0

    def test_it_moves_by_the_epoch_and_looks_at_its_metric(self):
        metadata = ReduceLROnPlateauConfig(metric=LOSS).metadata()
        assert metadata["interval"] == "epoch"
        assert metadata["monitor"] == "val/loss"
        assert metadata["reduce_on_plateau"] is True

    def test_its_metadata_never_raise(self):
        assert "monitor" not in ReduceLROnPlateauConfig().metadata()

    def test_without_a_metric_the_primary_one_is_used(self):
        run = RunLength(context=RunContext(primary_metric=F1))
        entry = ReduceLROnPlateauConfig().create_scheduler(optimizer(), run)
        assert (entry["monitor"], entry["scheduler"].mode) == ("f1", "max")

    def test_its_own_metric_wins_over_the_primary_one(self):
        run = RunLength(context=RunContext(primary_metric=F1))
        entry = ReduceLROnPlateauConfig(metric=LOSS).create_scheduler(optimizer(), run)
        assert (entry["monitor"], entry["scheduler"].mode) == ("val/loss", "min")

    def test_without_any_metric_the_error_says_both_ways_out(self):
        with pytest.raises(MetricError, match=r"names no metric.*metric: .*primary_metric"):
            ReduceLROnPlateauConfig().create_scheduler(optimizer(), RunLength())

    def test_a_trainer_that_would_feed_it_wrongly_is_refused(self):
        run = RunLength(context=RunContext(plateau_problem="validation runs twice an epoch"))
        with pytest.raises(MetricError, match="twice an epoch"):
            ReduceLROnPlateauConfig(metric=LOSS).create_scheduler(optimizer(), run)

    @pytest.mark.parametrize(
        "options",
        [
            {"factor": 1.0},
            {"factor": -0.1},
            {"patience": -1},
            {"patience": 1.5},
            {"cooldown": -1},
            {"min_lr": -1e-3},
            {"min_lr": float("nan")},
            {"threshold": -1.0},
            {"threshold_mode": "both"},
            {"metric": "val/loss"},
        ],
    )
    def test_what_torch_takes_in_silence_is_refused(self, options: dict[str, Any]):
        with pytest.raises(ValidationError, match=next(iter(options))):
            ReduceLROnPlateauConfig(**options)

    def test_it_has_no_curve_and_says_so(self):
        with pytest.raises(NotImplementedError, match="ReduceLROnPlateauConfig has no curve"):
            ReduceLROnPlateauConfig(metric=LOSS).curve(RunLength(total_steps=10))


class TestYourOwn:
    def test_a_torch_scheduler_has_no_tracks_and_says_so(self):
        class Own(LRSchedulerConfigBase):
            name: Literal["own"] = "own"

            def metadata(self) -> Any:
                return {}

            def create_scheduler_impl(self, optimizer: Any, lightning_module: Any) -> Any:
                return torch.optim.lr_scheduler.ConstantLR(optimizer)

        with pytest.raises(NotImplementedError, match="Own has no tracks"):
            Own().tracks(RunLength(total_steps=10))

    def test_a_scheduler_needs_metadata_and_create_scheduler_impl(self):
        with lr_scheduler_registry.scoped():

            @lr_scheduler_registry.register
            class MySchedulerConfig(LRSchedulerConfigBase):
                name: Literal["mine"] = "mine"
                gamma: float = 0.5

                def metadata(self) -> Any:
                    return {"frequency": 2}

                def create_scheduler_impl(self, optimizer: Any, lightning_module: Any) -> Any:
                    self.check(lightning_module)
                    return torch.optim.lr_scheduler.ExponentialLR(optimizer, self.gamma)

                def check(self, run: object) -> None:
                    assert isinstance(run, RunLength)

            class Mine(Config):
                lr_scheduler: LRSchedulerConfig | None = None

            config = Mine.model_validate({"lr_scheduler": {"name": "mine", "gamma": 0.25}})
            assert config.lr_scheduler is not None
            entry = config.lr_scheduler.create_scheduler(optimizer(), RunLength())
            assert entry["scheduler"].gamma == 0.25  # type: ignore[union-attr]
            assert {**entry, "scheduler": None} == {
                "scheduler": None,
                "interval": "epoch",
                "frequency": 2,
                "monitor": None,
                "reduce_on_plateau": False,
            }

    def test_what_create_scheduler_impl_returns_wins_over_the_metadata(self):
        with lr_scheduler_registry.scoped():

            @lr_scheduler_registry.register
            class MySchedulerConfig(LRSchedulerConfigBase):
                name: Literal["mine"] = "mine"

                def metadata(self) -> Any:
                    return {"interval": "epoch"}

                def create_scheduler_impl(self, optimizer: Any, lightning_module: Any) -> Any:
                    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
                    return {"scheduler": scheduler, "interval": "step"}

            entry = MySchedulerConfig().create_scheduler(optimizer(), RunLength())
            assert entry["interval"] == "step"

    def test_a_curve_is_two_lines(self):
        with lr_scheduler_registry.scoped():

            @lr_scheduler_registry.register
            class HalvingConfig(CurveScheduleConfigBase):
                name: Literal["halving"] = "halving"

                def curve(self, run: RunLength) -> Any:
                    return lambda step: 0.5**step

            made = optimizer()
            scheduler = HalvingConfig().create_scheduler(made, RunLength())["scheduler"]
            made.step()
            scheduler.step()
            assert made.param_groups[0]["lr"] == 0.5
            assert scheduler.state_dict()["curve"] == "HalvingConfig(name='halving')"

    def test_a_forgotten_return_is_an_error(self):
        class ForgetfulConfig(LRSchedulerConfigBase):
            name: Literal["forgetful"] = "forgetful"

            def metadata(self) -> Any:
                return {}

            def create_scheduler_impl(self, optimizer: Any, lightning_module: Any) -> Any:
                torch.optim.lr_scheduler.ConstantLR(optimizer)

        with pytest.raises(ScheduleError, match=r"create_scheduler_impl returned None; return the"):
            ForgetfulConfig().create_scheduler(optimizer(), RunLength())

    @pytest.mark.parametrize(
        ("curve", "reason"),
        [
            (0.5, r"a curve is a function of the step, such as .*, not 0\.5"),
            (
                lambda _: float("nan"),
                r"schedule of lr gives nan at step 0; a factor must be finite",
            ),
            (lambda step: -step, r"schedule of lr gives -1 at step 1; .* not negative"),
            (lambda step: float("inf") if step else 1.0, r"gives inf at step 1"),
        ],
    )
    def test_a_curve_gives_a_finite_factor_that_is_not_negative(self, curve: Any, reason: str):
        class MineConfig(CurveScheduleConfigBase):
            name: Literal["mine"] = "mine"

            def curve(self, run: RunLength) -> Any:
                return curve

        def drive() -> None:
            MineConfig().create_scheduler(optimizer(), RunLength())["scheduler"].step()

        with pytest.raises(ScheduleError, match=reason):
            drive()

    def test_the_optimizer_comes_first(self):
        module = torch.nn.Linear(1, 1)
        config = Cosine(warmup_duration="0 steps", max_duration="2 steps")
        with pytest.raises(ScheduleError, match=r"takes the optimizer first.*got a Linear"):
            config.create_scheduler(module, RunLength())  # type: ignore[arg-type]


def test_the_optimizer_may_come_from_a_config():
    model = torch.nn.Linear(3, 2)
    made = AdamWConfig(lr=0.25).create_optimizer(model.parameters())
    Cosine(warmup_duration="0 steps", max_duration="2 steps").create_scheduler(made, RunLength())
    assert made.param_groups[0]["lr"] == 0.25
