"""The ways to write a number as an ordered product: the tilings of one loop."""

from functools import cache
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@cache
def factorisations(number: int, num_parts: int) -> Ints:
    """All ordered products of `num_parts` whole numbers that give the number, one a row (read-only).

    Rows are ordered by their first factor, then by the second and so on, and factors as `divisors` orders them. This
    is the order in which the released ShiftAddNAS simulator tries its tilings.
    """
    if num_parts == 1:
        table = np.array([[number]], dtype=np.int64)
    else:
        blocks = []
        for divisor in divisors(number):
            rest = factorisations(number // divisor, num_parts - 1)
            blocks.append(np.insert(rest, 0, divisor, axis=1))
        table = np.concatenate(blocks)
    table.setflags(write=False)
    return table


@cache
def divisors(number: int) -> tuple[int, ...]:
    """All divisors, by decreasing power of the least prime factor, then of the next, and so on."""
    primes = prime_factors(number)
    powers = [[prime**power for power in range(primes.count(prime), -1, -1)] for prime in sorted(set(primes))]
    return tuple(prod(factors) for factors in product(*powers))


def prime_factors(number: int) -> list[int]:
    """Prime factors in increasing order, each as often as it divides the number."""
    found = []
    prime = 2
    while prime * prime <= number:
        while number % prime == 0:
            found.append(prime)
            number //= prime
        prime += 1
    return [*found, number] if number > 1 else found
