"""Power-of-two weights (DeepShift), whose products are bitwise shifts: from a weight (Q), or exponent and sign (PS).

Both read their parameters without changing them: a stored value outside the representable range is clamped in the
forward pass only. `fixed_point` is what DeepShift does to the activations that the weights shift.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from shiftaddnas.ops.quantize import straight_through


def power_of_two(weight: Tensor, *, weight_bits: int = 5) -> Tensor:
    """sign(w) 2^round(log2|w|), the magnitude within [2^-(2^(weight_bits-1) - 1), 1]; zeros stay zero (DeepShift-Q).

    The gradient is straight-through: the identity, outside the range as well.
    """
    with torch.no_grad():
        # A logarithm of half precision would be rounded twice.
        exponent = weight.to(torch.promote_types(weight.dtype, torch.float32)).abs().log2().round()
        rounded = weight.sign() * exponent.clamp(1 - 2 ** (weight_bits - 1), 0).exp2().to(weight.dtype)
    return straight_through(rounded, weight)


def power_of_two_from_exponent(
    shift: Tensor, sign: Tensor, *, weight_bits: int = 5, sign_threshold: float | None = None
) -> Tensor:
    """t 2^s from a real exponent and a real sign (DeepShift-PS).

    s is the exponent, clamped to [-(2^(weight_bits-1) - 2), 0] and rounded half to even; t in {-1, 0, 1} is the sign of
    the rounded sign or, with a threshold, the sign where its magnitude exceeds the threshold.

    The gradients are straight-through: g t 2^s ln 2 for the exponent and g, unscaled, for the sign. An exponent outside
    its range gets the gradient only where descending it leads back: it can return, and cannot drift away.
    """
    weight: Tensor = _PowerOfTwoFromExponent.apply(shift, sign, 2 - 2 ** (weight_bits - 1), sign_threshold)
    return weight


def fixed_point(x: Tensor, *, fraction_bits: int = 16) -> Tensor:
    """x rounded down to a multiple of 2^-fraction_bits within [-2^15, 2^15 - 1] (DeepShift).

    The gradient is straight-through: the identity, outside the range as well.
    """
    with torch.no_grad():
        # Scaled by 2^16, float16 would overflow at 1.
        scaled = x.to(torch.promote_types(x.dtype, torch.float32)) * 2**fraction_bits
        rounded = (scaled.floor() / 2**fraction_bits).clamp(-(2**15), 2**15 - 1).to(x.dtype)
    return straight_through(rounded, x)


class _PowerOfTwoFromExponent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shift: Tensor, sign: Tensor, lowest: int, threshold: float | None) -> Tensor:
        magnitude = shift.clamp(lowest, 0).round().exp2()
        ternary = (sign.round() if threshold is None else sign.where(sign.abs() > threshold, 0.0)).sign()
        weight = ternary * magnitude
        ctx.save_for_backward(shift, weight)
        ctx.lowest = lowest
        return weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        shift, weight = ctx.saved_tensors
        grad_shift = grad * weight * math.log(2)
        leads_away = ((shift > 0) & (grad_shift < 0)) | ((shift < ctx.lowest) & (grad_shift > 0))
        return grad_shift.masked_fill(leads_away, 0.0), grad, None, None
