"""Names, places and roles of parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models import Convnet, Transformer
from torch import nn

from nshtrainer.optimizer.groups.parameters import inventory


def roles(model: Any) -> dict[str, set[str]]:
    return {parameter.name: set(parameter.roles) for parameter in inventory(model)}


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
