"""Layers of one operator with their own kernels, as drop-in replacements of `nn.Conv2d` and `nn.Linear`.

Padding is with zeros and given in numbers; the rest of the signatures is theirs. `QuantizedLayer` puts any of these
layers, and PyTorch's, on fake-quantised numbers.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from shiftaddnas.errors import UserError
from shiftaddnas.ops.adder import adder_linear
from shiftaddnas.ops.operators import Add, KernelOperator, KernelShape, Shift, ShiftForm, fan_in
from shiftaddnas.ops.pair import IntPair, pair
from shiftaddnas.ops.quantize import (
    FIX8,
    FakeQuantize,
    Precision,
    fake_quantize_per_row,
    fake_quantize_per_tensor,
    quantize_gradient,
)

_SHIFT_TENSORS: dict[ShiftForm, tuple[str, ...]] = {"q": ("weight",), "ps": ("shift", "sign")}


class KernelConv2d(nn.Module):
    """What the layers share: geometry, bias, and the tensors of one kernel, named by the layer."""

    def __init__(
        self,
        operator: KernelOperator,
        tensor_names: tuple[str, ...],
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        *,
        stride: IntPair,
        padding: IntPair,
        dilation: IntPair,
        groups: int,
        bias: bool,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.operator = operator
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = pair(kernel_size), pair(stride), pair(padding)
        self.dilation, self.groups = pair(dilation), groups
        self.tensor_names = tensor_names
        shape: KernelShape = (out_channels, in_channels // groups, *self.kernel_size)
        for name, tensor in zip(tensor_names, operator.initial(shape, generator), strict=True):
            self.register_parameter(name, nn.Parameter(tensor))
        self.bias = _initial_bias(shape, generator) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return self.operator.convolve(
            x,
            tuple(getattr(self, name) for name in self.tensor_names),
            bias=self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}, "
            f"operator={self.operator}"
        )


class AdderConv2d(KernelConv2d):
    """`nn.Conv2d` with additions only (see `adder_conv2d`); the parameter is `weight`, from N(0, 1)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        eta: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            Add(eta),
            ("weight",),
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            generator=generator,
        )


class ShiftConv2d(KernelConv2d):
    """`nn.Conv2d` with power-of-two weights: the parameter is `weight` ("q"), or `shift` and `sign` ("ps").

    The keywords are those of the operator `Shift`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        form: ShiftForm = "q",
        weight_bits: int = 5,
        sign_threshold: float | None = None,
        act_fraction_bits: int | None = None,
        grad_bits: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            Shift(form, weight_bits, sign_threshold, act_fraction_bits, grad_bits),
            _SHIFT_TENSORS[form],
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            generator=generator,
        )


class AdderLinear(nn.Module):
    """`nn.Linear` with additions only (see `adder_linear`); the parameter is `weight`, from N(0, 1)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        eta: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.eta = in_features, out_features, eta
        shape: KernelShape = (out_features, in_features, 1, 1)
        (kernel,) = Add(eta).initial(shape, generator)
        self.weight = nn.Parameter(kernel.flatten(1))
        self.bias = _initial_bias(shape, generator) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return adder_linear(x, self.weight, self.bias, eta=self.eta)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, eta={self.eta}"


class ShiftLinear(nn.Module):
    """`nn.Linear` with power-of-two weights: the parameter is `weight` ("q"), or `shift` and `sign` ("ps").

    The keywords are those of the operator `Shift`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        form: ShiftForm = "q",
        weight_bits: int = 5,
        sign_threshold: float | None = None,
        act_fraction_bits: int | None = None,
        grad_bits: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.operator = Shift(form, weight_bits, sign_threshold, act_fraction_bits, grad_bits)
        self.tensor_names = _SHIFT_TENSORS[form]
        shape: KernelShape = (out_features, in_features, 1, 1)
        for name, kernel in zip(self.tensor_names, self.operator.initial(shape, generator), strict=True):
            self.register_parameter(name, nn.Parameter(kernel.flatten(1)))
        self.bias = _initial_bias(shape, generator) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.operator.weight(tuple(getattr(self, name) for name in self.tensor_names))
        bias = None if self.bias is None else self.operator.operand(self.bias)
        return self.operator.result(F.linear(self.operator.operand(x), weight, bias))

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, operator={self.operator}"


class QuantizedLayer(nn.Module):
    """A layer that computes with fake-quantised numbers, as the FIX8 and FIX16 networks of ShiftAddNAS are trained.

    Input (per tensor, see `FakeQuantize`), weight (per output row) and bias (per tensor) have `precision.bits`, the
    gradient of the output `precision.grad_bits`. A shift layer's weights are powers of two already and stay as they
    are. The parameters remain the layer's own, `layer.weight` and so on, one where layers share one.

    Args:
        layer: an `nn.Linear`, an `nn.Conv2d`, or a layer of this module.

    Raises:
        UserError: another layer.
    """

    def __init__(self, layer: nn.Module, precision: Precision = FIX8) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | nn.Conv2d | KernelConv2d | AdderLinear | ShiftLinear):
            raise UserError(
                f"a {type(layer).__name__} cannot be quantised as one layer; wrap its layers: nn.Linear, nn.Conv2d, "
                "AdderLinear, AdderConv2d, ShiftLinear or ShiftConv2d"
            )
        self.layer = layer
        self.input = FakeQuantize(precision.bits)
        self.precision = precision

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = functional_call(self.layer, self._tensors(), (self.input(x),))
        grad_bits = self.precision.grad_bits
        return y if grad_bits is None else quantize_gradient(y, bits=grad_bits)

    def _tensors(self) -> dict[str, Tensor]:
        bits = self.precision.bits
        tensors = {}
        if not isinstance(getattr(self.layer, "operator", None), Shift):
            tensors["weight"] = fake_quantize_per_row(self.layer.get_parameter("weight"), bits=bits)
        if isinstance(self.layer.bias, nn.Parameter):
            tensors["bias"] = fake_quantize_per_tensor(self.layer.bias, bits=bits)
        return tensors


def _initial_bias(shape: KernelShape, generator: torch.Generator | None) -> nn.Parameter:
    """Uniform within 1 / sqrt(fan-in), as in `nn.Conv2d` and `nn.Linear`."""
    bound = 1 / math.sqrt(fan_in(shape))
    return nn.Parameter(bound * (2 * torch.rand(shape[0], generator=generator) - 1))
