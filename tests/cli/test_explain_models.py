"""`nshtrainer explain` and `diff` for models in any file, and for models without code."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nshtrainer import explain
from nshtrainer.cli import main
from nshtrainer.exceptions import ConfigError
from nshtrainer.project.parameter_list import read_parameter_list

Captured = pytest.CaptureFixture[str]

CODE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, width)


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.embed = nn.Embedding(6, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.head = nn.Linear(width, 6)
        assert width < 1000 or self.head.weight.is_meta


class Counting(Net):
    def __init__(self):
        super().__init__()
        self.rates = torch.linspace(0, 1, 2)[0].item()


def make_model():
    return Net(8)


def make_large():
    return Net(100_000)


def make_nothing():
    return None


number = int
net = Net()
"""
LIGHTNING = """
import torch
from lightning.pytorch import LightningModule


class Lit(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.5)
"""
CONFIG = "{optimizer: {name: adamw, lr: 0.1, no_decay: bias_and_norm}, lr_scheduler: cosine}"
SHAPES = {
    "embed.weight": [6, 4],
    **{
        f"blocks.{index}.{name}": shape
        for index in range(2)
        for name, shape in {
            "norm.weight": [4],
            "norm.bias": [4],
            "fc.weight": [4, 4],
            "fc.bias": [4],
        }.items()
    },
    "head.weight": [6, 4],
    "head.bias": [6],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with code, a config and a list of shapes, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in {
        "model.py": CODE,
        "lit.py": LIGHTNING,
        "opt.yaml": CONFIG,
        "other.yaml": CONFIG.replace("0.1", "0.2"),
        "bare.yaml": "{name: sgd, lr: 0.1}",
        "run.yaml": f"model: {CONFIG}\ntrainer: {{max_steps: 50}}\n",
        "shapes.json": json.dumps(SHAPES),
    }.items():
        Path(name).write_text(text, encoding="utf-8")
    return tmp_path


def data(capsys: Captured, *arguments: str) -> dict[str, Any]:
    assert main(["explain", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def error(capsys: Captured, *arguments: str) -> str:
    assert main(["explain", *arguments]) == 2
    return capsys.readouterr().err


# -- code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "numbers"),
    [
        ("model.py", 110),
        ("model.py:Net", 110),
        ("model.py:net", 110),
        ("model.py:Counting", 110),
        ("model.py:make_model", 278),
        ("model.py:make_large", 20_001_800_006),
    ],
)
def test_a_class_a_model_or_a_function_is_explained(
    capsys: Captured, target: str, numbers: int
) -> None:
    found = data(capsys, target, "--config", "opt.yaml", "--total-steps", "20")
    assert sum(group["parameters"] for group in found["groups"]) == numbers
    assert [group["name"] for group in found["groups"]] == ["default", "no_decay"]
    assert found["total_steps"] == 20
    assert found["missing"] == []


@pytest.mark.parametrize(
    ("config", "optimizer", "steps"),
    [("opt.yaml", "AdamW", None), ("bare.yaml", "SGD", None), ("run.yaml", "AdamW", 50)],
)
def test_the_optimizer_comes_from_a_run_file_or_from_a_config_alone(
    capsys: Captured, config: str, optimizer: str, steps: int | None
) -> None:
    found = data(capsys, "model.py:Net", "--config", config)
    assert found["groups"][0]["optimizer"] == optimizer
    assert found["total_steps"] == steps


def test_hyperparameters_of_a_run_file_are_not_used_silently(capsys: Captured) -> None:
    Path("wide.yaml").write_text("model: {width: 9, depth: 1, optimizer: sgd}", encoding="utf-8")
    found = data(capsys, "model.py:Net", "--config", "wide.yaml")
    assert found["missing"] == ["model.width, depth: not used, the code builds the model by itself"]


def test_overrides_take_precedence_over_the_file(capsys: Captured) -> None:
    found = data(capsys, "model.py:Net", "--config", "opt.yaml", "optimizer.lr=0.5")
    assert found["groups"][0]["lr"] == 0.5


def test_a_lightning_module_has_its_own_optimizers_or_those_of_a_file(capsys: Captured) -> None:
    (row,) = data(capsys, "lit.py")["groups"]
    assert (row["optimizer"], row["lr"], row["names"]) == (
        "SGD",
        0.5,
        ["layer.weight", "layer.bias"],
    )
    assert data(capsys, "lit.py", "--config", "opt.yaml")["groups"][0]["optimizer"] == "AdamW"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["model.py:Block"], "model.py:Block: needs arguments (width); write a function without"),
        (["model.py:make_nothing"], "model.py:make_nothing: returned NoneType; return a torch.nn"),
        (["model.py:number"], "model.py:int: returned int; return a torch.nn.Module"),
        (["model.py:make_modal"], "unknown model or function 'make_modal'; did you mean 'make_mod"),
        (["lit.py", "--parameters", "shapes.json"], "give one of train.py, --parameters and --tra"),
        ([], "give one of train.py, --parameters and --transformers (got none)"),
    ],
)
def test_what_is_no_model_says_what_to_give(
    capsys: Captured, arguments: list[str], text: str
) -> None:
    assert text in error(capsys, *arguments, "--config", "opt.yaml")


def test_what_has_no_optimizer_says_what_to_give(capsys: Captured) -> None:
    assert "model.py:Net: the optimizer is unknown; give --config" in error(capsys, "model.py:Net")
    Path("none.yaml").write_text("a: 1", encoding="utf-8")
    assert "must have one optimizer" in error(capsys, "model.py:Net", "--config", "none.yaml")
    Path("empty.py").write_text("x = 1", encoding="utf-8")
    text = "empty.py: has no module; name a function that returns one: empty.py:make_model"
    assert text in error(capsys, "empty.py", "--config", "opt.yaml")
    Path("two.py").write_text(CODE.replace("net = Net()", ""), encoding="utf-8")
    assert "has 3 modules (Block, Net, Counting)" in error(capsys, "two.py", "--config", "opt.yaml")


LR = "lr: 0.1 -> 0.2"


def test_two_files_differ_by_parameter(capsys: Captured) -> None:
    for model in (["--for", "model.py:Net"], ["--parameters", "shapes.json"]):
        assert main(["diff", "opt.yaml", "other.yaml", *model, "--total-steps", "9"]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines == ["embed.weight, blocks.0.fc.weight, blocks.1.fc.weight and 8 more: " + LR]
        assert main(["diff", "opt.yaml", "opt.yaml", *model]) == 0
        capsys.readouterr()


# -- lists of parameters ---------------------------------------------------------------------------


def save(path: str, tensors: dict[str, Any]) -> None:
    """Write the header of safetensors, in the order of the alphabet, without the data."""
    entries = {k: {"dtype": "F32", "shape": v, "data_offsets": [0, 0]} for k, v in tensors.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **dict(sorted(entries.items()))}).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text)


def index(path: str, files: dict[str, str]) -> None:
    Path(path).write_text(json.dumps({"metadata": {}, "weight_map": files}), encoding="utf-8")


def in_order(found: dict[str, Any]) -> dict[str, Any]:
    """Return the groups by name, each with its names in the order of the alphabet."""
    return {row["name"]: {**row, "names": sorted(row["names"])} for row in found["groups"]}


def test_lists_and_headers_are_explained_as_the_model_is(capsys: Captured) -> None:
    save("model.safetensors", SHAPES)
    first = {name: SHAPES[name] for name in list(SHAPES)[:5]}
    save("a.safetensors", first)
    save("b.safetensors", {name: SHAPES[name] for name in SHAPES.keys() - first.keys()})
    files = {name: "a.safetensors" if name in first else "b.safetensors" for name in SHAPES}
    index("model.safetensors.index.json", files)
    expected = data(capsys, "model.py:Net", "--config", "opt.yaml")
    for path in ("shapes.json", "model.safetensors", "model.safetensors.index.json"):
        found = data(capsys, "--parameters", path, "--config", "opt.yaml")
        assert in_order(found) == in_order(expected)
        assert found["missing"][0].startswith("types and roles of modules: guessed")


ROLES = {
    "wte.weight": ([10, 4], {"embedding"}),
    "token_emb.weight": ([10, 4], {"embedding"}),
    "conv1.weight": ([4, 3, 7, 7], {"conv"}),
    "bn1.weight": ([4], {"norm"}),
    "bn1.bias": ([4], {"norm", "bias"}),
    "attn.in_proj_weight": ([12, 4], {"matrix"}),
    "attn.in_proj_bias": ([12], {"bias"}),
    "rnn.weight_ih_l0": ([12, 4], {"matrix"}),
    "layers.0.mlp.0.weight": ([4, 4], {"matrix"}),
    "layers.0.mlp.2.weight": ([4, 4], {"matrix"}),
    "lm_head.weight": ([10, 4], {"head"}),
}


def test_roles_are_guessed_from_names_and_shapes() -> None:
    Path("roles.json").write_text(json.dumps({k: v for k, (v, _) in ROLES.items()}), "utf-8")
    model, _ = read_parameter_list("roles.json")
    found = explain(model, "adamw")
    assert {name: {*found.parameter(name).roles} for name in ROLES} == {
        name: roles for name, (_, roles) in ROLES.items()
    }


def test_the_type_of_numbers_counts_and_buffers_are_left_out(capsys: Captured) -> None:
    list_ = {
        "a.weight": {"shape": [4, 4], "dtype": "BF16"},
        "b.weight": {"shape": [4, 4], "dtype": "torch.float64"},
        "c.weight": {"shape": [4, 4], "dtype": "F8_E4M3"},
        "d.running_mean": [4],
        "e.ids": {"shape": [4], "dtype": "I64"},
    }
    Path("types.json").write_text(json.dumps(list_), "utf-8")
    model, notes = read_parameter_list("types.json")
    assert [p.dtype for p in model.parameters()] == [
        torch.bfloat16,
        torch.float64,
        torch.float8_e4m3fn,
    ]
    assert notes[1] == "buffers and integers: left out (d.running_mean, e.ids)"


def test_a_rule_for_a_type_of_module_says_that_types_are_guessed(capsys: Captured) -> None:
    rule = "optimizer.groups=[{name: a, select: {module: LlamaBlock}}]"
    text = error(capsys, "--parameters", "shapes.json", "--config", "opt.yaml", rule)
    assert "matches no parameter" in text
    assert "; types and roles of modules: guessed from names and shapes; give the code" in text


def test_names_may_be_any_text() -> None:
    names = [
        "training",
        "a.training.weight",
        "_parameters",
        "a.\x1b[2J.weight",
        "é.\n",
        "a",
        "a.b.a",
    ]
    Path("names.json").write_text(json.dumps({name: [2] for name in names}), "utf-8")
    model, _ = read_parameter_list("names.json")
    assert {*dict(model.named_parameters())} == {*names}
    assert "\x1b" not in str(explain(model, "adamw"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"w": [1e3]}', "w: must be a shape such as [10, 20] (got [1000.0])"),
        ('{"w": [true]}', "w: must be a shape such as [10, 20] (got [True])"),
        ('{"w": [-1]}', "w: must be a shape such as [10, 20] (got [-1])"),
        ('{"w": 3}', "w: must be a shape such as [10, 20] (got 3)"),
        ('{"w": {"dtype": "F32"}}', "w: must be a shape such as [10, 20] (got "),
        ('{"w": [1e9', "is not valid JSON"),
        ('{"w": {"shape": [1], "dtype": "F23"}}', "w: unknown dtype 'F23'; did you mean 'F32'?"),
        ('{"w": {"shape": [1], "dtype": "nn"}}', "w: unknown dtype 'nn'"),
        ('{"w": [99999999999, 99999999999]}', "w: has more than 2**56 elements"),
        ('{"w": [0, 9999999999999999999999]}', "w: has more than 2**56 elements"),
        (json.dumps({"w": [1] * 65}), "w: must be a shape such as [10, 20] (got "),
        ('{"a..w": [1]}', "'a..w' is no name of a parameter"),
        ('{"": [1]}', "'' is no name of a parameter"),
        (json.dumps({".".join("a" * 101): [1]}), "is no name of a parameter"),
        ("[1, 2]", "must be a mapping of names to shapes (got [1, 2])"),
        ("{}", "has no parameters; write a shape for each name"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "must name files beside it"),
        ('{"weight_map": {"a": "x.safetensors"}}', "x.safetensors: no such file"),
    ],
)
def test_bad_lists_are_refused_with_their_place(text: str, message: str) -> None:
    Path("bad.json").write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_parameter_list("bad.json")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no header of safetensors"),
        (b"\xff" * 8, "has no header of safetensors"),
        (struct.pack("<Q", 100) + b"{}", "has no header of safetensors"),
        (struct.pack("<Q", 2) + b"\xff\xff", "cannot be read"),
        (struct.pack("<Q", 2) + b"[]", "must be a mapping of names to shapes"),
        (struct.pack("<Q", 2) + b"{}", "has no parameters"),
    ],
)
def test_bad_headers_are_refused(content: bytes, message: str) -> None:
    Path("bad.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_parameter_list("bad.safetensors")


def test_a_large_list_is_read_in_time_and_a_larger_one_refused() -> None:
    names = {f"layers.{n}.experts.{e}.w.weight": [8, 8] for n in range(40) for e in range(50)}
    Path("large.json").write_text(json.dumps(names), "utf-8")
    start = time.process_time()
    model, _ = read_parameter_list("large.json")
    assert time.process_time() - start < 2
    assert len(list(model.parameters())) == 2000
    Path("larger.json").write_text('{"w": [' + "1, " * 4_000_000 + "1]}", "utf-8")
    with pytest.raises(ConfigError, match="more than 10,000"):
        read_parameter_list("larger.json")


def test_the_real_model_of_a_list_has_the_same_groups() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.ModuleDict({"emb": nn.Embedding(9, 8), "encoder": nn.TransformerEncoder(layer, 2)})
    model["head"] = nn.Linear(8, 9)
    shapes = {name: list(param.shape) for name, param in model.named_parameters()}
    Path("encoder.json").write_text(json.dumps(shapes), "utf-8")
    listed, _ = read_parameter_list("encoder.json")
    config = {"name": "adamw", "no_decay": "bias_and_norm", "layer_decay": {"rate": 0.5}}
    assert explain(listed, config).groups == explain(model.to("meta"), config).groups


def test_without_transformers_the_extra_is_named(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    Path("config.json").write_text('{"model_type": "llama"}', "utf-8")
    text = error(capsys, "--transformers", "config.json", "--config", "opt.yaml")
    assert "install it with: pip install 'nshtrainer[transformers]'" in text
