import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftaddnas.hardware.exact import cut, joined, rounded, whole

wide = st.lists(st.floats(0, 1e300), min_size=1, max_size=20)
# Sums within about 100 bits, as costs are.
narrow = st.lists(st.one_of(st.floats(1e-8, 1e4), st.just(0.0)), min_size=1, max_size=40)


@given(wide)
def test_whole_numbers_add_up_as_fsum_does(values: list[float]) -> None:
    assert [rounded(whole(value)) for value in values] == values
    assert rounded(sum(map(whole, values))) == math.fsum(values)


@pytest.mark.parametrize("value", [5e-324, 2.2250738585072014e-308, 1.0, 0.1, 1.7976931348623157e308])
def test_floats_at_the_ends_are_whole_numbers_too(value: float) -> None:
    assert rounded(whole(value)) == value


def test_a_sum_beyond_floats_is_an_error() -> None:
    with pytest.raises(OverflowError):
        rounded(2 * whole(1.7e308))


@given(narrow)
def test_cut_prices_add_up_exactly_in_any_order(values: list[float]) -> None:
    exact = [whole(value) for value in values]
    prices = cut(exact, sum(exact), len(values)).prices
    for order in (prices, prices[::-1], np.sort(prices)):
        assert joined(np.array(sum(order.tolist()))) == math.fsum(values)
        assert joined(np.add.reduce(order)) == math.fsum(values)


def test_what_plain_sums_lose_is_kept() -> None:
    values = [1e4, 1e-13, 1e-13, 1e-13]
    exact = [whole(value) for value in values]
    assert sum(values) == 1e4
    # The spacing of floats there is 1.8e-12, half of which three times 1e-13 does not reach, but ten times do.
    values += [1e-13] * 7
    exact = [whole(value) for value in values]
    assert sum(values) == 1e4
    assert joined(cut(exact, sum(exact), 11).prices.sum()) == math.fsum(values) > 1e4


@given(wide)
def test_prices_of_any_size_are_right_to_the_precision_of_floats(values: list[float]) -> None:
    exact = [whole(value) for value in values]
    total = float(joined(cut(exact, sum(exact), len(values)).prices.sum()))
    assert total == pytest.approx(math.fsum(values), rel=1e-15)
