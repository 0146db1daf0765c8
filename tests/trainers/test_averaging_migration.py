"""Weight averages with manual optimization, and hooks that migrate checkpoints."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from tests.trainers.test_averaging import RESUMED, Model, data, run, weights
from torch import Tensor, nn

from nshtrainer.exceptions import OptimizerError
from nshtrainer.integrations.lightning.weight_averaging import AveragingCallback

# -- by hand, and migrated -------------------------------------------------------------------------


class Two(Model):
    """Two optimizers, both of which step at each batch."""

    automatic_optimization = False

    def training_step(self, batch: Tensor) -> None:  # type: ignore[override]
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.zero_grad()
            self.manual_backward((self.net(batch)[:, 0] - batch.prod(1)).square().mean())
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), 0.1) for part in (self.net[:2], self.net[2])]


class Joined(Callback):
    """The batches after which weights had joined the average."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self._count = 0

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        (averaging,) = (c for c in trainer.callbacks if isinstance(c, AveragingCallback))
        count = int(averaging._average_model.n_averaged)
        if count > self._count:
            self.batches.append(trainer.fit_loop.total_batch_idx + 1)
        self._count = count


@pytest.mark.parametrize("limit", [{"max_epochs": 4}, {"max_epochs": -1, "max_steps": 48}])
def test_with_two_optimizers_the_average_begins_where_its_share_of_the_run_does(limit: Any) -> None:
    joined = Joined()
    averaging = {"name": "swa", "every": "3 steps"}
    watched = run(averaging, **limit)
    watched.callbacks.append(joined)
    watched.fit(Two(), data(), data(1))
    assert joined.batches == [21, 24]


@pytest.mark.filterwarnings(*RESUMED)
@pytest.mark.parametrize("pops", [False, True])
def test_a_hook_that_migrates_a_checkpoint_migrates_both_weights(
    tmp_path: Path, pops: bool
) -> None:
    class Renamed(Model):
        """Its weights are ten times those of the checkpoint."""

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            own = checkpoint["state_dict"]
            checkpoint["state_dict"] = {
                key: value * 10 if value.is_floating_point() else value
                for key, value in own.items()
            }
            if pops:
                del checkpoint["loops"]["extra"]

    class Seen(Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            (averaging,) = (c for c in trainer.callbacks if isinstance(c, AveragingCallback))
            self.training = weights(module)
            self.average = copy.deepcopy(averaging._average_model.module.state_dict())

    averaging = {"name": "ema", "decay": 0.5}
    first = run(averaging, max_steps=4)
    first.fit(Model(), data(), data(1))
    path = tmp_path / "first.ckpt"
    first.save_checkpoint(path)
    saved = torch.load(path, weights_only=True)
    saved["loops"]["extra"] = 1
    torch.save(saved, path)
    seen, module = Seen(), Renamed()
    run(averaging, max_steps=6, callbacks=[seen]).fit(module, data(), data(1), ckpt_path=path)
    for found, was in (
        (seen.training, saved["current_model_state"]),
        (seen.average, saved["state_dict"]),
    ):
        torch.testing.assert_close(found["net.0.weight"], 10 * was["net.0.weight"])
    assert not torch.equal(seen.training["net.0.weight"], seen.average["net.0.weight"])
    assert "on_load_checkpoint" not in vars(module)


@pytest.mark.filterwarnings(*RESUMED)
@pytest.mark.parametrize("averaging", ["ema", {"name": "swa", "start": "5 steps"}])
def test_a_hook_that_migrates_in_place_does_so_once(tmp_path: Path, averaging: Any) -> None:
    class Scaled(Model):
        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["state_dict"]["net.0.weight"].mul_(10)

    class Seen(Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            self.training = weights(module)

    first = run(averaging, max_steps=4)
    first.fit(Model(), data(), data(1))
    first.save_checkpoint(tmp_path / "first.ckpt")
    was = torch.load(tmp_path / "first.ckpt", weights_only=True)["current_model_state"]
    seen = Seen()
    again = run(averaging, max_steps=6, callbacks=[seen])
    again.fit(Scaled(), data(), data(1), ckpt_path=tmp_path / "first.ckpt")
    torch.testing.assert_close(seen.training["net.0.weight"], 10 * was["net.0.weight"])


def test_a_lazy_layer_is_named() -> None:
    class Lazy(Model):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.LazyLinear(1))

    text = r"weight_averaging copies the module, and 'net.0.weight' has no shape yet: it is lazy. R"
    with pytest.raises(OptimizerError, match=text):
        run("ema", max_steps=2).fit(Lazy(), data(), data(1))
    module = Lazy()
    module.net(next(iter(data())))
    run("ema", max_steps=2).fit(module, data(), data(1))
