"""Traced layers against formulas: convolutions, linear layers, products, recurrent layers, whole networks."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from shiftaddnas.hardware import Layer
from shiftaddnas.ops import AdderConv2d, AdderLinear, ShiftConv2d, ShiftLinear
from shiftaddnas.tracing import trace_layers


class Computes(nn.Module):
    """A network of one function."""

    def __init__(self, function: Any, **parameters: Tensor) -> None:
        super().__init__()
        self.function = function
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, *inputs: Tensor) -> Tensor:
        out: Tensor = self.function(self, *inputs)
        return out


def layers_of(network: nn.Module, *inputs: Any) -> tuple[Layer, ...]:
    trace = trace_layers(network, *inputs)
    assert not trace.notes
    return trace.layers


def only_layer(network: nn.Module, *inputs: Any) -> Layer:
    (layer,) = layers_of(network, *inputs)
    return layer


# Convolutions


def test_a_convolution_is_described_in_full() -> None:
    network = nn.Sequential(nn.Conv2d(6, 8, (3, 5), stride=2, padding=4, dilation=2, groups=2), nn.BatchNorm2d(8))
    assert only_layer(network, torch.randn(2, 6, 20, 30)) == Layer(
        "0",
        "Conv2d",
        "conv2d",
        "mult",
        N=2,
        C=6,
        M=8,
        H=20,
        W=30,
        E=12,  # (20 + 2 4 - 2 (3 - 1) - 1) // 2 + 1
        F=15,  # (30 + 2 4 - 2 (5 - 1) - 1) // 2 + 1
        R=3,
        S=5,
        stride=2,
        padding=4,
        dilation=2,
        groups=2,
        num_params=8 * 3 * 15 + 8 + 2 * 8,
    )


def test_a_one_dimensional_convolution_lies_along_the_rows() -> None:
    layer = only_layer(nn.Conv1d(4, 8, 3, stride=2, padding=1, groups=4, bias=False), torch.randn(2, 4, 16))
    assert (layer.N, layer.H, layer.W, layer.E, layer.F, layer.R, layer.S) == (2, 16, 1, 8, 1, 3, 1)
    assert layer.num_taps == 2 * 8 * 8 * 1 * 3


def test_a_transposed_convolution_has_a_tap_for_each_input_and_kernel_value() -> None:
    layer = only_layer(nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2), torch.randn(3, 8, 5, 7))
    assert layer.num_taps == 3 * 8 * 5 * 7 * (6 // 2) * 3 * 3
    assert (layer.C, layer.M, layer.H, layer.W, layer.E, layer.F) == (6, 8, 11, 15, 5, 7)


def test_an_uneven_stride_is_said() -> None:
    trace = trace_layers(nn.Conv2d(2, 2, 3, stride=(2, 1)), torch.randn(1, 2, 9, 9))
    assert trace.layers[0].num_taps == 2 * 2 * 9 * 4 * 7
    assert trace.notes == ("Conv2d: its stride (2, 1) counted as the greater",)


# Arithmetic


@pytest.mark.parametrize("form", ["q", "ps"])
def test_shift_layers_are_found_by_their_weights(form: Any) -> None:
    conv = only_layer(ShiftConv2d(3, 4, 3, form=form), torch.randn(1, 3, 8, 8))
    linear = only_layer(ShiftLinear(3, 4, form=form), torch.randn(5, 3))
    tensors = {"q": 1, "ps": 2}[form]
    assert (conv.arithmetic, conv.op, conv.num_params) == ("shift", "conv2d", tensors * 4 * 27 + 4)
    assert (linear.arithmetic, linear.op, linear.num_params) == ("shift", "linear", tensors * 12 + 4)


def test_adder_layers_are_found() -> None:
    conv = only_layer(
        AdderConv2d(4, 6, (3, 1), stride=2, padding=(1, 0), dilation=(2, 1), groups=2), torch.randn(1, 4, 9, 7)
    )
    assert (conv.arithmetic, conv.op) == ("add", "conv2d")
    assert (conv.H, conv.W, conv.E, conv.F, conv.R, conv.S) == (9, 7, 4, 4, 3, 1)
    assert (conv.stride, conv.groups, conv.num_params) == (2, 2, 6 * 2 * 3 + 6)
    linear = only_layer(AdderLinear(3, 4), torch.randn(2, 5, 3))
    assert linear == Layer("AdderLinear", "AdderLinear", "linear", "add", N=10, C=3, M=4, num_params=16)


def test_a_weight_that_happens_to_hold_powers_of_two_multiplies() -> None:
    network = nn.Conv2d(2, 2, 3)
    nn.init.ones_(network.weight)
    assert only_layer(network, torch.randn(1, 2, 4, 4)).arithmetic == "mult"


def test_a_weight_that_is_computed_multiplies_unless_it_is_of_powers_of_two() -> None:
    network = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 4, 3, bias=False))
    layer = only_layer(network, torch.randn(1, 2, 4, 4))
    assert (layer.arithmetic, layer.num_params) == ("mult", 4 * 18 + 4)


# Linear layers and products


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3), (2, 1, 5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_has_a_row_for_each_position(shape: tuple[int, ...], bias: bool) -> None:
    layer = only_layer(nn.Linear(3, 4, bias=bias), torch.randn(shape))
    assert (layer.op, layer.N, layer.C, layer.M) == ("linear", math.prod(shape[:-1]), 3, 4)
    assert layer.num_params == 12 + 4 * bias


PRODUCTS = {
    "matmul": lambda _, a, b: a @ b,
    "einsum": lambda _, a, b: torch.einsum("bnc,bcm->bnm", a, b),
    "bmm": lambda _, a, b: torch.bmm(a, b),
    "baddbmm": lambda _, a, b: torch.baddbmm(torch.zeros(()), a, b),
    "addbmm": lambda _, a, b: torch.addbmm(torch.zeros(()), a, b),
    "in inference mode": torch.inference_mode()(lambda _, a, b: torch.matmul(a, b)),
}


@pytest.mark.parametrize("way", PRODUCTS)
def test_products_of_data_are_found_however_they_are_written(way: str) -> None:
    layer = only_layer(Computes(PRODUCTS[way]), torch.randn(2, 5, 3), torch.randn(2, 3, 4))
    assert (layer.op, layer.second_operand) == ("matmul", "activation")
    assert (layer.repeat, layer.N, layer.C, layer.M) == (2, 5, 3, 4)


WEIGHTED = {
    "weight first": (lambda self, x: self.w @ x, (5, 4), (4, 3), {"N": 3, "C": 4, "M": 5}),
    "one weight for a batch": (lambda self, x: self.w @ x, (5, 4), (2, 4, 3), {"N": 6, "C": 4, "M": 5}),
    "a weight for each": (
        lambda self, x: torch.bmm(x, self.w),
        (2, 4, 5),
        (2, 3, 4),
        {"N": 3, "C": 4, "M": 5, "repeat": 2},
    ),
    "a weight for each, added up": (
        lambda self, x: torch.addbmm(torch.zeros(3, 5), x, self.w),
        (2, 4, 5),
        (2, 3, 4),
        {"N": 3, "C": 4, "M": 5, "repeat": 2},
    ),
    "weight times vector": (lambda self, x: self.w @ x, (5, 4), (4,), {"N": 1, "C": 4, "M": 5}),
    "dot product": (lambda self, x: torch.dot(self.w, x), (4,), (4,), {"N": 1, "C": 4, "M": 1}),
}


@pytest.mark.parametrize("case", WEIGHTED)
def test_products_with_a_weight_are_linear_layers(case: str) -> None:
    function, weight, x, expected = WEIGHTED[case]
    layer = only_layer(Computes(function, w=torch.randn(weight)), torch.randn(x))
    assert layer == Layer("Computes", "Computes", "linear", "mult", **expected, num_params=math.prod(weight))


def attention_products(heads: int, queries: int, keys: int, head_dim: int) -> list[tuple[int, ...]]:
    return [(heads, queries, head_dim, keys), (heads, queries, keys, head_dim)]


def products(layers: tuple[Layer, ...]) -> list[tuple[int, ...]]:
    return [(layer.repeat, layer.N, layer.C, layer.M) for layer in layers if layer.op == "matmul"]


def test_attention_is_its_two_products() -> None:
    network = Computes(lambda _, q, k, v: F.scaled_dot_product_attention(q, k, v))
    q, k = torch.randn(2, 4, 7, 16), torch.randn(2, 4, 9, 16)
    assert products(layers_of(network, q, k, k)) == attention_products(2 * 4, 7, 9, 16)


@pytest.mark.parametrize("weights", [True, False])
def test_multi_head_attention_has_its_projections_too(weights: bool) -> None:
    attention = nn.MultiheadAttention(32, 4, batch_first=True)
    network = Computes(lambda self, x: self.attention(x, x, x, need_weights=weights)[0])
    network.attention = attention
    layers = layers_of(network, torch.randn(2, 7, 32))
    assert products(layers) == attention_products(2 * 4, 7, 7, 8)
    assert [(layer.N, layer.C, layer.M) for layer in layers if layer.op == "linear"] == [(14, 32, 96), (14, 32, 32)]
    assert sum(layer.num_params for layer in layers) == 4 * 32 * 32 + 4 * 32


def test_recurrent_layers_are_products_at_each_step() -> None:
    layers = layers_of(nn.LSTM(8, 16, batch_first=True), torch.randn(2, 5, 8))
    # The first step starts from zeros, which do not depend on the input.
    assert sum(layer.num_taps for layer in layers) == 2 * 4 * 16 * (5 * 8 + 4 * 16)


def test_data_written_into_a_buffer_is_followed() -> None:
    def function(_: nn.Module, x: Tensor) -> Tensor:
        padded = torch.zeros(2, 5, 6)
        padded[:, :, 1:5] = x.transpose(1, 2)
        return x @ padded

    layer = only_layer(Computes(function), torch.randn(2, 4, 5))
    assert (layer.op, layer.repeat, layer.N, layer.C, layer.M) == ("matmul", 2, 4, 5, 6)


def test_what_depends_on_parameters_alone_is_no_layer() -> None:
    network = Computes(lambda self, x: x @ (self.a @ self.b), a=torch.randn(3, 4), b=torch.randn(4, 3))
    layer = only_layer(network, torch.randn(2, 3))
    assert (layer.N, layer.num_params) == (2, 24)


# What is said


class _Numpy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.from_numpy(np.tanh(x.numpy()))


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        return 2 * (x @ w)


def test_functions_of_ones_own_are_seen_through() -> None:
    layer = only_layer(Computes(lambda self, x: _Doubled.apply(x, self.w), w=torch.randn(3, 4)), torch.randn(2, 3))
    assert (layer.N, layer.C, layer.M) == (2, 3, 4)


def test_what_was_computed_out_of_sight_is_said_and_is_data() -> None:
    trace = trace_layers(nn.Sequential(Computes(lambda _, x: _Numpy.apply(x)), nn.Linear(3, 4)), torch.randn(2, 3))
    assert [layer.name for layer in trace.layers] == ["1"]
    (note,) = trace.notes
    assert "a tensor of shape (2, 3) that PyTorch's operations did not compute" in note


def test_a_layer_without_a_description_is_said() -> None:
    trace = trace_layers(nn.Conv3d(2, 3, 3), torch.randn(1, 2, 4, 4, 4))
    assert not trace.layers
    assert trace.notes[0] == "Conv3d: a convolution over 3 axes is not priced"


@pytest.mark.parametrize(
    ("operation", "function"),
    [
        ("_cdist_forward", lambda _, x: torch.cdist(x, x)),
        ("_euclidean_dist", lambda _, x: torch.cdist(x.repeat(1, 20, 1), x)),
        ("conv_tbc", lambda _, x: torch.conv_tbc(x, torch.zeros(2, 3, 4), torch.zeros(4))),
    ],
)
def test_an_operation_without_a_description_is_said(operation: str, function: Any) -> None:
    trace = trace_layers(Computes(function), torch.randn(2, 5, 3))
    assert not trace.layers
    assert trace.notes == (f"Computes: aten.{operation} is not priced",)


def test_parameters_without_a_layer_are_said() -> None:
    network = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    trace = trace_layers(network, torch.zeros(1, 3, dtype=torch.int64))
    assert trace.layers[0].num_params == 10
    assert trace.notes == ("40 parameters are in no layer (0.weight)",)


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    network[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trace_layers(network, torch.randn(1, 1, 4, 4))
    assert [module.training for module in network] == [True, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mkldnn.enabled
    with pytest.raises(RuntimeError):
        trace_layers(network, torch.randn(1, 7, 4, 4))
    assert [module.training for module in network] == [True, False, True]
    assert torch.backends.mkldnn.enabled


# Whole networks


def resnet18_macs() -> int:
    """The first convolution, then four stages of four 3x3 convolutions, the last three entered by a 1x1 one."""
    total = 112**2 * 64 * 3 * 49 + 512 * 1000
    for level in range(4):
        width, positions = 64 * 2**level, (56 // 2**level) ** 2
        from_width = width if level == 0 else width // 2
        total += positions * width * 9 * (from_width + 3 * width)
        total += 0 if level == 0 else positions * width * from_width
    return total


def test_a_resnet_has_its_multiplications_and_parameters() -> None:
    layers = layers_of(torchvision.models.resnet18(), torch.randn(1, 3, 224, 224))
    assert len(layers) == 21
    assert sum(layer.num_taps for layer in layers) == resnet18_macs() == 1_814_073_344
    assert sum(layer.num_params for layer in layers) == 11_689_512  # as torchvision documents
    assert [layer.name for layer in layers[:2]] == ["conv1", "layer1.0.conv1"]


def test_a_vision_transformer_attends_over_all_tokens() -> None:
    network = torchvision.models.VisionTransformer(64, 16, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128)
    layers = layers_of(network, torch.randn(1, 3, 64, 64))
    assert products(layers) == 2 * attention_products(4, 4 * 4 + 1, 4 * 4 + 1, 16)
    assert sum(layer.num_params for layer in layers) == sum(parameter.numel() for parameter in network.parameters())
