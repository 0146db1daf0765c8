from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from nshtrainer import configs

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("AdamW", {"betas": (0.9, 1.0)}, "betas.1"),
    ("AdamW", {"betas": (-0.1, 0.9)}, "betas.0"),
    ("AdamW", {"betas": (0.9,)}, "betas"),
    ("AdamW", {"eps": -1e-8}, "eps"),
    ("AdamW", {"weight_decay": -1.0}, "weight_decay"),
    ("AdamW", {"fused": True, "foreach": True}, "fused and foreach do not go together"),
    ("SGD", {"fused": True, "differentiable": True}, "fused and differentiable do not go together"),
    ("SGD", {"nesterov": True}, "nesterov needs momentum > 0 and dampening 0"),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening 0"),
    ("SGD", {"momentum": -0.1}, "momentum"),
    ("SGD", {"momentum": 1.5}, "momentum"),
    ("SGD", {"dampening": -1.0}, "dampening"),
    ("ASGD", {"lambd": -1.0}, "lambd"),
    ("ASGD", {"alpha": -1.0}, "alpha"),
    ("ASGD", {"t0": -1.0}, "t0"),
    ("RMSprop", {"alpha": 1.5}, "alpha"),
    ("RMSprop", {"momentum": -1.0}, "momentum"),
    ("Rprop", {"etas": (1.0, 1.2)}, "etas.0"),
    ("Rprop", {"etas": (0.0, 1.2)}, "etas.0"),
    ("Rprop", {"etas": (0.5, 1.0)}, "etas.1"),
    ("Rprop", {"step_sizes": (50, 1)}, r"step_sizes are \(smallest, largest\)"),
    ("Adadelta", {"rho": 1.1}, "rho"),
    ("Adagrad", {"lr_decay": -0.5}, "lr_decay"),
    ("Adagrad", {"initial_accumulator_value": -1.0}, "initial_accumulator_value"),
    ("NAdam", {"momentum_decay": -0.2}, "momentum_decay"),
    ("SparseAdam", {"lr": 0.0}, "lr"),
    ("SparseAdam", {"eps": 0.0}, "eps"),
    ("Adafactor", {"eps": (-1.0, 1e-3)}, "eps.0"),
    ("Adafactor", {"eps": (None, -1e-3)}, "eps.1"),
    ("Adafactor", {"eps": (1e-3, None)}, "eps.1"),
    ("Adafactor", {"beta2_decay": 0.8}, "beta2_decay"),
    ("Adafactor", {"d": 0.5}, "d"),
    ("Muon", {"momentum": 1.0}, "momentum"),
    ("Muon", {"ns_steps": 0}, "ns_steps"),
    ("Muon", {"ns_steps": 100}, "ns_steps"),
    ("Muon", {"ns_coefficients": (1.0, 2.0)}, "ns_coefficients"),
    ("Muon", {"adjust_lr_fn": "other"}, "adjust_lr_fn"),
    ("LBFGS", {"max_iter": 0}, "max_iter"),
    ("LBFGS", {"max_eval": 0}, "max_eval"),
    ("LBFGS", {"history_size": 0}, "history_size"),
    ("LBFGS", {"tolerance_grad": -1.0}, "tolerance_grad"),
    ("LBFGS", {"line_search_fn": "armijo"}, "line_search_fn"),
]


@pytest.mark.parametrize(("name", "options", "text"), REFUSED)
def test_a_value_out_of_range_is_refused(name: str, options: dict[str, Any], text: str):
    with pytest.raises(ValidationError, match=text):
        getattr(configs, f"{name}Config")(**options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("AdamW", {"lr": 0, "betas": [0, 0.95], "eps": 0}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("SGD", {"momentum": 1.0}),
        ("Rprop", {"step_sizes": (1, 1)}),
        ("Adafactor", {"eps": (1e-30, 0)}),
        ("Muon", {"adjust_lr_fn": "match_rms_adamw"}),
        ("LBFGS", {"max_eval": 3, "line_search_fn": "strong_wolfe"}),
    ],
)
def test_a_value_on_the_edge_is_accepted(name: str, options: dict[str, Any]):
    assert getattr(configs, f"{name}Config")(**options)


def test_foreach_takes_a_tensor_lr_only_with_capturable():
    with pytest.raises(ValidationError, match="foreach takes a tensor_lr only with capturable"):
        configs.AdamWConfig(foreach=True, tensor_lr=True)
