"""Parameter groups of timm's models, with random weights, against those that timm makes itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models import settings
from tests.peers.timm_alone import timm

from nshtrainer.configs import AdamWConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import inventory

DECAY, RATE = 0.05, 0.75

SWIN = {"depths": (1, 2), "num_heads": (2, 2), "embed_dim": 8, "img_size": 32, "window_size": 4}
SIZES: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {"depth": 3, "embed_dim": 16, "num_heads": 2, "img_size": 32},
    "convnext_atto": {"depths": (1, 1, 2, 1), "dims": (8, 8, 16, 16), "ls_init_value": 1e-6},
    "swin_tiny_patch4_window7_224": SWIN,
    "resnet18": {"channels": (8, 8, 16, 16)},
}
KINDS = {name.partition("_")[0].rstrip("18"): name for name in SIZES}

BLOCKS: dict[str, list[Any]] = {
    "vit": ["blocks.0", "blocks.1", "blocks.2"],
    "convnext": [
        "stages.0",
        "stages.1",
        {"any_of": ["stages.2.downsample", "stages.2.blocks.0"]},
        "stages.2.blocks.1",
        "stages.3",
    ],
    "swin": [
        "layers.0",
        {"any_of": ["layers.1.downsample", "layers.1.blocks.0"]},
        "layers.1.blocks.1",
    ],
    "resnet": [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)],
}
"""The layers that timm counts, written out: blocks, each with what leads down to it."""

every_kind = pytest.mark.parametrize("kind", KINDS)

Settings = dict[str, tuple[float, float]]


def made(kind: str) -> Any:
    name = KINDS[kind]
    return timm.create_model(name, pretrained=False, num_classes=4, **SIZES[name])


def of_each(groups: list[dict[str, Any]], model: Any, rate: str) -> Settings:
    """The rate and the weight decay of every parameter."""
    names = {param: name for name, param in model.named_parameters()}
    return {
        names[param]: (group.get(rate, 1.0), group["weight_decay"])
        for group in groups
        for param in group["params"]
    }


def ours(model: Any, **options: Any) -> Settings:
    config = AdamWConfig.model_validate({"lr": 1.0, "weight_decay": DECAY, **options})
    return of_each(config.create_optimizer(model).param_groups, model, "lr")


def listed(model: Any) -> set[str]:
    """What the model itself spares, as timm's `create_optimizer_v2` asks it."""
    return getattr(model, "no_weight_decay", set)()


def theirs_by_layer(model: Any) -> Settings:
    groups = timm.optim.param_groups_layer_decay(model, DECAY, listed(model), layer_decay=RATE)
    return of_each(groups, model, "lr_scale")


def spared(found: Settings) -> set[str]:
    return {name for name, (_, decay) in found.items() if decay == 0}


@every_kind
def test_what_has_no_decay_is_what_timm_spares(kind: str) -> None:
    model = made(kind)
    theirs = timm.optim.param_groups_weight_decay(model, DECAY, no_weight_decay_list=listed(model))
    assert ours(model, no_decay="ndim_below_2") == of_each(theirs, model, "lr_scale")


@pytest.mark.parametrize(
    ("kind", "number", "without_decay"),
    [
        # Two tokens; the patches' bias; two norms and four biases a block; the norm; the head's.
        ("vit", 44, 2 + 1 + 3 * (2 * 2 + 4) + 2 + 1),
        # The stem's bias and norm; a norm and three biases a block; norm and bias of three ways
        # down; the norm and the bias of the head.
        ("convnext", 65 - 5, 3 + 5 * (2 + 3) + 3 * 3 + 3),
        # The patches' bias and norm; two norms, four biases and a table a block; the norm of the
        # way down; the norm; the head's bias.
        ("swin", 50, 3 + 3 * (2 * 2 + 4 + 1) + 2 + 2 + 1),
        # Two parameters of a norm behind every convolution: the first, two a block, four ways
        # down; the bias of the last layer.
        ("resnet", 65, 2 * (1 + 8 * 2 + 4) + 1),
    ],
)
def test_biases_and_norms_are_counted_by_hand(kind: str, number: int, without_decay: int) -> None:
    found = ours(made(kind), no_decay="bias_and_norm")
    scales = {name for name in found if name.endswith(".gamma")}
    assert len(found) == number + len(scales)
    assert len(spared(found)) == without_decay
    assert not spared(found) & scales


def test_the_scales_of_a_convnext_are_vectors_and_neither_biases_nor_norms() -> None:
    model = made("convnext")
    scales = {name for name, _ in model.named_parameters() if name.endswith(".gamma")}
    by_role, by_shape = (ours(model, no_decay=kind) for kind in ("bias_and_norm", "ndim_below_2"))
    assert spared(by_shape) - spared(by_role) == scales
    assert len(scales) == 5


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("vit", {"cls_token", "pos_embed"}),
        (
            "swin",
            {
                f"layers.{block}.attn.relative_position_bias_table"
                for block in ("0.blocks.0", "1.blocks.0", "1.blocks.1")
            },
        ),
    ],
)
def test_what_a_model_lists_itself_is_spared_by_both_presets(kind: str, names: set[str]) -> None:
    model = made(kind)
    matrices = {name for name, param in model.named_parameters() if param.ndim > 1}
    for preset in ("bias_and_norm", "ndim_below_2"):
        assert spared(ours(model, no_decay=preset)) & matrices == names
    assert not spared(ours(model))


@pytest.mark.parametrize(("kind", "blocks"), [("convnext", 5), ("resnet", 8)])
def test_the_rates_of_the_layers_of_a_convnet_are_those_of_timm(kind: str, blocks: int) -> None:
    model = made(kind)
    layers = {"rate": RATE, "layers": BLOCKS[kind]}
    found = ours(model, no_decay="ndim_below_2", layer_decay=layers)
    assert found == theirs_by_layer(model)
    assert {rate for rate, _ in found.values()} == {RATE**power for power in range(blocks + 2)}


@pytest.mark.parametrize("kind", ["vit", "swin"])
def test_the_rates_of_a_transformer_are_those_of_timm_but_for_the_last_norm(kind: str) -> None:
    """What stands behind the blocks has the full rate here."""
    model = made(kind)
    layers = {"rate": RATE, "layers": BLOCKS[kind]}
    found = ours(model, no_decay="ndim_below_2", layer_decay=layers)
    theirs = theirs_by_layer(model)
    norm = {"norm.weight", "norm.bias"}
    assert {name for name in found if found[name] != theirs[name]} == norm
    assert {found[name] for name in norm} == {(1.0, 0.0)}
    assert {theirs[name] for name in norm} == {(RATE, 0.0)}


def test_the_blocks_of_a_vit_are_found_and_the_stages_of_a_convnext() -> None:
    model = made("vit")
    by_hand = {"rate": RATE, "layers": BLOCKS["vit"]}
    assert ours(model, layer_decay=RATE) == ours(model, layer_decay=by_hand)
    stages = AdamWConfig(lr=1.0, layer_decay=0.5).create_optimizer(made("convnext"))
    assert settings(stages, "lr") == {f"layer_{i}": (0.5 ** (5 - i),) for i in range(6)}


def test_the_stages_of_a_resnet_are_four_stacks_and_it_is_said() -> None:
    with pytest.raises(OptimizerError, match=r"several stacks of layers \(layer1\.\*, "):
        ours(made("resnet"), layer_decay=RATE)
    stages = ours(made("resnet"), layer_decay={"rate": 0.5, "layers": "layer*"})
    assert stages["conv1.weight"][0] == 0.5**5
    assert stages["layer4.0.conv1.weight"][0] == 0.5
    assert stages["fc.weight"][0] == 1.0


@pytest.mark.parametrize(
    ("kind", "matrices", "convolutions"),
    # Attention and feed-forward net are four matrices a block; a way down is one in a Swin.
    [("vit", 3 * 4, 1), ("swin", 3 * 4 + 1, 1), ("convnext", 0, 19), ("resnet", 0, 1 + 8 * 2 + 4)],
)
def test_hidden_weights_are_counted_by_hand(kind: str, matrices: int, convolutions: int) -> None:
    roles = [parameter.roles for parameter in inventory(made(kind))]
    assert sum("matrix" in role for role in roles) == matrices
    assert sum("conv" in role for role in roles) == convolutions


# -- where timm is wrong ---------------------------------------------------------------------------


def test_timms_factors_are_for_its_own_schedulers_and_ours_are_rates() -> None:
    model = made("vit")
    groups = timm.optim.param_groups_layer_decay(model, DECAY, layer_decay=RATE)
    built = torch.optim.AdamW(groups, lr=1.0)
    assert {group["lr"] for group in built.param_groups} == {1.0}
    own = AdamWConfig(lr=1.0, layer_decay=RATE).create_optimizer(model)
    assert {group["lr"] for group in own.param_groups} == {RATE**power for power in range(5)}


def test_inside_another_module_timm_no_longer_spares_what_its_model_lists() -> None:
    model = made("vit")
    inside = torch.nn.ModuleDict({"backbone": model})
    theirs = timm.optim.param_groups_weight_decay(inside, DECAY, no_weight_decay_list=listed(model))
    token = "backbone.cls_token"
    assert of_each(theirs, inside, "lr_scale")[token] == (1.0, DECAY)
    assert ours(inside, no_decay="ndim_below_2")[token] == (1.0, 0.0)
