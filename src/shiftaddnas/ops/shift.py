"""Power-of-two weights (DeepShift), whose products are bitwise shifts: from a weight (Q), or exponent and sign (PS).

Both read their parameters without changing them: a stored value outside the representable range is clamped in the
forward pass only.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def power_of_two(weight: Tensor, *, weight_bits: int = 5) -> Tensor:
    """sign(w) 2^round(log2|w|), the magnitude within [2^-(2^(weight_bits-1) - 1), 1]; zeros stay zero (DeepShift-Q).

    The gradient is straight-through: the identity, outside the range as well.
    """
    with torch.no_grad():
        exponent = weight.abs().log2().round().clamp(1 - 2 ** (weight_bits - 1), 0)
        rounded = weight.sign() * exponent.exp2()
    # rounded + (w - w) is exact; the usual w + (rounded - w) loses the power of two where w is large.
    return rounded + (weight - weight.detach())


def power_of_two_from_exponent(
    shift: Tensor, sign: Tensor, *, weight_bits: int = 5, threshold: float | None = None
) -> Tensor:
    """t 2^s from a real exponent and a real sign (DeepShift-PS).

    s is the exponent, clamped to [-(2^(weight_bits-1) - 2), 0] and rounded half to even; t in {-1, 0, 1} is the sign of
    the rounded sign or, with a threshold, the sign where its magnitude exceeds the threshold.

    The gradients are straight-through: g t 2^s ln 2 for the exponent and g, unscaled, for the sign. An exponent outside
    its range gets the gradient only where descending it leads back: it can return, and cannot drift away.
    """
    weight: Tensor = _PowerOfTwoFromExponent.apply(shift, sign, 2 - 2 ** (weight_bits - 1), threshold)
    return weight


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
