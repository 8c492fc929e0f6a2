"""From a `Layer`, which is shapes alone, to the computation that PyTorch does for it, ready to be timed.

A layer is bare: no bias, no normalisation, no activation. Shift layers round their weights at each call, as the
networks do.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.latency_table import describe
from shiftaddnas.hardware.layer import Arithmetic, Layer
from shiftaddnas.ops import AdderConv2d, AdderLinear, ShiftConv2d, ShiftLinear, adder_conv2d, power_of_two

_CONVOLUTIONS: dict[Arithmetic, type[nn.Module]] = {"mult": nn.Conv2d, "add": AdderConv2d, "shift": ShiftConv2d}
_LINEARS: dict[Arithmetic, type[nn.Module]] = {"mult": nn.Linear, "add": AdderLinear, "shift": ShiftLinear}


def layer_call(layer: Layer, device: str = "cpu") -> Callable[[], Tensor]:
    """A function that does the layer's computation on random float32 data and gives its output.

    Convolutions give (N, M, E, F), linear layers (N, M), matrix products (repeat, N, M). A matrix product does its
    repetitions as one batch, as attention heads are computed; the other layers one after another. So are steps.

    Raises:
        UserError: the layer is not in 32 bits, or its shapes contradict each other.
    """
    if (layer.weight_bits, layer.act_bits) != (32, 32):
        raise UserError(
            f"only 32-bit layers can be timed, in float32, not one of {layer.weight_bits}-bit weights and "
            f"{layer.act_bits}-bit activations ({describe(layer)})"
        )
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    try:
        call, expected = _matmul(layer, random) if layer.op == "matmul" else _weighted(layer, random, device)
        found = tuple(call().shape)
        if layer.steps > 1:
            call = _stepwise(call, layer.steps)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"layer {layer.name} ({describe(layer)}) cannot be computed: {reason}") from error
    if found != expected:
        raise UserError(f"layer {layer.name} ({describe(layer)}) contradicts itself: it computes a map of {found}")
    return call


def _stepwise(call: Callable[[], Tensor], steps: int) -> Callable[[], Tensor]:
    def steps_of_it() -> Tensor:
        for _ in range(steps - 1):
            call()
        return call()

    return steps_of_it


Random = Callable[..., Tensor]


def _weighted(layer: Layer, random: Random, device: str) -> tuple[Callable[[], Tensor], tuple[int, ...]]:
    """A convolution or linear layer, and the shape of its output."""
    if layer.op == "linear" and layer.groups == 1:
        module = _LINEARS[layer.arithmetic](layer.C, layer.M, bias=False)
        x = random(layer.N, layer.C)
        expected: tuple[int, ...] = (layer.N, layer.M)
    else:
        rows, row_padding = _axis(layer, layer.H, layer.E, layer.R)
        columns, column_padding = _axis(layer, layer.W, layer.F, layer.S)
        module = _CONVOLUTIONS[layer.arithmetic](
            layer.C,
            layer.M,
            (layer.R, layer.S),
            stride=layer.stride,
            padding=(row_padding, column_padding),
            dilation=layer.dilation,
            groups=layer.groups,
            bias=False,
        )
        x = random(layer.N, layer.C, rows, columns)
        expected = (layer.N, layer.M, layer.E, layer.F)
    module.to(device)

    def call() -> Tensor:
        for _ in range(layer.repeat - 1):
            module(x)
        out: Tensor = module(x)
        return out

    return call, expected


def _axis(layer: Layer, size: int, out: int, kernel: int) -> tuple[int, int]:
    """Size and padding of the input along one axis: the layer's own, or of an input that is padded already.

    The latter where zeros stand on one side only, as in causal convolutions, or along one axis only.
    """
    reach = layer.dilation * (kernel - 1) + 1
    if (size + 2 * layer.padding - reach) // layer.stride + 1 == out:
        return size, layer.padding
    return (out - 1) * layer.stride + reach, 0


def _matmul(layer: Layer, random: Random) -> tuple[Callable[[], Tensor], tuple[int, ...]]:
    """A batch of matrix products between activations (repeat, N, C) and (repeat, C, M), and the shape of its output."""
    a, b = random(layer.repeat, layer.N, layer.C), random(layer.repeat, layer.C, layer.M)
    expected = layer.repeat, layer.N, layer.M
    if layer.arithmetic == "mult":
        return lambda: a @ b, expected
    if layer.arithmetic == "shift":
        return lambda: a @ power_of_two(b), expected
    # L1 distances between the rows of a and the columns of b: a grouped adder layer with a group for each product.
    x = a.transpose(1, 2).reshape(1, layer.repeat * layer.C, layer.N, 1)
    kernels = b.transpose(1, 2).reshape(layer.repeat * layer.M, layer.C, 1, 1)

    def distances() -> Tensor:
        y = adder_conv2d(x, kernels, groups=layer.repeat)
        return y.view(layer.repeat, layer.M, layer.N).transpose(1, 2)

    return distances, expected
