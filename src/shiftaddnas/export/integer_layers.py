"""Shift and adder layers in integers: 16-bit activations with power-of-two scales, 64-bit sums, no multiplication.

An activation x is held as the integer round(x / 2^k), half to even, clamped to +-32767; k belongs to the layer. Sums
are exact, so any other implementation of the same integers gives the same bits.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from shiftaddnas.errors import UserError
from shiftaddnas.export.taps import MAX_ELEMENTS, kernel_taps, tap_sums
from shiftaddnas.ops.geometry import Geometry

LARGEST = 2**15 - 1


def scale_exponent(largest: float) -> int:
    """The least k for which values up to `largest` are held in 16 bits as multiples of 2^k.

    Raises:
        UserError: the value is not finite.
    """
    if not math.isfinite(largest):
        raise UserError(f"an activation of {largest} has no integer; is the network trained, and its input finite?")
    if largest == 0:
        return 0
    k = math.frexp(largest)[1] - 15
    return max(-126, k if round(math.ldexp(largest, -k)) <= LARGEST else k + 1)


def to_integers(x: Tensor, scale: int) -> Tensor:
    """round(x / 2^scale), half to even, clamped to +-32767, as int16."""
    return (x * 2.0**-scale).round().clamp(-LARGEST, LARGEST).to(torch.int16)


def exponents_and_signs(weight: Tensor) -> tuple[Tensor, Tensor] | None:
    """The int8 exponents and signs of weights that are all powers of two or zero; None where they are not.

    weight = sign * 2^exponent exactly. A zero has sign 0 and the kernel's lowest exponent.
    """
    mantissa, exponent = torch.frexp(weight)  # weight = mantissa * 2^exponent, 1/2 <= |mantissa| < 1
    zero = weight == 0
    exponent = exponent - 1
    if not bool(((mantissa.abs() == 0.5) | zero).all()):
        return None
    used = exponent[~zero]
    lowest, highest = (int(used.min()), int(used.max())) if used.numel() else (0, 0)
    if lowest < -128 or highest > 127:
        return None
    return exponent.masked_fill(zero, lowest).to(torch.int8), weight.sign().to(torch.int8)


def shift_conv2d(
    x_BCHW: Tensor,
    exponent_FcRS: Tensor,
    sign_FcRS: Tensor,
    scale: int,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """A convolution by shifts. With e the exponents and e0 the lowest of them,

        y = 2^(scale + e0) * sum sign * (x_q << (e - e0)).

    All shifts are to the left, so nothing is lost; the sum is in int64, becomes float32 once, and the bias is added.
    """
    geometry = Geometry.of(x_BCHW, exponent_FcRS, _pair(stride), _pair(padding), _pair(dilation), groups)
    lowest = int(exponent_FcRS.min())
    shifts = exponent_FcRS.long() - lowest

    def term(x: Tensor, shift: Tensor, sign: Tensor) -> Tensor:
        shifted = x << shift
        return shifted.where(sign > 0, -shifted).where(sign != 0, 0)

    sums = _integer_sums(to_integers(x_BCHW, scale), (shifts, sign_FcRS), term, geometry)
    y = sums.float() * 2.0 ** (scale + lowest)
    return y if bias is None else y + bias.view(-1, 1, 1)


def shift_linear(x: Tensor, exponent_FC: Tensor, sign_FC: Tensor, scale: int, bias: Tensor | None) -> Tensor:
    """A linear layer by shifts, (..., C) to (..., F); see `shift_conv2d`."""
    x_BC11, kernel = x.reshape(-1, x.shape[-1], 1, 1), (exponent_FC[:, :, None, None], sign_FC[:, :, None, None])
    y_BF11 = shift_conv2d(x_BC11, *kernel, scale, bias, (1, 1), (0, 0), (1, 1), 1)
    return y_BF11.reshape(*x.shape[:-1], -1)


def adder_conv2d(
    x_BCHW: Tensor,
    weight_FcRS: Tensor,
    scale: int,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """An adder layer whose kernel is integers (int16) of the input's scale: y = -2^scale * sum |x_q - w|."""
    geometry = Geometry.of(x_BCHW, weight_FcRS, _pair(stride), _pair(padding), _pair(dilation), groups)
    sums = _integer_sums(to_integers(x_BCHW, scale), (weight_FcRS.long(),), lambda x, w: (x - w).abs(), geometry)
    return (-sums).float() * 2.0**scale


def largest_sum(exponent: Tensor, sign: Tensor) -> int:
    """The largest magnitude that a sum of `shift_conv2d` can have, whatever the input."""
    lowest = int(exponent.min())
    filters = zip(exponent.flatten(1).tolist(), sign.flatten(1).tolist(), strict=True)
    sums: list[int] = [sum(abs(t) << (e - lowest) for e, t in zip(*taps, strict=True)) for taps in filters]
    return LARGEST * max(sums)


def _integer_sums(
    x_BCHW: Tensor, kernels: tuple[Tensor, ...], term: Callable[..., Tensor], geometry: Geometry
) -> Tensor:
    """`tap_sums` in int64, over so many images at once as fit the bound."""
    per_image = x_BCHW.shape[1] * max(math.prod(geometry.output_size), 64)
    num_images = max(1, min(x_BCHW.shape[0], MAX_ELEMENTS // per_image))
    split = [kernel_taps(kernel, geometry, num_images=num_images) for kernel in kernels]
    chunks = [list(zip(*taps, strict=True)) for taps in zip(*split, strict=True)]
    parts = torch.split(x_BCHW.long(), num_images)
    return torch.cat([tap_sums(part, chunks, term, geometry) for part in parts])


def _pair(sizes: Sequence[int]) -> tuple[int, int]:
    """(rows, columns) of the one or two sizes that PyTorch's operators take."""
    return sizes[0], sizes[-1]
