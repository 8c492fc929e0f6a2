"""An independent evaluation of layers in integers: Python's own integers, as the documentation defines them."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def quantized(x: Array, scale: int) -> NDArray[np.object_]:
    """round(x / 2^scale), half to even, clamped to +-32767, as Python integers."""
    unit = Fraction(2) ** scale
    values = [min(32767, max(-32767, round(Fraction(float(value)) / unit))) for value in x.flatten()]
    return np.array(values, dtype=object).reshape(x.shape)


def sums(
    x: NDArray[np.object_],
    kernels: Sequence[NDArray[np.object_]],
    term: Callable[..., NDArray[np.object_]],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> NDArray[np.object_]:
    """The sum over channels and taps of term(x, *kernels), position by position."""
    (top, left), (down, right), (dil_r, dil_s) = padding, stride, dilation
    batch, channels, height, width = x.shape
    filters, depth, R, S = kernels[0].shape
    padded = np.full((batch, channels, height + 2 * top, width + 2 * left), 0, dtype=object)
    padded[:, :, top : top + height, left : left + width] = x
    rows = (height + 2 * top - dil_r * (R - 1) - 1) // down + 1
    cols = (width + 2 * left - dil_s * (S - 1) - 1) // right + 1
    y = np.full((batch, filters, rows, cols), 0, dtype=object)
    for f in range(filters):
        first = f // (filters // groups) * depth
        for e in range(rows):
            for m in range(cols):
                row, col = e * down, m * right
                patch = padded[
                    :,
                    first : first + depth,
                    row : row + (R - 1) * dil_r + 1 : dil_r,
                    col : col + (S - 1) * dil_s + 1 : dil_s,
                ]
                y[:, f, e, m] = term(patch, *(kernel[f] for kernel in kernels)).reshape(batch, -1).sum(1)
    return y


def floats(values: NDArray[np.object_], scale: int) -> Array:
    """values * 2^scale, rounded to float32 once."""
    return np.array(
        [math.ldexp(float(np.float32(value)), scale) for value in values.flatten()], dtype=np.float32
    ).reshape(values.shape)


def shift_layer(x: Array, weight: Array, scale: int, **geometry: object) -> Array:
    """A convolution with weights of powers of two: sums of x << (e - e0), with the sign of the weight."""
    exponents = [int(math.log2(abs(value))) if value else None for value in weight.flatten().tolist()]
    lowest = min(one for one in exponents if one is not None)
    shifts = np.array([0 if one is None else one - lowest for one in exponents], dtype=object).reshape(weight.shape)
    signs = np.sign(weight).astype(int).astype(object)
    total = sums(quantized(x, scale), (shifts, signs), lambda x, shift, sign: (x << shift) * sign, **geometry)  # type: ignore[arg-type]
    return floats(total, scale + lowest)


def adder_layer(x: Array, weight: Array, scale: int, **geometry: object) -> Array:
    """-sum |x - w|, both as multiples of 2^scale."""
    kernels = (quantized(weight, scale),)
    return floats(-sums(quantized(x, scale), kernels, lambda x, w: abs(x - w), **geometry), scale)  # type: ignore[arg-type]
