"""What a run planned, and what it used."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import torch

from nshtrainer.cli import main

Captured = pytest.CaptureFixture[str]


FIT = ["fit", "train.py", "--config", "run.yaml", "--out", "o"]
FIXED = "lr_scheduler.max_duration=12 steps"


def table(folder: str = "o") -> list[dict[str, str]]:
    with (Path(folder) / "schedule.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def said(out: str) -> list[str]:
    """The lines about the schedule after the training."""
    end = out[out.index("\ntrained ") :]
    return [line[10:] for line in end.splitlines() if line.startswith("schedule  ")]


def test_a_run_draws_what_is_planned_and_compares_it_with_what_is_used(
    home: Path, capsys: Captured
) -> None:
    assert main(FIT) == 0
    assert said(capsys.readouterr().out) == ["12 updates, planned = used"]
    picture = ET.parse("o/schedule.svg").getroot()
    assert "warm-up 0 to 2, cosine 2 to 12, last update 0.00245" in (picture[0].text or "")
    rows = table()
    assert [int(row["step"]) for row in rows] == list(range(12))
    assert all(row["planned"] == row["used"] for row in rows)
    assert rows[2]["used"] == "0.1"


def test_the_metrics_have_both(home: Path) -> None:
    assert main(FIT) == 0
    with Path("o/metrics.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["schedule/lr/used"]]
    assert len(rows) == 12
    assert all(row["schedule/lr/used"] == row["schedule/lr/planned"] for row in rows)


def test_a_plateau_plans_nothing_and_what_it_used_is_told(home: Path, capsys: Captured) -> None:
    options = ["lr_scheduler=reduce_lr_on_plateau", "lr_scheduler.patience=0"]
    assert main([*FIT, *options, "lr_scheduler.threshold=100"]) == 0
    (line,) = said(capsys.readouterr().out)
    assert line == (
        "12 updates, lr from 0.1 to 0.001; nothing was planned: ReduceLROnPlateau monitors val/loss"
    )
    assert {row["planned"] for row in table()} == {""}
    assert not Path("o/schedule.svg").exists()


def test_of_a_plateau_times_a_curve_the_curve_is_drawn_and_nothing_planned(
    home: Path, capsys: Captured
) -> None:
    options = ["lr_scheduler=reduce_lr_on_plateau", "lr_scheduler.schedule=linear"]
    assert main([*FIT, *options]) == 0
    (line,) = said(capsys.readouterr().out)
    assert "nothing was planned: ObservingScheduler monitors val/loss" in line
    assert Path("o/schedule.svg").exists()


def test_without_a_schedule_there_is_nothing_to_say(home: Path, capsys: Captured) -> None:
    assert main([*FIT, "lr_scheduler=null"]) == 0
    assert said(capsys.readouterr().out) == []
    assert not Path("o/schedule.csv").exists()


def test_a_schedule_without_an_end_in_a_run_without_one_has_no_picture(
    home: Path, capsys: Captured
) -> None:
    options = ["lr_scheduler=constant", "trainer.max_epochs=-1", "trainer.max_time=00:00:00:01"]
    assert main([*FIT, *options]) == 0
    assert said(capsys.readouterr().out)[0].endswith(" updates, planned = used")
    assert not Path("o/schedule.svg").exists()


def test_a_resumed_run_goes_on_with_its_table(home: Path, capsys: Captured) -> None:
    assert main([*FIT, FIXED, "trainer.max_epochs=1"]) == 0
    capsys.readouterr()
    assert main([*FIT, FIXED, "--resume", "last"]) == 0
    assert said(capsys.readouterr().out) == ["12 updates, of which 8 in this run, planned = used"]
    assert [int(row["step"]) for row in table()] == list(range(12))
    state = torch.load("o/checkpoints/last.ckpt", weights_only=True)
    assert state["callbacks"]["ScheduleRecord"] == {"0": 12}


def test_a_value_that_something_else_wrote_is_told(home: Path, capsys: Captured) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    meddled = "if self.global_step == 5:\n            group['lr'] = 7.0\n        "
    group = "group = self.optimizers().param_groups[0]\n        "
    meddled = f'{group}{meddled}stop("train"'
    Path("train.py").write_text(text.replace('stop("train"', meddled), encoding="utf-8")
    with pytest.warns(UserWarning, match="is overwritten by the schedule"):
        assert main(FIT) == 0
    (line,) = said(capsys.readouterr().out)
    assert line == (
        "12 updates, lr: 1 values not as planned, the first at step 5: planned "
        "0.07938926261462366, used 7.0 (written by other code)"
    )


SEVERAL = """
import torch
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer.configs import CosineScheduleConfig, LinearScheduleConfig, SGDConfig


class Config(nshtrainer.Config):
    skip: int = -1


class Two(nshtrainer.LightningModuleBase[Config]):
    def __init__(self, hparams):
        super().__init__(hparams)
        self.nets = torch.nn.ModuleList([torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)])
        self.automatic_optimization = False

    def configure_optimizers(self):
        run = nshtrainer.RunLength(total_steps=8)
        made = [SGDConfig(lr=1.0).create_optimizer(net.parameters()) for net in self.nets]
        first = CosineScheduleConfig().create_scheduler(made[0], run)["scheduler"]
        second = LinearScheduleConfig().create_scheduler(made[1], run)["scheduler"]
        return made, [first, second]

    def training_step(self, batch):
        for place, optimizer in enumerate(self.optimizers()):
            optimizer.zero_grad()
            self.manual_backward(self.nets[place](batch).square().mean())
            optimizer.step()
            if place == 0 or self.global_step != self.hparams.skip:
                self.lr_schedulers()[place].step()

    def train_dataloader(self):
        return DataLoader(torch.ones(4, 2))
"""


@pytest.fixture
def several(home: Path) -> list[str]:
    Path("two.py").write_text(SEVERAL, encoding="utf-8")
    text = "trainer: {max_epochs: 2, accelerator: cpu, log_every_n_steps: 1}"
    Path("two.yaml").write_text(text, encoding="utf-8")
    return ["fit", "two.py", "--config", "two.yaml", "--out", "o"]


def test_several_optimizers_are_told_apart(several: list[str], capsys: Captured) -> None:
    assert main(several) == 0
    assert said(capsys.readouterr().out) == [
        "0: 8 updates, planned = used",
        "1: 8 updates, planned = used",
    ]
    assert {row["hyperparameter"] for row in table()} == {"0/lr", "1/lr"}
    assert len(table()) == 16
    picture = Path("o/schedule.svg").read_text(encoding="utf-8")
    assert "scheduler 0" in picture
    assert "scheduler 1" in picture


def test_a_scheduler_that_did_not_move_is_the_reason(several: list[str], capsys: Captured) -> None:
    assert main([*several, "skip=4"]) == 0
    assert said(capsys.readouterr().out)[1] == (
        "1: 8 updates, lr: 6 values not as planned, the first at step 2: planned 0.75, used 0.875 "
        "(the scheduler had made 1 steps)"
    )


def test_groups_of_their_own_have_names(home: Path, capsys: Captured) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    own = """
    def configure_optimizers(self):
        groups = [
            {"params": [self.layer.weight], "name": "matrices", "lr": 0.5},
            {"params": [self.layer.bias], "name": "biases"},
        ]
        made = self.hparams.optimizer.create_optimizer(groups)
        return {
            "optimizer": made,
            "lr_scheduler": self.hparams.lr_scheduler.create_scheduler(made, self),
        }

    def training_step"""
    text = text.replace("\n    def training_step", own, 1)
    Path("train.py").write_text(text, encoding="utf-8")
    assert main(FIT) == 0
    assert said(capsys.readouterr().out) == ["12 updates, planned = used"]
    assert [row["hyperparameter"] for row in table()[:2]] == ["matrices/lr", "biases/lr"]
    assert [float(row["used"]) for row in table()[4:6]] == [0.5, 0.1]


def test_a_trial_run_records_nothing(home: Path) -> None:
    assert main([*FIT, "trainer.fast_dev_run=true", "lr_scheduler=null"]) == 0
    assert not Path("o").exists()


def edited(old: str, new: str) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    assert old in text
    Path("train.py").write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.filterwarnings(
    "ignore:schedule 'linear_warmup_cosine_decay'. resolved for (4|12) steps"
)
def test_planned_is_not_used_where_the_run_is_longer_than_was_planned(
    home: Path, capsys: Captured
) -> None:
    edited("torch.randn(self.num_batches,", "torch.randn(4 * (self.trainer.current_epoch + 1),")
    assert main([*FIT, "trainer.reload_dataloaders_every_n_epochs=1"]) == 0
    (line,) = said(capsys.readouterr().out)
    assert line == "24 updates, planned for 12 steps, but there were 24"


def test_a_plan_that_is_resolved_again_before_the_first_step_is_the_plan(
    home: Path, capsys: Captured
) -> None:
    hook = """def on_train_start(self):
        self.trainer.datamodule.num_batches = 2
        self.trainer.fit_loop._combined_loader = None
        self.trainer.fit_loop.setup_data()

    def training_step"""
    edited("def training_step", hook)
    assert main(FIT) == 0
    assert said(capsys.readouterr().out) == ["6 updates, planned = used"]
    assert table()[5]["planned"] == table()[5]["used"]
    assert float(table()[5]["used"]) == pytest.approx(0.0146447, abs=1e-7)


def test_a_group_that_joins_is_planned_and_scheduled(home: Path, capsys: Captured) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    text = text.replace(
        "\n    def training_step",
        """
        self.late = torch.nn.Parameter(torch.ones(1), requires_grad=False)

    def on_train_batch_start(self, batch, batch_idx):
        if self.global_step in (6, 8):
            self.late.requires_grad_()
            groups = self.trainer.optimizers[0].param_groups
            del groups[1:]
            self.trainer.optimizers[0].add_param_group({"params": [self.late], "lr": 0.02})

    def training_step""",
        1,
    )
    Path("train.py").write_text(text, encoding="utf-8")
    assert main(FIT) == 0
    assert said(capsys.readouterr().out) == ["12 updates, planned = used"]
    late = {row["step"]: float(row["used"]) for row in table() if row["hyperparameter"] == "1/lr"}
    assert [late[step] for step in ("6", "8")] == pytest.approx([0.02, 0.02])
    assert late["7"] < 0.02
