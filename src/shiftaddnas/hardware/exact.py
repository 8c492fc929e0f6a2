"""Sums of floating-point numbers without rounding, so that a cost does not depend on the order of its layers.

Every float64 is a whole multiple of 2**-1074. As such whole numbers prices are added up exactly, and a sum is rounded
once. For arrays a price is cut into two floats whose sums stay exact, kept as one complex number: the coarse part as
its real part, the fine one as its imaginary part.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNIT_BITS = 1074
_MANTISSA = 53


def whole(value: float) -> int:
    """A finite float in units of 2**-1074."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << (UNIT_BITS + 1 - denominator.bit_length())


def rounded(total: int) -> float:
    """The float nearest to a whole number of units (ties to even), as `math.fsum` gives it.

    Raises:
        OverflowError: it is beyond floats.
    """
    return total / (1 << UNIT_BITS)


class Cut(NamedTuple):
    """Prices of one metric, cut in two, and the step: coarse parts are its multiples, fine parts lie in [0, step)."""

    prices: NDArray[np.complex128]
    step: float


def cut(prices: Sequence[int], greatest: int, num_terms: int) -> Cut:
    """Cut prices so that sums of up to `num_terms` of them, `greatest` at most, are exact in both parts.

    About 100 bits of the greatest sum are kept; what is finer, beside it, is rounded away.
    """
    coarse = max(0, greatest.bit_length() + 1 - _MANTISSA)
    fine = max(0, coarse - (_MANTISSA - num_terms.bit_length()))
    half = (1 << fine) >> 1
    parts = []
    for price in prices:
        kept = (price + half) >> fine << fine
        high = kept >> coarse << coarse
        parts.append(complex(rounded(high), rounded(kept - high)))
    return Cut(np.array(parts, dtype=np.complex128), rounded(1 << coarse))


def joined(totals: NDArray[np.complex128]) -> NDArray[np.float64]:
    """The floats nearest to sums of cut prices: both parts are exact, so that this is the only rounding."""
    return totals.real + totals.imag
