"""The message about a metric that is never logged."""

from __future__ import annotations

from nshtrainer.metric import never_logged


def test_the_nearest_metric_is_suggested_and_all_are_listed() -> None:
    assert never_logged("ModelCheckpoint", "val_loss", ["val/loss", "rate"]) == (
        "ModelCheckpoint monitors 'val_loss', which was never logged; did you mean 'val/loss'? "
        "(available: rate, val/loss); correct its metric, or log it with self.log('val_loss', ...)"
    )


def test_without_metrics_there_is_none_to_suggest() -> None:
    assert "never logged (available: none); " in never_logged("EarlyStopping", "loss", [])
