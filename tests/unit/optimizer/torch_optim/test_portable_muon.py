"""Muon of ours: torch's to the bit where it can be, and within 2 % of it in float32."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nshtrainer.configs import MuonConfig, POMuonConfig, RoutedOptimizerConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.torch_optim import portable_muon as muon
from nshtrainer.optimizer.torch_optim.portable_muon import PortableMuon, bfloat16_is_emulated

SHAPES = [(8, 20), (20, 8), (16, 16), (64, 96)]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"nesterov": False, "momentum": 0.8},
    {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.0},
    {"adjust_lr_fn": "original", "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5)},
]
every_option = pytest.mark.parametrize("options", OPTIONS, ids=str)


@pytest.fixture(params=[False, True], ids=["bfloat16", "emulated"])
def emulated(request: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(muon, "bfloat16_is_emulated", lambda: request.param)
    return request.param


def train(make: Any, steps: int, shapes: Any = SHAPES, **options: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    optimizer = make(params, lr=0.02, **options)
    move(optimizer, params, steps, generator)
    return params, optimizer, generator


def move(optimizer: Any, params: Any, steps: int, generator: torch.Generator) -> None:
    for _ in range(steps):
        for param in params:
            param.grad = torch.randn(param.shape, generator=generator)
        optimizer.step()


def assert_same_state(one: torch.optim.Optimizer, other: torch.optim.Optimizer) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    torch.testing.assert_close(ours["state"], theirs["state"], rtol=0, atol=0)


@every_option
def test_in_bfloat16_it_is_torchs_to_the_bit(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(muon, "bfloat16_is_emulated", lambda: False)
    ours, optimizer, _ = train(PortableMuon, 4, **options)
    theirs, torchs, _ = train(torch.optim.Muon, 4, **options)
    assert all(map(torch.equal, ours, theirs))
    assert optimizer.defaults == torchs.defaults
    assert_same_state(optimizer, torchs)


@every_option
def test_in_float32_the_update_is_within_two_percent_of_torchs(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(muon, "bfloat16_is_emulated", lambda: True)
    # In small matrices the roundings of bfloat16 alone come to more.
    shapes, options = [(64, 192), (192, 64), (128, 128)], {**options, "weight_decay": 0.0}
    start, _, _ = train(PortableMuon, 0, shapes, **options)
    ours, _, _ = train(PortableMuon, 1, shapes, **options)
    theirs, _, _ = train(torch.optim.Muon, 1, shapes, **options)
    for before, mine, yours in zip(start, ours, theirs, strict=True):
        assert (mine - yours).norm() < 0.02 * (yours - before).norm()


@pytest.mark.parametrize("columns", [32, 40, 64, 320])
@pytest.mark.parametrize("rank", [0, 1, 8, 32])
@pytest.mark.parametrize(
    ("coefficients", "steps"),
    [((3.4445, -4.775, 2.0315), 5), ((2.0, -1.5, 0.5), 11), ((8.2, -22.5, 15.9), 3)],
)
def test_in_float32_the_iterations_are_those_of_float64(
    columns: int, rank: int, coefficients: muon.Coefficients, steps: int
):
    torch.manual_seed(0)
    matrix = torch.randn(32, rank) @ torch.randn(rank, columns)
    matrix /= matrix.norm().clamp(min=1.0)
    exact = muon._iterated(matrix.double(), coefficients, steps)
    ours = muon._in_float32(matrix, coefficients, steps)
    assert (ours - exact).norm() <= 1e-3 * exact.norm()


@pytest.mark.parametrize("first", [PortableMuon, torch.optim.Muon])
@pytest.mark.usefixtures("emulated")
def test_states_are_interchangeable_with_torchs(first: Any):
    second = torch.optim.Muon if first is PortableMuon else PortableMuon
    params, optimizer, _ = train(first, 2)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = second(params, lr=0.5)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_same_state(other, optimizer)


@pytest.mark.usefixtures("emulated")
def test_it_is_run_by_a_closure_as_well():
    weight = nn.Parameter(torch.eye(3))
    optimizer = PortableMuon([weight], lr=0.1)

    def closure() -> Tensor:
        loss = weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert not torch.equal(weight, torch.eye(3))


@pytest.mark.usefixtures("emulated")
def test_a_kernel_is_updated_as_the_matrix_of_its_outputs():
    kernels, _, _ = train(PortableMuon, 3, [(8, 4, 3, 3)])
    matrices, _, _ = train(PortableMuon, 3, [(8, 36)])
    assert torch.equal(kernels[0].flatten(1), matrices[0])


@pytest.mark.usefixtures("emulated")
def test_the_layout_of_a_kernel_in_memory_changes_nothing():
    plain, _, _ = train(PortableMuon, 0, [(8, 4, 3, 3)])
    last = [nn.Parameter(plain[0].detach().to(memory_format=torch.channels_last))]
    for params in (plain, last):
        move(PortableMuon(params, lr=0.1), params, 3, torch.Generator().manual_seed(1))
    assert last[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(plain[0], last[0])


@pytest.mark.usefixtures("emulated")
def test_a_copy_goes_on_as_the_original():
    params, optimizer, generator = train(PortableMuon, 2)
    twins, twin = copy.deepcopy((params, optimizer))
    assert type(twin) is PortableMuon
    generator_of_twin = torch.Generator()
    generator_of_twin.set_state(generator.get_state())
    move(optimizer, params, 2, generator)
    move(twin, twin.param_groups[0]["params"], 2, generator_of_twin)
    assert len(twins) == len(params)
    assert all(map(torch.equal, params, twin.param_groups[0]["params"]))


# -- which is built --------------------------------------------------------------------------------


def test_the_config_builds_torchs_own_where_bfloat16_is_there_and_ours_where_not(emulated: bool):
    built = MuonConfig().create_optimizer([nn.Parameter(torch.eye(2))])
    assert type(built) is (PortableMuon if emulated else torch.optim.Muon)


@pytest.mark.usefixtures("emulated")
def test_away_from_the_cpu_it_is_always_torchs_own():
    class Elsewhere:
        ndim = 2
        device = torch.device("cuda")

    assert MuonConfig().chosen_target([Elsewhere()]) == MuonConfig.target  # type: ignore[list-item]


@pytest.mark.usefixtures("emulated")
def test_kernels_are_refused_unless_asked_for():
    kernel = nn.Parameter(torch.ones(2, 3, 3, 3))
    with pytest.raises(OptimizerError, match=r"MuonConfig takes parameters of 2 dimensions only"):
        MuonConfig().create_optimizer([kernel])
    assert type(MuonConfig(flatten=True).create_optimizer([kernel])) is PortableMuon
    with pytest.raises(OptimizerError, match="2 dimensions"):
        MuonConfig(flatten=True).create_optimizer([nn.Parameter(torch.ones(3))])


class Experts(nn.Module):
    """Matrices of several experts in one parameter, beside a convolution and a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 3, bias=False)
        self.up = nn.Parameter(torch.randn(4, 3, 5))
        self.down = nn.Linear(5, 3, bias=False)


def test_a_stack_of_expert_matrices_is_refused_with_flatten() -> None:
    model, config = Experts(), MuonConfig(flatten=True)
    with pytest.raises(OptimizerError, match=r"Not known as kernels are: 'up' \(4, 3, 5\)\. Give"):
        config.create_optimizer(model)
    kinds: list[Any] = [list(model.parameters()), list(model.named_parameters())]
    kinds.append([{"params": model.parameters()}])
    for params in kinds:
        with pytest.raises(OptimizerError, match="a stack of matrices would be made orthogonal"):
            config.create_optimizer(params)
    routes = [
        {"name": "muon", "select": {"none_of": "down"}, "optimizer": config},
        {"name": "rest", "select": "*", "optimizer": "adamw"},
    ]
    with pytest.raises(OptimizerError, match=r"Not known as kernels are: 'up'"):
        RoutedOptimizerConfig(routes=routes).create_optimizer(model)
    model.up.requires_grad_(False)
    optimizer = config.create_optimizer(model)
    assert [tuple(p.shape) for p in optimizer.param_groups[0]["params"]] == [(3, 2, 3), (3, 5)]


def test_a_stack_of_expert_matrices_is_refused_by_the_muons_of_pytorch_optimizer() -> None:
    model = Experts()
    with pytest.raises(OptimizerError, match=r"POMuonConfig: .* kernels are: 'up' \(4, 3, 5\)"):
        POMuonConfig().create_optimizer(model)
    rule = {"name": "experts", "select": "up", "options": {"use_muon": False}}
    optimizer = POMuonConfig(groups=[rule]).create_optimizer(model)
    assert {group["use_muon"] for group in optimizer.param_groups} == {True, False}


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what the CPU and oneDNN can do."""

    def become(*flags: str, kernels: bool = True, tells: bool = True) -> None:
        def capabilities() -> dict[str, Any]:
            return {"architecture": "x86_64", **dict.fromkeys(flags, True)}

        operations = type("Operations", (), {"_is_mkldnn_bf16_supported": lambda: kernels})
        monkeypatch.setattr(torch.ops, "mkldnn", operations)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        if tells:
            monkeypatch.setattr(torch.cpu, "get_capabilities", capabilities, raising=False)
        else:
            monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
        bfloat16_is_emulated.cache_clear()

    yield become
    bfloat16_is_emulated.cache_clear()


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16", "sve_bf16"])
def test_a_cpu_with_instructions_for_bfloat16_does_not_emulate_it(cpu: Any, flag: str):
    cpu("avx2", flag)
    assert not bfloat16_is_emulated()


def test_a_cpu_without_them_or_a_torch_without_kernels_for_them_does(cpu: Any):
    cpu("avx2", "avx512_f")
    assert bfloat16_is_emulated()
    cpu("avx512_bf16", kernels=False)
    assert bfloat16_is_emulated()


def test_it_is_decided_once_a_process(cpu: Any):
    cpu("avx2")
    assert bfloat16_is_emulated()
    assert bfloat16_is_emulated.cache_info().hits == 0
    bfloat16_is_emulated()
    assert bfloat16_is_emulated.cache_info().hits == 1


def test_where_an_older_torch_does_not_tell_the_kernels_decide(cpu: Any):
    cpu(tells=False)
    assert not bfloat16_is_emulated()
    cpu(tells=False, kernels=False)
    assert bfloat16_is_emulated()
