"""Layers of one operator with their own kernels, as drop-in replacements of `nn.Conv2d`.

Padding is with zeros and given in numbers; the rest of the signature is that of `nn.Conv2d`.
"""

import math

import torch
from torch import Tensor, nn

from shiftaddnas.ops.operators import Add, KernelOperator, KernelShape, Shift, ShiftForm
from shiftaddnas.ops.pair import IntPair, pair


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
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        initial_bias = bound * (2 * torch.rand(out_channels, generator=generator) - 1)
        self.bias = nn.Parameter(initial_bias) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return self.operator.convolve(
            x,
            tuple(self.get_parameter(name) for name in self.tensor_names),
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
    """`nn.Conv2d` with power-of-two weights: the parameter is `weight` ("q"), or `shift` and `sign` ("ps")."""

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
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            Shift(form, weight_bits),
            ("weight",) if form == "q" else ("shift", "sign"),
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
