"""Roles in all architectures of transformers: every norm, and the head of every language model."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from transformers.models.auto import modeling_auto as auto

from nshtrainer.optimizer.groups.parameters import inventory

MODELS = Path(transformers.__file__).parent / "models"

# -- norms -----------------------------------------------------------------------------------------


def norms() -> Iterator[str]:
    """Yield the classes with the word in their names that hold nothing but vectors of ones."""
    for path in sorted(MODELS.glob("*/modeling_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and "norm" in node.name.lower():
                text = ast.unparse(node)
                gains = ("nn.Parameter(torch.ones(", "nn.Parameter(torch.zeros(")
                if any(gain in text for gain in gains) and "nn.Linear" not in text:
                    yield node.name


def test_every_norm_of_transformers_is_a_norm():
    names = set(norms())
    assert len(names) > 150
    assert {"MambaRMSNormGated", "Qwen3NextRMSNormGated", "LlamaRMSNorm"} <= names
    for name in names:
        module = type(name, (nn.Module,), {})()
        module.weight = nn.Parameter(torch.ones(4))
        (weight,) = inventory(module)
        assert weight.roles == {"norm"}, name


# -- heads -----------------------------------------------------------------------------------------

DIFFERENT = {
    # A part of the model that is called `head`, beside the head.
    *("Gemma3ForConditionalGeneration", "ModernBertDecoderForCausalLM", "ModernBertForMaskedLM"),
    *("ModernVBertForMaskedLM", "Phi4MultimodalForCausalLM", "T5Gemma2ForConditionalGeneration"),
    *("VibeVoiceAsrForConditionalGeneration", "Nemotron3_5TranscribeForConditionalGeneration"),
    # Two heads.
    *("BltForCausalLM", "LukeForMaskedLM"),
    # The model names its input embedding.
    "FSMTForConditionalGeneration",
}
MAPPINGS = (
    auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
NAMES = {cls: kind for mapping in MAPPINGS for kind, cls in mapping.items() if isinstance(cls, str)}


def shortened(config: Any) -> Any:
    """Leave two layers, also in the parts of a config."""
    for part in (config, *vars(config).values()):
        for key in ("num_hidden_layers", "n_layer", "encoder_layers", "decoder_layers"):
            if hasattr(part, key):
                setattr(part, key, 2)
        if isinstance(vars(part).get("layer_types") if hasattr(part, "__dict__") else None, list):
            part.layer_types = part.layer_types[:2]
    return config


def made(cls: str) -> Any:
    """A model without memory, or None if its config alone does not make one."""
    try:
        config = shortened(transformers.CONFIG_MAPPING[NAMES[cls]]())
        with torch.device("meta"):
            return getattr(transformers, cls)(config)
    except Exception:  # noqa: BLE001 - a package is missing, or the sizes do not fit
        return None


def matrices_with(role: str, model: Any) -> set[str]:
    return {p.name for p in inventory(model) if role in p.roles and p.tensor.ndim > 1}


@pytest.mark.slow
def test_the_head_of_a_language_model_is_found_without_asking_the_model():
    different, holders, same = set(), set(), 0
    for cls in NAMES:
        model = made(cls)
        output = model and model.get_output_embeddings()
        if output is None:
            continue
        told = {
            parameter.name
            for parameter in inventory(model)
            if parameter.tensor.ndim > 1 and any(at.module is output for at in parameter.places)
        }
        for module in model.modules():
            if hasattr(module, "get_output_embeddings"):
                module.get_output_embeddings = None
        if matrices_with("head", model) == told:
            same += 1
        else:
            different.add(cls)
        hidden = [p for p in inventory(model) if "matrix" in p.roles]
        modules = [place.module for p in hidden for place in p.places]
        holders |= {
            "Linear" if isinstance(module, nn.Linear) else type(module).__name__
            for module in modules
        }
    assert different <= DIFFERENT
    assert same > 180
    assert {"Linear", "Conv1D"} <= holders
    assert all(name.endswith(("Linear", "Conv1D", "Attention", "LSTM")) for name in holders), (
        holders
    )
