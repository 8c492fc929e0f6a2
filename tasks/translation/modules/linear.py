"""Linear layers on the leading rows and columns of their tensors, of multiplications or of shifts."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.ops import power_of_two_from_exponent
from tasks.translation.modules.quantization import Quantizer

_SHIFT_BITS = 5
_LOWEST_SHIFT = 2 - 2 ** (_SHIFT_BITS - 1)


def leading(tensor: Tensor, *sizes: int) -> Tensor:
    """The leading part of a tensor, of these sizes; the tensor itself where that is all of it.

    A slice's gradient is zero outside the slice, and costs a copy of the whole tensor.
    """
    return tensor if tensor.shape == sizes else tensor[tuple(slice(size) for size in sizes)]


class SlotLinear(nn.Module):
    """(..., in) -> (..., out) with a bias of its own, from 0, and the weight (out, in) that it is given."""

    def __init__(self, out_features: int, *, quantized: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.quantizer = Quantizer() if quantized else None

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return _affine(x, weight, leading(self.bias, weight.shape[0]), self.quantizer)


class SlicedLinear(nn.Module):
    """(..., in) -> (..., out) by the leading rows and columns of a weight; Xavier-uniform in its full size, bias 0."""

    def __init__(self, in_features: int, out_features: int, *, quantized: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_uniform_(self.weight)
        self.quantizer = Quantizer() if quantized else None

    def forward(self, x: Tensor, out_features: int) -> Tensor:
        weight = leading(self.weight, out_features, x.shape[-1])
        return _affine(x, weight, leading(self.bias, out_features), self.quantizer)


class SlicedShiftLinear(nn.Module):
    """`SlicedLinear` with weights t 2^s of a sign and an exponent each (DeepShift-PS), in 5 bits.

    Exponents start uniform in their range [-14, 0], signs in [-1, 1], the bias within 1 / sqrt(in).
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.empty(out_features, in_features).uniform_(_LOWEST_SHIFT, 0))
        self.sign = nn.Parameter(torch.empty(out_features, in_features).uniform_(-1, 1))
        bound = 1 / math.sqrt(in_features)
        self.bias = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound))

    def forward(self, x: Tensor, out_features: int) -> Tensor:
        shift, sign = (leading(tensor, out_features, x.shape[-1]) for tensor in (self.shift, self.sign))
        weight = power_of_two_from_exponent(shift, sign, weight_bits=_SHIFT_BITS)
        return F.linear(x, weight, leading(self.bias, out_features))


def _affine(x: Tensor, weight: Tensor, bias: Tensor, quantizer: Quantizer | None) -> Tensor:
    if quantizer is None:
        return F.linear(x, weight, bias)
    return quantizer.output(F.linear(quantizer.act(x), quantizer.weight(weight), quantizer.bias(bias)))
