"""The operators that a supernet mixes: each turns an input and its kernel tensors into a map of the same shape.

They are plain values and hold no parameters; whose the tensors are is decided in `shiftaddnas.sharing`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.layer import Arithmetic
from shiftaddnas.ops.adder import InputGradient, adder_conv2d
from shiftaddnas.ops.distributions import Distribution, Gaussian, Laplacian
from shiftaddnas.ops.pair import IntPair
from shiftaddnas.ops.quantize import check_bits, quantize_gradient
from shiftaddnas.ops.shift import fixed_point, power_of_two, power_of_two_from_exponent

KernelShape = tuple[int, int, int, int]
ShiftForm = Literal["q", "ps"]


def fan_in(shape: KernelShape) -> int:
    """The number of taps of one filter of kernels of shape (F, C / groups, R, S)."""
    return math.prod(shape[1:])


def gaussian_kernel(shape: KernelShape, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Kernels drawn from N(0, std^2)."""
    return std * torch.randn(shape, generator=generator)


class KernelOperator(ABC):
    """An operator with kernels of shape (F, C / groups, R, S)."""

    name: ClassVar[str]
    arithmetic: ClassVar[Arithmetic]
    target: ClassVar[Distribution]
    """What the trained kernels of this operator look like, at unit standard deviation."""

    @property
    def num_tensors(self) -> int:
        """How many tensors of the kernel's shape one kernel needs. Only kernels of one tensor can be shared."""
        return 1

    @abstractmethod
    def target_std(self, fan_in: int) -> float:
        """The scale at which kernels of this many taps start."""

    def initial(self, shape: KernelShape, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """Fresh tensors for one kernel that belongs to this operator alone."""
        return (gaussian_kernel(shape, self.target_std(fan_in(shape)), generator),)

    @abstractmethod
    def convolve(
        self,
        x: Tensor,
        tensors: tuple[Tensor, ...],
        *,
        bias: Tensor | None = None,
        stride: IntPair = 1,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        groups: int = 1,
    ) -> Tensor:
        """The operator on a map (B, C, H, W): `F.conv2d` with this operator's arithmetic."""


@dataclass(frozen=True)
class Conv(KernelOperator):
    """The convolution."""

    name = "conv"
    arithmetic = "mult"
    target = Gaussian()

    def target_std(self, fan_in: int) -> float:
        return math.sqrt(2 / fan_in)

    def convolve(
        self,
        x: Tensor,
        tensors: tuple[Tensor, ...],
        *,
        bias: Tensor | None = None,
        stride: IntPair = 1,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        groups: int = 1,
    ) -> Tensor:
        return F.conv2d(x, tensors[0], bias, stride, padding, dilation, groups)


@dataclass(frozen=True)
class Add(KernelOperator):
    """The adder layer; `adder_conv2d` explains the settings. Its kernels live at the scale of its input, whatever the
    fan-in."""

    eta: float | None = None
    input_gradient: InputGradient = "exact"

    name = "add"
    arithmetic = "add"
    target = Laplacian()

    def target_std(self, fan_in: int) -> float:
        return 1.0

    def convolve(
        self,
        x: Tensor,
        tensors: tuple[Tensor, ...],
        *,
        bias: Tensor | None = None,
        stride: IntPair = 1,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        groups: int = 1,
    ) -> Tensor:
        return adder_conv2d(
            x,
            tensors[0],
            bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            eta=self.eta,
            input_gradient=self.input_gradient,
        )


@dataclass(frozen=True)
class Shift(KernelOperator):
    """The convolution with power-of-two weights: rounded from one tensor ("q"), or from exponent and sign ("ps").

    The released code of ShiftAddNAS has `act_fraction_bits=16` in both forms and `grad_bits=16` in "ps".

    Args:
        sign_threshold: of "ps", see `power_of_two_from_exponent`; 0.3 makes 30 % of the first weights zero, not 50 %.
        act_fraction_bits: makes input and bias fixed-point numbers with so many bits of fraction, see `fixed_point`.
        grad_bits: quantises the output's gradient, see `quantize_gradient`. The noise is the default generator's.

    Raises:
        UserError: the form is unknown, a number of bits is out of range, or a threshold does not go with the form.
    """

    form: ShiftForm = "q"
    weight_bits: int = 5
    sign_threshold: float | None = None
    act_fraction_bits: int | None = None
    grad_bits: int | None = None

    name = "shift"
    arithmetic = "shift"
    target = Gaussian()

    def __post_init__(self) -> None:
        if self.form not in ("q", "ps"):
            raise UserError(f"shift form={self.form!r} is unknown; it is q (rounded weights) or ps (exponent and sign)")
        if self.weight_bits < 2:
            raise UserError(f"weight_bits={self.weight_bits} leaves no exponent; shift weights need 2 bits or more")
        if self.sign_threshold is not None and not (self.form == "ps" and self.sign_threshold >= 0):
            raise UserError(
                f"sign_threshold={self.sign_threshold} is a magnitude, 0 or more, and only form=ps has signs"
            )
        if self.act_fraction_bits is not None and self.act_fraction_bits < 0:
            raise UserError(f"act_fraction_bits={self.act_fraction_bits}: use 0 or more (DeepShift: 16), or none")
        check_bits("grad_bits", self.grad_bits)

    @property
    def num_tensors(self) -> int:
        return 1 if self.form == "q" else 2

    def target_std(self, fan_in: int) -> float:
        return math.sqrt(2 / fan_in)

    def initial(self, shape: KernelShape, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        if self.form == "q":
            return super().initial(shape, generator)
        lowest = 2 - 2 ** (self.weight_bits - 1)
        exponent = lowest * torch.rand(shape, generator=generator)
        sign = 2 * torch.rand(shape, generator=generator) - 1
        return exponent, sign

    def convolve(
        self,
        x: Tensor,
        tensors: tuple[Tensor, ...],
        *,
        bias: Tensor | None = None,
        stride: IntPair = 1,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        groups: int = 1,
    ) -> Tensor:
        bias = None if bias is None else self.operand(bias)
        y = F.conv2d(self.operand(x), self.weight(tensors), bias, stride, padding, dilation, groups)
        return self.result(y)

    def weight(self, tensors: tuple[Tensor, ...]) -> Tensor:
        """The power-of-two weights that the tensors stand for, of their shape."""
        if self.form == "q":
            return power_of_two(tensors[0], weight_bits=self.weight_bits)
        return power_of_two_from_exponent(
            tensors[0], tensors[1], weight_bits=self.weight_bits, sign_threshold=self.sign_threshold
        )

    def operand(self, x: Tensor) -> Tensor:
        """What the operator reads of an input or a bias: fixed-point numbers, where it has them."""
        return x if self.act_fraction_bits is None else fixed_point(x, fraction_bits=self.act_fraction_bits)

    def result(self, y: Tensor) -> Tensor:
        """The output, whose gradient is quantised where the operator says so."""
        return y if self.grad_bits is None else quantize_gradient(y, bits=self.grad_bits)


OPERATORS: dict[str, type[KernelOperator]] = {operator.name: operator for operator in (Conv, Add, Shift)}
"""The shipped operators, by name."""
