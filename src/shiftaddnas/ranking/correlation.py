"""How well one series of numbers orders things by another: Kendall's tau-b, Spearman's rho, Pearson's r.

Each also for many resamples at once, which are given as how often each element was drawn: that is all these
correlations need to know.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

KINDS = ("kendall_tau", "spearman", "pearson")
ROWS_AT_ONCE = 512


def correlations(x: Floats, y: Floats) -> dict[str, float]:
    """The correlations of `KINDS` of two series of n numbers; NaN where a series is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return dict.fromkeys(KINDS, float("nan"))
    return {
        "kendall_tau": float(stats.kendalltau(x, y, variant="b").statistic),
        "spearman": float(stats.spearmanr(x, y).statistic),
        "pearson": float(stats.pearsonr(x, y).statistic),
    }


def resampled_correlations(x: Floats, y: Floats, counts_BN: Floats) -> dict[str, Floats]:
    """The same of resamples of n elements, B at once; NaN where a series is constant in a resample.

    Args:
        counts_BN: how often each element is in each resample.
    """
    resampled: Mapping[str, Callable[[Floats, Floats, Floats], Floats]] = {
        "kendall_tau": _kendall_tau,
        "spearman": _spearman,
        "pearson": lambda x, y, counts: _pearson(x[None], y[None], counts),
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        return {kind: resampled[kind](x, y, counts_BN) for kind in KINDS}


def _kendall_tau(x: Floats, y: Floats, counts_BN: Floats) -> Floats:
    """Concordant less discordant pairs, over the geometric mean of the pairs not tied in x and those not tied in y.

    With elements i and j drawn c_i and c_j times, they make c_i c_j pairs; pairs of the same element are tied in both.
    """
    agreement, untied_x, untied_y = (np.zeros(len(counts_BN)) for _ in range(3))
    for start in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        x_sign, y_sign = (np.sign(series[rows, None] - series[None]) for series in (x, y))
        for total, pairs in ((agreement, x_sign * y_sign), (untied_x, x_sign**2), (untied_y, y_sign**2)):
            total += (counts_BN[:, rows] * (counts_BN @ pairs.T)).sum(1)
    return agreement / np.sqrt(untied_x * untied_y)


def _spearman(x: Floats, y: Floats, counts_BN: Floats) -> Floats:
    return _pearson(_ranks(x, counts_BN), _ranks(y, counts_BN), counts_BN)


def _ranks(x: Floats, counts_BN: Floats) -> Floats:
    """The rank of each element in each resample, (B, N); equal ones share the mean of theirs."""
    order = np.argsort(x, kind="stable")
    is_first = np.r_[True, np.diff(x[order]) > 0]
    group_sizes = np.add.reduceat(counts_BN[:, order], np.flatnonzero(is_first), axis=1)
    group_ranks = np.cumsum(group_sizes, axis=1) - (group_sizes - 1) / 2
    ranks = np.empty_like(counts_BN)
    ranks[:, order] = group_ranks[:, np.cumsum(is_first) - 1]
    return ranks


def _pearson(x_BN: Floats, y_BN: Floats, counts_BN: Floats) -> Floats:
    total = counts_BN.sum(1, keepdims=True)
    x_BN = x_BN - (counts_BN * x_BN).sum(1, keepdims=True) / total
    y_BN = y_BN - (counts_BN * y_BN).sum(1, keepdims=True) / total
    covariance, x_variance, y_variance = ((counts_BN * product).sum(1) for product in (x_BN * y_BN, x_BN**2, y_BN**2))
    # What is left of a constant by rounding is no spread.
    constant = (_spread(x_BN, counts_BN) == 0) | (_spread(y_BN, counts_BN) == 0)
    return np.where(constant, np.nan, covariance / np.sqrt(x_variance * y_variance))


def _spread(x_BN: Floats, counts_BN: Floats) -> Floats:
    drawn = counts_BN > 0
    greatest: Floats = np.where(drawn, x_BN, -np.inf).max(1)
    least: Floats = np.where(drawn, x_BN, np.inf).min(1)
    return greatest - least
