"""Estimates with intervals: how well supernets rank archs, and by how much one sharing scheme does it better.

Archs are resampled once for all supernets, so that differences are paired: an arch that is hard to place is in a
resample of every scheme or of none. Supernets are resampled within their scheme; schemes that were trained with the
same seeds draw the same ones.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.ranking.correlation import KINDS, Floats, correlations, resampled_correlations

ALL = "all"


@dataclass(frozen=True)
class Statistics:
    """What is computed.

    Args:
        best: numbers of archs; among so many of the best, by the first series, it is all computed again.
        confidence: of the intervals, which run between percentiles of the resamples.
        num_resamples: of the bootstrap.

    Raises:
        UserError: a number is out of its range.
    """

    best: Sequence[int] = (20,)
    confidence: float = 0.95
    num_resamples: int = 2000

    def __post_init__(self) -> None:
        if any(number < 3 for number in self.best):
            raise UserError(f"statistics.best={list(self.best)} is not allowed; give numbers from 3")
        if not 0 < self.confidence < 1:
            raise UserError(f"statistics.confidence={self.confidence} is not allowed; give a share between 0 and 1")
        if self.num_resamples < 100:
            raise UserError(f"statistics.num_resamples={self.num_resamples} is not allowed; give at least 100")

    def check(self, num_archs: int, setting: str) -> None:
        """Refuse to look for more of the best than there are; `setting` says where their number comes from."""
        if num_archs < max((3, *self.best)):
            wanted = f"statistics.best={list(self.best)}" if self.best else "a correlation"
            raise UserError(
                f"{setting} is fewer than {wanted} needs ({max((3, *self.best))}); give more, or lower best"
            )

    def subsets(self, quality: Floats, maximize: bool) -> dict[str, NDArray[np.intp]]:
        """All archs, and the best of them, as indices; of equal ones those that come first."""
        order = np.argsort(-quality if maximize else quality, kind="stable")
        best = {f"best {number}": np.sort(order[:number]) for number in self.best}
        return {ALL: np.arange(len(quality))} | best

    def estimate(self, value: float, resamples: Floats) -> "Estimate":
        """A value with the interval of its resamples, without those in which it is not defined."""
        known = resamples[np.isfinite(resamples)]
        if not len(known):
            return Estimate(value, float("nan"), float("nan"))
        outside = (1 - self.confidence) / 2
        low, high = np.quantile(known, [outside, 1 - outside])
        return Estimate(value, float(low), float(high))


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


Agreement = Mapping[str, Mapping[str, Estimate]]
"""For each subset of archs, the estimate of each correlation."""


@dataclass(frozen=True)
class Scored:
    """The scores that one supernet gives the archs, (N), in the order of their quality."""

    scheme: str
    seed: int | None
    scores: Floats


@dataclass(frozen=True)
class Analysis:
    """How well supernets rank, each, on average over those of each scheme, and the difference of each two schemes."""

    supernets: tuple[Agreement, ...]
    schemes: Mapping[str, Agreement]
    differences: Mapping[tuple[str, str], Agreement]


@dataclass(frozen=True)
class _Sample:
    """The correlations of one supernet, or of one scheme's mean, and their resamples (B)."""

    values: Mapping[str, float]
    resamples: Mapping[str, Floats]


def agreement(x: Floats, y: Floats, maximize: bool, statistics: Statistics, rng: np.random.Generator) -> Agreement:
    """How well y orders things by x, among all and among the best by x."""
    return analyse(x, [Scored("", None, y)], maximize, statistics, rng).supernets[0]


def analyse(
    quality: Floats, supernets: Sequence[Scored], maximize: bool, statistics: Statistics, rng: np.random.Generator
) -> Analysis:
    """How well the supernets' scores rank archs by their quality (N).

    Args:
        maximize: whether a greater quality is better.
    """
    schemes = list(dict.fromkeys(supernet.scheme for supernet in supernets))
    each: list[dict[str, dict[str, Estimate]]] = [{} for _ in supernets]
    by_scheme: dict[str, dict[str, dict[str, Estimate]]] = {scheme: {} for scheme in schemes}
    between: dict[tuple[str, str], dict[str, dict[str, Estimate]]] = {
        pair: {} for pair in itertools.combinations(schemes, 2)
    }
    for subset, indices in statistics.subsets(quality, maximize).items():
        num = len(indices)
        counts = rng.multinomial(num, np.full(num, 1 / num), size=statistics.num_resamples).astype(np.float64)
        samples = [_sample(quality[indices], supernet.scores[indices], counts) for supernet in supernets]
        means = _scheme_means(supernets, samples, statistics.num_resamples, rng)
        for found, sample in zip(each, samples, strict=True):
            found[subset] = _estimates(sample, statistics)
        for scheme, mean in means.items():
            by_scheme[scheme][subset] = _estimates(mean, statistics)
        for first, second in between:
            between[first, second][subset] = _estimates(_difference(means[first], means[second]), statistics)
    return Analysis(tuple(each), by_scheme, between)


def _sample(quality: Floats, scores: Floats, counts: Floats) -> _Sample:
    return _Sample(correlations(quality, scores), resampled_correlations(quality, scores, counts))


def _scheme_means(
    supernets: Sequence[Scored], samples: Sequence[_Sample], num_resamples: int, rng: np.random.Generator
) -> dict[str, _Sample]:
    members: dict[str, list[int]] = {}
    for index, supernet in enumerate(supernets):
        members.setdefault(supernet.scheme, []).append(index)
    draws: dict[object, NDArray[np.int64]] = {}
    means = {}
    for scheme, found in members.items():
        seeds = [supernets[index].seed for index in found]
        known = [seed for seed in seeds if seed is not None]
        paired = len(set(known)) == len(seeds)
        ordered = [index for _, index in sorted(zip(known, found, strict=True))] if paired else found
        key = tuple(sorted(known)) if paired else scheme
        if key not in draws:
            draws[key] = rng.integers(len(found), size=(len(found), num_resamples))
        means[scheme] = _mean([samples[index] for index in ordered], draws[key])
    return means


def _mean(samples: Sequence[_Sample], draws_MB: NDArray[np.int64]) -> _Sample:
    """The mean over M supernets, and over M drawn ones in each resample."""
    drawn = np.arange(draws_MB.shape[1])
    return _Sample(
        {kind: float(np.mean([sample.values[kind] for sample in samples])) for kind in KINDS},
        {kind: np.array([sample.resamples[kind] for sample in samples])[draws_MB, drawn].mean(0) for kind in KINDS},
    )


def _difference(first: _Sample, second: _Sample) -> _Sample:
    return _Sample(
        {kind: first.values[kind] - second.values[kind] for kind in KINDS},
        {kind: first.resamples[kind] - second.resamples[kind] for kind in KINDS},
    )


def _estimates(sample: _Sample, statistics: Statistics) -> dict[str, Estimate]:
    return {kind: statistics.estimate(sample.values[kind], sample.resamples[kind]) for kind in KINDS}
