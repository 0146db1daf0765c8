"""The page "From an existing Lightning module", followed to the letter, with W&B offline."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from tests.trainers.test_loggers import wandb_records

PAGE = Path(__file__).parents[2] / "docs/tutorials/existing-lightning-module.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:There is a wandb run already in progress:UserWarning")
def test_the_page_works_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    for variable in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    blocks = re.findall(r"(?sm)^ *```(yaml|python)\n(.*?)^ *```$", PAGE.read_text())
    assert len(blocks) == 12
    for kind, code in blocks:
        if kind == "yaml":
            name = code.partition("\n")[0].removeprefix("# ")
            Path(name).write_text(code, encoding="utf-8")
        else:
            exec(compile(dedent(code), str(PAGE), "exec", dont_inherit=True), names)
    assert names["logger"].experiment is wandb.run
    wandb.finish()
    wandb.teardown()  # ends the process that writes the file

    plain = names["config"].optimizer.to_dict()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    logged = [
        json.loads(item.value_json)
        for content in wandb_records(file.read_bytes())
        for item in Record.FromString(content).config.update
        if item.key == "optimizer"
    ]
    assert plain in logged
    saved = torch.load("after-5.ckpt", weights_only=True)["hyper_parameters"]
    assert saved["optimizer"] == plain
