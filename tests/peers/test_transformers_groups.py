"""Parameter groups of transformers' models, from configs with random weights."""

from __future__ import annotations

from typing import Any

import pytest
from tests.models import names_in, settings
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
from nshtrainer.optimizer.groups.parameters import inventory

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


@pytest.mark.parametrize(
    ("name", "number", "without_decay"),
    [
        # Words and positions; in a block two norms and four matrices with biases; a norm. The
        # head is the words again.
        ("gpt2", 2 + DEPTH * (4 + 8) + 2, DEPTH * (4 + 4) + 2),
        # Words; in a block two norms of one parameter, and seven matrices; a norm; the head.
        ("llama", 1 + DEPTH * (2 + 7) + 1 + 1, DEPTH * 2 + 1),
        # Token, positions, patches with a bias; in a block two norms and six matrices with
        # biases; a norm; the head with a bias.
        ("vit", 4 + DEPTH * (4 + 12) + 2 + 2, 1 + DEPTH * (4 + 6) + 2 + 1),
        # A convolution with a norm, two in each of three layers, one on a way around; the head.
        ("resnet", 3 * (1 + 3 * 2 + 1) + 2, 2 * (1 + 3 * 2 + 1) + 1),
    ],
)
def test_the_groups_of_each_preset_are_counted_by_hand(
    name: str, number: int, without_decay: int
) -> None:
    model = MODELS[name]()

    def counts(preset: str) -> dict[str, int]:
        found = groups(model, no_decay=preset)
        return {group: len(members) for group, members in found.items()}

    (plain,) = AdamWConfig().create_optimizer(model).param_groups
    assert len(plain["params"]) == number
    apart = {"default": number - without_decay, "no_decay": without_decay}
    assert counts("bias_and_norm") == counts("ndim_below_2") == apart


@pytest.mark.parametrize(
    ("name", "first", "block", "last"),
    # With decay and without: before the blocks, in each of them, and behind them.
    [
        ("gpt2", (2, 0), (4, 8), (0, 2)),
        ("llama", (1, 0), (7, 2), (1, 1)),
        ("vit", (3, 1), (6, 10), (1, 3)),
    ],
)
def test_layers_with_and_without_decay_are_counted_by_hand(
    name: str, first: tuple[int, int], block: tuple[int, int], last: tuple[int, int]
) -> None:
    found = groups(MODELS[name](), no_decay="bias_and_norm", layer_decay=0.5)
    by_hand = {
        f"layer_{layer}{suffix}": number
        for layer, numbers in enumerate((first, *[block] * DEPTH, last))
        for suffix, number in zip(("", "/no_decay"), numbers, strict=True)
        if number
    }
    assert {group: len(members) for group, members in found.items()} == by_hand


def spared_by_transformers(model: Any) -> set[str]:
    decayed = Trainer.get_decay_parameter_names(None, model)  # type: ignore[arg-type]
    return {name for name, _ in model.named_parameters()} - set(decayed)


@pytest.mark.parametrize("name", ["gpt2", "llama", "vit"])
def test_biases_and_norms_are_those_that_transformers_spares(name: str) -> None:
    model = MODELS[name]()
    spared = groups(model, no_decay="bias_and_norm")["no_decay"]
    assert set(spared) == spared_by_transformers(model)


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
    model = resnet()
    optimizer = AdamWConfig(lr=1.0, layer_decay=0.5).create_optimizer(model)
    rates = {"layer_0": (0.125,), "layer_1": (0.25,), "layer_2": (0.5,), "layer_3": (1.0,)}
    assert settings(optimizer, "lr") == rates
    found = names_in(optimizer, model)
    assert all(name.startswith("resnet.encoder.stages.1") for name in found["layer_2"])
    assert found["layer_3"] == ["classifier.1.weight", "classifier.1.bias"]


# -- where transformers is wrong -------------------------------------------------------------------


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


def test_a_matrix_with_bias_in_its_name_does_not_decay_there_and_does_here() -> None:
    model = nn.ModuleDict({"debias": nn.Linear(2, 2)})
    assert spared_by_transformers(model) == {"debias.weight", "debias.bias"}
    assert groups(model, no_decay="bias_and_norm")["no_decay"] == ["debias.bias"]
