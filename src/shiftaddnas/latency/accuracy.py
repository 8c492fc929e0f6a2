"""How well predicted latencies agree with measured ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau


@dataclass(frozen=True)
class Accuracy:
    """Of predictions for networks that the predictor was not fitted to.

    Args:
        num_archs: how many they are.
        rmse_ms: root of the mean squared error.
        mapd_percent: mean of the absolute error over the measured value.
        kendall_tau: rank correlation of predicted and measured.
        retest_tau: rank correlation of measured and measured again later: what the measurements themselves allow.
    """

    num_archs: int
    rmse_ms: float
    mapd_percent: float
    kendall_tau: float
    retest_tau: float


def accuracy(predicted: Sequence[float], measured: Sequence[float], again: Sequence[float]) -> Accuracy:
    """The accuracy of predictions, from two measurements of each network, in milliseconds."""
    errors = np.asarray(predicted) - np.asarray(measured)
    return Accuracy(
        num_archs=len(measured),
        rmse_ms=float(np.sqrt(np.mean(errors**2))),
        mapd_percent=float(100 * np.mean(np.abs(errors) / np.asarray(measured))),
        kendall_tau=rank_correlation(predicted, measured),
        retest_tau=rank_correlation(measured, again),
    )


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b, from -1 to 1; not a number where one side is constant."""
    return float(kendalltau(first, second).statistic)
