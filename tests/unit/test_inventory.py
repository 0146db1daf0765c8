"""Names, places and roles of parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models import Convnet, Transformer
from torch import nn

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.inventory import inventory, modules_by_path


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
        "parametrizations.weight.original0": {"conv"},
        "parametrizations.weight.original1": {"conv"},
    }


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
