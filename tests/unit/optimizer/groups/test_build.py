from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import nn

from nshtrainer.configs import (
    AdamConfig,
    AdamWConfig,
    LBFGSConfig,
    MuonConfig,
    SGDConfig,
)
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer import OptimizerConfigBase, optimizer_registry
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase
from nshtrainer.types import NonNegative


def new(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (new(2), "got one Parameter; give a list"),
        (None, "got one NoneType; give a list"),
        ([{"params": [new(2)]}, new(2)], "params mixes group dicts and bare parameters"),
        ([("w", new(2)), new(2)], "the parameters: mixes named and bare parameters"),
        ([{"lr": 1.0}], "parameter group 0: it has no 'params'"),
        ([{"params": {new(2)}}], "parameter group 0: params is a set"),
        ([{"params": [new(2), 3]}], "parameter group 0: 3 is a int, not a parameter"),
        (["weight"], "'weight' is a str, not a parameter"),
        ([{"params": []}], "there are no parameters"),
        (nn.ReLU(), "there are no parameters to optimize; give model.parameters()"),
    ],
)
def test_what_is_no_parameter_is_refused(given: Any, text: str):
    with pytest.raises(OptimizerError, match=text):
        AdamWConfig().create_optimizer(given)


def test_a_parameter_in_two_groups_is_refused_by_name():
    tied = new(2, 3)
    groups = [
        {"params": [("head.weight", tied)], "name": "head"},
        {"params": [("embed.weight", tied)]},
    ]
    with pytest.raises(OptimizerError, match=r"'embed.weight' \(2, 3\).*0 \('head'\).*group 1"):
        AdamWConfig().create_optimizer(groups)


def test_a_parameter_twice_in_one_group_is_refused_where_torch_warns():
    param = new(2)
    with pytest.raises(OptimizerError, match=r"number 1 \(2,\) is twice in .* give a tied"):
        AdamWConfig().create_optimizer([param, param])


def test_one_group_may_be_empty():
    optimizer = AdamWConfig().create_optimizer([{"params": []}, {"params": new(2)}])
    assert [len(group["params"]) for group in optimizer.param_groups] == [0, 1]


def test_a_group_that_has_a_tensor_for_its_rate_or_no_parameter_keeps_its_own():
    rate = torch.tensor(0.5)
    groups = [{"params": []}, {"params": new(2), "lr": rate}]
    empty, other = AdamWConfig(tensor_lr=True).create_optimizer(groups).param_groups
    assert empty["lr"] == 1e-3
    assert other["lr"] is rate


def test_a_module_may_stand_in_a_group():
    layer = nn.Linear(2, 1)
    (group,) = AdamWConfig().create_optimizer([{"params": layer, "lr": 0.5}]).param_groups
    assert group["params"] == list(layer.parameters())
    assert "param_names" not in group


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lr": -0.1}, r"lr: must be >= 0 \(got -0.1\)"),
        ({"betas": (0.9, 1.0)}, "betas.1: must be < 1"),
        ({"betas": (0.9, 0.99, 0.999)}, "betas"),
        ({"weight_decay": float("nan")}, "weight_decay: must be a finite number"),
        ({"weigth_decay": 0.0}, "weigth_decay: unknown key 'weigth_decay'; did you mean 'weight_d"),
        ({"zzz": 0.0}, "zzz: unknown key 'zzz' .*lr"),
        ({"fused": True, "foreach": True}, ": fused and foreach do not go together"),
    ],
)
def test_an_option_of_a_group_is_checked(options: dict[str, Any], text: str):
    with pytest.raises(OptimizerError, match=rf"parameter group 0.*{text}"):
        AdamWConfig().create_optimizer([{"params": [new(2)], **options}])


def test_the_options_of_a_group_are_checked_together_with_the_configs():
    config = SGDConfig(momentum=0.9, nesterov=True)
    with pytest.raises(OptimizerError, match="nesterov needs momentum"):
        config.create_optimizer([{"params": [new(2)], "momentum": 0.0}])
    assert SGDConfig().create_optimizer([{"params": [new(2)], "nesterov": True, "momentum": 0.5}])


def test_keys_that_torch_uses_itself_are_free():
    group = {"params": [new(2)], "name": "a", "initial_lr": 0.1, "param_names": ["w"]}
    (made,) = AdamWConfig().create_optimizer([group]).param_groups
    assert (made["name"], made["initial_lr"], made["param_names"]) == ("a", 0.1, ["w"])


def test_tensors_inside_a_pair_are_checked_and_passed_on():
    betas = (torch.tensor(0.9), torch.tensor(0.99))
    (made,) = AdamConfig().create_optimizer([{"params": [new(2)], "betas": betas}]).param_groups
    assert made["betas"] is betas
    with pytest.raises(OptimizerError, match=r"betas\.1"):
        AdamConfig().create_optimizer([{"params": [new(2)], "betas": (0.9, torch.tensor(1.5))}])


def test_muon_names_the_parameters_that_are_no_matrices():
    model = nn.Sequential(nn.Linear(2, 3), *(nn.LayerNorm(3) for _ in range(3)))
    with pytest.raises(
        OptimizerError, match=r"2 dimensions only.*AdamW: '0.bias' \(3,\).*and 2 more"
    ):
        MuonConfig().create_optimizer(model)
    with pytest.raises(OptimizerError, match=r"number 1 \(3,\)$"):
        MuonConfig().create_optimizer(model[0].parameters())


def test_lbfgs_refuses_several_groups():
    with pytest.raises(OptimizerError, match="got 2 parameter groups"):
        LBFGSConfig().create_optimizer([{"params": [new(2)]}, {"params": [new(2)]}])


class ShadowSGDConfig(TorchOptimizerConfigBase):
    """SGD with an option that no torch has."""

    target = "torch.optim:SGD"
    name: Literal["shadow"] = "shadow"
    lr: NonNegative = 1e-3
    shadow: NonNegative = 0.0


def test_an_unknown_option_at_its_default_is_left_out():
    assert "shadow" not in ShadowSGDConfig().create_optimizer([new(2)]).defaults


def test_an_unknown_option_in_use_is_refused_with_the_version_of_torch():
    text = (
        rf"SGD of torch {torch.__version__.split('+')[0]}.* has no option 'shadow'; leave it at 0.0"
    )
    with pytest.raises(OptimizerError, match=text):
        ShadowSGDConfig(shadow=0.5).create_optimizer([new(2)])
    with pytest.raises(OptimizerError, match="no option 'shadow'"):
        ShadowSGDConfig().create_optimizer([{"params": [new(2)], "shadow": 0.5}])


def test_a_class_that_this_torch_lacks_is_refused():
    class FutureConfig(TorchOptimizerConfigBase):
        target = "torch.optim:Future"
        name: Literal["future"] = "future"

    with pytest.raises(
        OptimizerError, match=r"torch 2.* has no torch.optim.Future; install a newer"
    ):
        FutureConfig().create_optimizer([new(2)])


def test_an_optimizer_of_ones_own_is_a_member_of_the_registry():
    with optimizer_registry.scoped():

        @optimizer_registry.register
        class MyOptimizerConfig(OptimizerConfigBase):
            name: Literal["my_optimizer"] = "my_optimizer"
            lr: NonNegative = 0.1

            def create_optimizer(self, params: Any) -> torch.optim.Optimizer:
                return torch.optim.SGD(params, lr=self.lr)

        assert optimizer_registry["my_optimizer"] is MyOptimizerConfig
        assert MyOptimizerConfig(lr=0.5).create_optimizer([new(2)]).defaults["lr"] == 0.5
    assert "my_optimizer" not in optimizer_registry


def test_the_state_of_another_optimizer_is_refused_before_it_breaks_a_step():
    param = nn.Parameter(torch.ones(2))
    other = SGDConfig(momentum=0.9).create_optimizer([param])
    with pytest.raises(
        OptimizerError, match=r"another optimizer: it has no betas, eps, which AdamW"
    ):
        AdamWConfig().create_optimizer([param]).load_state_dict(other.state_dict())


def test_a_state_without_a_switch_that_came_later_is_taken():
    param = nn.Parameter(torch.ones(2))
    state = AdamWConfig().create_optimizer([param]).state_dict()
    for switch in ("maximize", "capturable", "differentiable", "decoupled_weight_decay"):
        del state["param_groups"][0][switch]
    optimizer = AdamWConfig().create_optimizer([param])
    optimizer.load_state_dict(state)
    param.grad = torch.ones(2)
    optimizer.step()
    assert optimizer.param_groups[0]["maximize"] is False
