"""The output layer and the tables of a model, by role."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models import Transformer
from tests.unit.optimizer.groups.test_parameters import roles
from torch import nn

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import inventory, modules_by_path


def names(params: Any) -> list[str]:
    return [parameter.name for parameter in inventory(params)]


# -- heads and tables ------------------------------------------------------------------------------


class Words(nn.Module):
    """A model of language, in which anything may have any name."""

    def __init__(self, head: str = "readout", position: str = "where", words: int = 9) -> None:
        super().__init__()
        self.tokens = nn.Embedding(words, 4)
        setattr(self, position, nn.Parameter(torch.ones(6, 4)))
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, words), nn.Linear(words, 4)])
        setattr(self, head, nn.Linear(4, words))


def with_role(role: str, model: Any) -> list[str]:
    return [name for name, found in roles(model).items() if role in found]


def test_the_last_matrix_with_as_many_rows_as_words_is_the_head():
    assert with_role("head", Words()) == ["readout.weight", "readout.bias"]
    inside = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 9))
    assert with_role("head", inside) == ["2.weight", "2.bias"]


def test_a_matrix_in_a_stack_is_no_head_by_its_rows():
    model = Words()
    del model.readout
    assert with_role("head", model) == []


def test_a_square_matrix_is_no_head_by_its_rows():
    assert with_role("head", Words("mixer", words=4)) == []


@pytest.mark.parametrize("size", ["num_classes", "num_labels", "n_classes", "vocab_size"])
@pytest.mark.parametrize("is_in_config", [False, True])
def test_the_last_matrix_with_as_many_rows_as_classes_is_the_head(size: str, is_in_config: bool):
    class Config:
        pass

    model: Any = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 4), nn.Linear(4, 3))
    model.config = Config()
    setattr(model.config if is_in_config else model, size, 3)
    assert with_role("head", model) == ["2.weight", "2.bias"]


def test_what_shares_the_weight_of_an_embedding_is_the_head():
    model = Words(words=4)
    model.readout.weight = model.tokens.weight
    assert with_role("head", model) == ["tokens.weight", "readout.bias"]


LAST = ["output", "out", "decoder", "score", "classification_head", "readout", "out_proj"]


@pytest.mark.parametrize("name", LAST)
def test_a_last_layer_with_the_name_of_an_output_is_the_head(name: str):
    model = nn.ModuleDict({name: nn.Linear(3, 3), "z": nn.Linear(3, 5)})
    assert with_role("head", model) == []
    model = nn.ModuleDict({"a": nn.Linear(3, 3), name: nn.Linear(3, 5)})
    assert with_role("head", model) == [f"{name}.weight", f"{name}.bias"]


@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize("above", ["0", "attn", "self_attention"])
def test_a_last_layer_in_a_stack_or_an_attention_is_no_head_by_its_name(name: str, above: str):
    block = nn.ModuleDict({name: nn.Linear(3, 5)})
    assert with_role("head", nn.ModuleDict({"a": nn.Linear(3, 3), above: block})) == []


def test_a_layer_with_one_output_is_a_head_if_it_is_the_last_or_in_no_stack():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    assert with_role("head", model) == ["1.weight", "1.bias"]
    assert with_role("head", nn.Sequential(nn.Linear(3, 3), nn.Linear(1, 1))) == []
    assert with_role("head", nn.Sequential(nn.Linear(3, 1), nn.Linear(3, 3))) == []
    critic = nn.ModuleDict({"value": nn.Linear(3, 1, bias=False), "policy": nn.Linear(3, 2)})
    assert with_role("head", critic) == ["value.weight"]


def test_each_of_several_heads_is_one():
    deep = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5))
    heads = nn.ModuleDict({"kind": nn.Linear(3, 2), "place": deep})
    model = nn.ModuleDict({"heads": heads, "last": nn.Linear(3, 3)})
    weights = [name for name in with_role("head", model) if name.endswith("weight")]
    assert weights == ["heads.kind.weight", "heads.place.2.weight"]
    attention = nn.ModuleDict({"heads": nn.ModuleList([nn.Linear(3, 2)]), "last": nn.Linear(2, 3)})
    assert with_role("head", attention) == []


def test_a_model_of_one_label_has_a_head():
    class Reward(nn.Conv1d):
        """A layer of another kind."""

    model: Any = nn.ModuleDict({"reward": Reward(3, 1, 1), "policy": nn.Linear(3, 2)})
    model.num_labels = True  # no number
    assert with_role("head", model) == []
    model.num_labels = 1
    assert with_role("head", model) == ["reward.weight", "reward.bias"]


def test_a_parametrized_head_is_the_head():
    head = nn.utils.parametrizations.weight_norm(nn.Linear(3, 5))
    found = with_role("head", nn.ModuleDict({"a": nn.Linear(3, 3), "head": head}))
    assert found == ["head.bias", *(f"head.parametrizations.weight.original{i}" for i in (0, 1))]


HEADS = ["output", "embed_out", "unembed", "to_logits", "decoder", "lm_head", "readout"]
POSITIONS = ["pos", "pos_emb", "wpe", "wte", "pos_encoding", "query_embed", "latents", "where"]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("position", POSITIONS)
def test_neither_head_nor_positions_are_matrices_whatever_their_names(head: str, position: str):
    found = with_role("matrix", Words(head, position))
    assert found == [f"blocks.{place}.weight" for place in range(3)]


class FullyShardedDataParallel(nn.Module):
    """Has the names of torch's, which needs a process group."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._fsdp_wrapped_module = module


class DistributedDataParallel(nn.Module):
    """Likewise."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def checkpointed(module: nn.Module) -> nn.Module:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    return checkpoint_wrapper(module)


def test_wrappers_are_looked_through():
    plain = Transformer(tied=True)
    expected = roles(plain)
    model = Transformer(tied=True)
    model.blocks[0] = checkpointed(model.blocks[0])
    model.blocks[1] = FullyShardedDataParallel(model.blocks[1])
    wrapped = DistributedDataParallel(torch.compile(model, backend="eager"))  # type: ignore[arg-type]
    assert roles(wrapped) == expected
    assert roles(nn.DataParallel(model)) == expected
    assert modules_by_path(wrapped)["blocks.1"].norm1 is not None
    pairs = dict(wrapped.named_parameters())
    assert any(name.startswith("module._orig_mod.blocks.1._fsdp") for name in pairs)
    assert names(pairs.items()) == names(plain)


def test_a_module_called_module_is_no_wrapper():
    model = nn.ModuleDict({"module": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    assert names(model)[0] == "module.weight"
    assert names(model.named_parameters())[0] == "module.weight"


def test_names_alone_tell_biases_and_matrices():
    assert roles(nn.Linear(2, 2).named_parameters()) == {"weight": {"matrix"}, "bias": {"bias"}}


def test_a_tensor_without_a_name_is_refused():
    with pytest.raises(OptimizerError, match="got a Parameter without a name"):
        inventory(nn.Linear(2, 2).parameters())  # type: ignore[arg-type]
