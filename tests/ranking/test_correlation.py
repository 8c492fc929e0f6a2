"""Rank correlations against their definitions, pair by pair, and those of resamples against resamples written out."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftaddnas.ranking.correlation import KINDS, ROWS_AT_ONCE, Floats, correlations, resampled_correlations

# Few different numbers, so that ties are the rule.
SERIES = st.integers(3, 12).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n)] * 2, st.integers(0, 2**32 - 1))
)


def tau_b(x: Floats, y: Floats) -> float:
    """Kendall (1945): pairs in the same order less pairs in opposite order, over the root of the untied of each."""
    score = untied_x = untied_y = 0
    for i, j in itertools.combinations(range(len(x)), 2):
        a, b = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
        score, untied_x, untied_y = score + a * b, untied_x + abs(a), untied_y + abs(b)
    return float(score / math.sqrt(untied_x * untied_y)) if untied_x * untied_y else math.nan


def rho(x: Floats, y: Floats) -> float:
    """Pearson's r of mean ranks."""
    ranks = [[sum(b < a for b in series) + sum(b == a for b in series) / 2 for a in series] for series in (x, y)]
    return r(*map(np.array, ranks))


def r(x: Floats, y: Floats) -> float:
    a, b = x - x.mean(), y - y.mean()
    return float((a * b).sum() / math.sqrt((a**2).sum() * (b**2).sum())) if np.ptp(x) and np.ptp(y) else math.nan


DEFINITIONS = dict(zip(KINDS, (tau_b, rho, r), strict=True))


def test_values_worked_by_hand() -> None:
    # One of six pairs is swapped: (5 - 1) / 6, and 1 - 6 * 2 / (4 * 15).
    found = correlations(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]))
    assert found == {kind: pytest.approx(value) for kind, value in zip(KINDS, (2 / 3, 0.8, 0.8), strict=True)}
    # A tie in x: five of five pairs agree, one is tied in x alone: 5 / sqrt(5 * 6).
    assert correlations(np.array([1.0, 1, 2, 3]), np.arange(4.0))["kendall_tau"] == pytest.approx(5 / math.sqrt(30))


@given(SERIES)
def test_correlations_are_as_defined(drawn: tuple[list[int], list[int], int]) -> None:
    x, y = (np.array(series, float) for series in drawn[:2])
    found = correlations(x, y)
    for kind, definition in DEFINITIONS.items():
        assert found[kind] == pytest.approx(definition(x, y), abs=1e-12, nan_ok=True)


@given(SERIES)
def test_resamples_are_as_if_written_out(drawn: tuple[list[int], list[int], int]) -> None:
    x, y = (np.array(series, float) for series in drawn[:2])
    counts = np.random.default_rng(drawn[2]).multinomial(len(x), np.full(len(x), 1 / len(x)), size=5).astype(float)
    found = resampled_correlations(x, y, counts)
    for index, row in enumerate(counts):
        written = np.repeat(x, row.astype(int)), np.repeat(y, row.astype(int))
        for kind, definition in DEFINITIONS.items():
            assert found[kind][index] == pytest.approx(definition(*written), abs=1e-9, nan_ok=True)


def test_a_long_series_is_taken_in_parts() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS_AT_ONCE + 100)
    y = x + rng.normal(size=len(x))
    whole = resampled_correlations(x, y, np.ones((1, len(x))))
    for kind, value in correlations(x, y).items():
        assert whole[kind][0] == pytest.approx(value, abs=1e-12)


def test_a_constant_has_no_correlation() -> None:
    x, constant = np.arange(5.0), np.full(5, 0.1)
    assert all(math.isnan(value) for value in correlations(x, constant).values())
    for values in resampled_correlations(constant, x, np.ones((2, 5))).values():
        assert np.isnan(values).all()
