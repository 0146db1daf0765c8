"""`explain` for models of transformers: their classes, and their `config.json`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, BertConfig, BertForSequenceClassification, LlamaConfig

from nshtrainer import Config, create, explain
from nshtrainer.cli import main
from nshtrainer.configs import OptimizerConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.project.transformers_model import read_transformers_model

CONFIG = {"name": "adamw", "no_decay": "bias_and_norm", "layer_decay": {"rate": 0.9}}
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": 40}
LLAMA_70B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "dtype": "bfloat16",
}


class Holder(Config):
    optimizer: OptimizerConfig


def write(folder: Path, **data: Any) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return str(path)


def test_a_model_is_explained_as_it_is_built() -> None:
    model = BertForSequenceClassification(BertConfig(num_hidden_layers=2, **SMALL))
    found = explain(model, CONFIG)
    optimizer = Holder.from_mapping({"optimizer": CONFIG}).optimizer
    assert found == explain(model, create(optimizer, None, model)[0])
    assert found.parameter("bert.embeddings.LayerNorm.bias").roles == ["bias", "norm"]


def test_a_config_of_seventy_billion_parameters_is_explained_in_time(tmp_path: Path) -> None:
    model = read_transformers_model(write(tmp_path, **LLAMA_70B))
    explain(torch.nn.Linear(2, 2), "adamw")
    start = time.process_time()
    found = explain(model, {"name": "adamw", "no_decay": "bias_and_norm"})
    assert time.process_time() - start < 2
    assert [(row.name, row.parameters) for row in found.groups] == [
        ("default", 70_552_387_584),
        ("no_decay", 1_318_912),
    ]
    assert found.groups[0].state_bytes == pytest.approx(70_552_387_584 * 4, rel=1e-6)


def test_the_command_line_takes_a_config_with_or_without_architectures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, model_type="llama", num_hidden_layers=2, **SMALL)
    optimizer = tmp_path / "opt.yaml"
    optimizer.write_text("{name: muon_with_adamw}", encoding="utf-8")
    assert main(["explain", "--transformers", path, "--config", str(optimizer), "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["groups"]]
    assert names == ["muon", "adamw"]
    assert AutoConfig.for_model("llama").model_type == LlamaConfig.model_type


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "lama"}, "unknown model_type 'lama'; did you mean 'llama'?"),
        ({"model_type": None}, "unknown model_type 'None'"),
        ({"architectures": ["AutoConfig"]}, "architectures: 'AutoConfig' is no model"),
        ({"architectures": ["__builtins__"]}, "architectures: '__builtins__' is no model"),
        ({"num_hidden_layers": 10**8}, "num_hidden_layers: must be at most 10,000"),
        ({"hidden_size": "x"}, "transformers refuses it"),
        ({"num_attention_heads": 0}, "transformers "),
        ({"auto_map": {"AutoConfig": "evil.Config"}, "model_type": "evil"}, "unknown model_type"),
    ],
)
def test_a_bad_config_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_transformers_model(write(tmp_path, **{**LLAMA_70B, **changes}))
    assert message in str(caught.value)
