"""Parameter groups of transformers' models, from configs with random weights."""

from __future__ import annotations

from typing import Any

import pytest
from tests.models import names_in, settings

pytest.importorskip("transformers")

from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    ResNetConfig,
    ResNetForImageClassification,
    Trainer,
    ViTConfig,
    ViTForImageClassification,
)

from nshtrainer.configs import AdamWConfig
from nshtrainer.optimizer.inventory import inventory

DEPTH = 3


def gpt2() -> Any:
    return GPT2LMHeadModel(GPT2Config(n_layer=DEPTH, n_embd=16, n_head=2, vocab_size=32))


def llama(**options: Any) -> Any:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(num_hidden_layers=DEPTH, vocab_size=32, **sizes, **options))


def vit() -> Any:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    return ViTForImageClassification(
        ViTConfig(num_hidden_layers=DEPTH, image_size=32, patch_size=16, num_labels=4, **sizes)
    )


def resnet() -> Any:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]}
    return ResNetForImageClassification(ResNetConfig(layer_type="basic", num_labels=4, **sizes))


MODELS = {"gpt2": gpt2, "llama": llama, "vit": vit, "resnet": resnet}
every_model = pytest.mark.parametrize("name", MODELS)


def with_role(model: Any, role: str) -> set[str]:
    return {parameter.name for parameter in inventory(model) if role in parameter.roles}


def groups(model: Any, **options: Any) -> dict[str, list[str]]:
    config = AdamWConfig.model_validate({"lr": 1.0, **options})
    return names_in(config.create_optimizer(model), model)


@every_model
def test_every_parameter_is_in_one_group(name: str) -> None:
    model = MODELS[name]()
    found = groups(model, no_decay="bias_and_norm", layer_decay=0.5)
    listed = sorted(one for members in found.values() for one in members)
    assert listed == sorted(name for name, _ in model.named_parameters())


def spared_by_transformers(model: Any) -> set[str]:
    decayed = Trainer.get_decay_parameter_names(None, model)  # type: ignore[arg-type]
    return {name for name, _ in model.named_parameters()} - set(decayed)


@pytest.mark.parametrize("name", ["gpt2", "llama", "vit"])
def test_biases_and_norms_are_those_that_transformers_spares(name: str) -> None:
    model = MODELS[name]()
    spared = groups(model, no_decay="bias_and_norm")["no_decay"]
    assert set(spared) == spared_by_transformers(model)


def test_the_batch_norms_that_transformers_lets_decay_are_norms_here() -> None:
    model = resnet()
    norms = {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for name in ("weight", "bias")
    }
    spared = set(groups(model, no_decay="bias_and_norm")["no_decay"])
    assert spared == norms | {"classifier.1.bias"}
    assert {name for name in spared - spared_by_transformers(model) if "weight" in name} == {
        name for name in norms if "weight" in name
    }


@pytest.mark.parametrize(
    ("name", "head", "embedding"),
    [
        ("gpt2", set(), {"transformer.wte.weight", "transformer.wpe.weight"}),
        ("llama", {"lm_head.weight"}, {"model.embed_tokens.weight"}),
        (
            "vit",
            {"classifier.weight", "classifier.bias"},
            {"vit.embeddings.cls_token", "vit.embeddings.position_embeddings"},
        ),
        ("resnet", {"classifier.1.weight", "classifier.1.bias"}, set()),
    ],
)
def test_head_and_embeddings_are_found(name: str, head: set[str], embedding: set[str]) -> None:
    model = MODELS[name]()
    assert with_role(model, "embedding") == embedding
    tied = {"transformer.wte.weight"} if name == "gpt2" else set()
    assert with_role(model, "head") == head | tied


def test_a_tied_embedding_of_llama_is_also_the_head() -> None:
    model = llama(tie_word_embeddings=True)
    assert (
        with_role(model, "head") == with_role(model, "embedding") == {"model.embed_tokens.weight"}
    )


@pytest.mark.parametrize(
    ("name", "per_block", "rest"),
    # Hidden matrices: those of attention and of the feed-forward net, of each block.
    [("gpt2", 4, 0), ("llama", 7, 0), ("vit", 6, 0), ("resnet", 0, 0)],
)
def test_the_hidden_matrices_are_counted_by_hand(name: str, per_block: int, rest: int) -> None:
    assert len(with_role(MODELS[name](), "matrix")) == DEPTH * per_block + rest


def test_the_convolutions_of_a_resnet_are_all_its_other_weights() -> None:
    model = resnet()
    four = {name for name, param in model.named_parameters() if param.ndim == 4}
    assert with_role(model, "conv") == four
    assert with_role(vit(), "conv") == {"vit.embeddings.patch_embeddings.projection.weight"}


@pytest.mark.parametrize(
    ("name", "stack", "first", "last"),
    [
        ("gpt2", "transformer.h.{}.", {"transformer.w"}, {"transformer.ln_f"}),
        ("llama", "model.layers.{}.", {"model.embed_tokens"}, {"model.norm", "lm_head"}),
        ("vit", None, {"vit.embeddings."}, {"vit.layernorm", "classifier"}),
    ],
)
def test_the_layers_of_a_transformer_are_its_blocks(
    name: str, stack: str | None, first: set[str], last: set[str]
) -> None:
    model = MODELS[name]()
    config = AdamWConfig(lr=1.0, layer_decay=0.5)
    optimizer = config.create_optimizer(model)
    assert settings(optimizer, "lr") == {
        f"layer_{number}": (0.5 ** (DEPTH + 1 - number),) for number in range(DEPTH + 2)
    }
    found = names_in(optimizer, model)
    assert all(one.startswith(tuple(first)) for one in found["layer_0"])
    assert all(one.startswith(tuple(last)) for one in found[f"layer_{DEPTH + 1}"])
    for number in range(DEPTH):
        prefix = stack.format(number) if stack else f".{number}."
        assert all(prefix in one for one in found[f"layer_{number + 1}"])


def test_the_layers_of_a_resnet_are_its_stages() -> None:
    found = groups(resnet(), layer_decay=0.5)
    assert list(found) == ["layer_0", "layer_1", "layer_2", "layer_3"]
    assert all(name.startswith("resnet.encoder.stages.1") for name in found["layer_2"])
    assert found["layer_3"] == ["classifier.1.weight", "classifier.1.bias"]
