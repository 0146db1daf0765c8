"""Names, places and roles of parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models import Convnet, Transformer
from torch import nn

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import inventory, modules_by_path


def roles(model: Any) -> dict[str, set[str]]:
    return {parameter.name: set(parameter.roles) for parameter in inventory(model)}


def names(params: Any) -> list[str]:
    return [parameter.name for parameter in inventory(params)]


@pytest.mark.parametrize("model", [Transformer(), Transformer(tied=True), Convnet()])
def test_every_parameter_is_there_once_in_the_order_of_torch(model: nn.Module):
    found = inventory(model)
    assert [(p.name, id(p.tensor)) for p in found] == [
        (name, id(tensor)) for name, tensor in model.named_parameters()
    ]


def test_the_roles_in_a_transformer():
    found = roles(Transformer(depth=1))
    assert found == {
        "pos_embed": {"embedding"},
        "scale": {"scalar"},
        "embed.weight": {"embedding"},
        "blocks.0.norm1.weight": {"norm"},
        "blocks.0.norm1.bias": {"norm", "bias"},
        "blocks.0.qkv.weight": {"matrix"},
        "blocks.0.qkv.bias": {"bias"},
        "blocks.0.out.weight": {"matrix"},
        "blocks.0.out.bias": {"bias"},
        "blocks.0.norm2.weight": {"norm"},
        "blocks.0.norm2.bias": {"norm", "bias"},
        # A layer called `fc` in a stack of layers is not the output of the model.
        "blocks.0.fc.weight": {"matrix"},
        "blocks.0.fc.bias": {"bias"},
        "blocks.0.proj.weight": {"matrix"},
        "blocks.0.proj.bias": {"bias"},
        "norm.weight": {"norm"},
        "norm.bias": {"norm", "bias"},
        "lm_head.weight": {"head"},
        "lm_head.bias": {"head", "bias"},
    }


def test_the_roles_in_a_convnet():
    assert roles(Convnet()) == {
        "stem.0.weight": {"conv"},
        "stem.1.weight": {"norm"},
        "stem.1.bias": {"norm", "bias"},
        "up.weight": {"conv"},
        "up.bias": {"bias"},
        "classifier.0.weight": {"matrix"},
        "classifier.0.bias": {"bias"},
        # The last layer of a container that goes by the name of an output.
        "classifier.2.weight": {"head"},
        "classifier.2.bias": {"head", "bias"},
    }


def test_a_name_that_only_contains_the_word_has_no_role():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.debias = nn.Linear(2, 2)
            self.normalizer = nn.Linear(2, 2)
            self.biased = nn.Parameter(torch.ones(2))
            self.header = nn.Linear(2, 2)

    assert roles(Model()) == {
        "biased": set(),
        "debias.weight": {"matrix"},
        "debias.bias": {"bias"},
        "normalizer.weight": {"matrix"},
        "normalizer.bias": {"bias"},
        "header.weight": {"matrix"},
        "header.bias": {"bias"},
    }


def test_a_norm_of_ones_own_is_one_by_its_class():
    class MyRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(2))

    class Subclass(nn.BatchNorm1d):
        pass

    assert roles(nn.Sequential(MyRMSNorm(), Subclass(2, affine=True))) == {
        "0.gain": {"norm"},
        "1.weight": {"norm"},
        "1.bias": {"norm", "bias"},
    }


def test_the_biases_of_torchs_attention_and_recurrent_layers_are_biases():
    model = nn.ModuleDict(
        {
            "attention": nn.MultiheadAttention(4, 2, add_bias_kv=True),
            "gru": nn.GRU(4, 4, bidirectional=True),
        }
    )
    found = roles(model)
    biases = {name for name, role in found.items() if role == {"bias"}}
    assert biases == {name for name in found if "bias" in name}
    assert found["gru.weight_hh_l0_reverse"] == found["attention.in_proj_weight"] == {"matrix"}


def test_what_a_model_says_is_its_output_is_the_head():
    class Told(nn.Module):
        def __init__(self, fails: bool) -> None:
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = nn.Linear(2, 2, bias=False)
            self.fails = fails

        def get_output_embeddings(self) -> nn.Module:
            if self.fails:
                raise NotImplementedError
            return self.a

    assert roles(nn.ModuleDict({"net": Told(False)})) == {
        "net.a.weight": {"head"},
        "net.b.weight": {"matrix"},
    }
    assert roles(Told(True)) == {"a.weight": {"matrix"}, "b.weight": {"matrix"}}


def test_a_head_without_a_matrix_is_none():
    assert roles(nn.ModuleDict({"head": nn.LayerNorm(2), "fc": nn.ReLU()})) == {
        "head.weight": {"norm"},
        "head.bias": {"norm", "bias"},
    }


def test_a_tied_weight_has_all_its_names_and_all_its_roles():
    tied = next(p for p in inventory(Transformer(tied=True)) if len(p.places) > 1)
    assert tied.names == ("embed.weight", "lm_head.weight")
    assert tied.roles == {"embedding", "head"}


def test_a_parametrized_weight_belongs_to_the_layer():
    layer = nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 2, 3))
    assert roles(layer) == {
        "bias": {"bias"},
        "parametrizations.weight.original0": set(),
        "parametrizations.weight.original1": {"conv"},
    }


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
def test_the_gains_of_a_weight_norm_are_no_matrix(norm: Any):
    found = inventory(norm(nn.Linear(3, 4)))
    of_shape = {tuple(parameter.tensor.shape): set(parameter.roles) for parameter in found}
    assert of_shape == {(4,): {"bias"}, (4, 1): set(), (4, 3): {"matrix"}}


def test_a_single_row_or_column_is_no_matrix():
    found = roles(nn.Sequential(nn.Linear(1, 3), nn.Linear(3, 1), nn.Linear(3, 3)))
    assert found["0.weight"] == found["1.weight"] == set()
    assert roles(nn.GRU(1, 3))["weight_ih_l0"] == set()
    assert roles(nn.GRU(2, 3))["weight_ih_l0"] == {"matrix"}


def test_a_bare_matrix_is_none_and_a_subclass_of_a_linear_layer_has_one():
    class RowLinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 4))

    class Router(RowLinear):
        def __init__(self) -> None:
            super().__init__()
            self.queries = nn.Parameter(torch.ones(3, 4))

    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 4))

    assert roles(nn.ModuleList([RowLinear(), Router(), Gate()])) == {
        "0.weight": {"matrix"},
        "1.weight": {"matrix"},
        "1.queries": {"matrix"},
        "2.weight": set(),
    }


# -- norms -----------------------------------------------------------------------------------------

NORMS = {
    name: cls
    for name, cls in vars(nn).items()
    if isinstance(cls, type) and "Norm" in name and "Lazy" not in name and "Local" not in name
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", NORMS)
def test_every_norm_of_torch_is_a_norm(name: str):
    sizes = (2, 4) if name == "GroupNorm" else (4,)
    options = {"affine": True} if name.startswith("Instance") else {}
    module = NORMS[name](*sizes, **options)
    found = roles(module)
    assert found
    assert all("norm" in role for role in found.values())


def holder(name: str, shape: tuple[int, ...], *bases: type[nn.Module]) -> nn.Module:
    """A module of a class with a name, which holds one parameter."""
    module = type(name, bases or (nn.Module,), {})()
    module.weight = nn.Parameter(torch.ones(shape))
    return module


@pytest.mark.parametrize(
    ("name", "shape", "is_norm"),
    [
        ("MambaRMSNormGated", (4,), True),
        ("Qwen3NextRMSNormGated", (4,), True),
        ("LayerNormFp32", (4,), True),
        ("Layernorm", (4,), True),
        ("LayerNormalization", (4,), True),
        ("ConvNextV2GRN", (1, 1, 1, 4), True),
        ("MyNorm", (4, 4), True),
        ("PreNormAttention", (4, 4), False),  # a matrix
        ("WeightNormLinear", (4, 1), False),  # the gains of a layer
        ("NormalLayer", (4,), False),
        ("Enormous", (4,), False),
    ],
)
def test_a_norm_is_known_by_a_word_in_the_name_of_its_class(
    name: str, shape: tuple[int, ...], is_norm: bool
):
    assert ("norm" in roles(holder(name, shape))["weight"]) is is_norm


def test_a_module_with_layers_in_it_is_no_norm_by_a_word():
    module = holder("PreNormBlock", (4,))
    module.inner = nn.Linear(4, 4)
    assert roles(module)["weight"] == set()


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
