"""Intervals that cover, differences that are paired, and the best archs that are the best."""

import math

import numpy as np
import pytest

from shiftaddnas.errors import UserError
from shiftaddnas.ranking import Analysis, Scored, Statistics, agreement, analyse, as_plain
from shiftaddnas.ranking.correlation import Floats

NUM = 60
QUICK = Statistics(best=(), num_resamples=500)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def quality() -> Floats:
    return rng(1).normal(size=NUM)


def scores(noise: float, seed: int) -> Floats:
    return quality() + noise * rng(seed).normal(size=NUM)


def analysed(*supernets: Scored, statistics: Statistics = QUICK) -> Analysis:
    return analyse(quality(), supernets, True, statistics, rng())


def width(analysis: Analysis, *pair: str) -> float:
    found = (analysis.differences[pair[0], pair[1]] if len(pair) == 2 else analysis.schemes[pair[0]])["all"]
    return found["kendall_tau"].high - found["kendall_tau"].low


def test_intervals_cover_the_true_value() -> None:
    """Of a bivariate normal distribution, tau is 2 / pi * arcsin(r) (Kruskal, 1958)."""
    true = {"kendall_tau": 2 / math.pi * math.asin(0.6), "spearman": 6 / math.pi * math.asin(0.3), "pearson": 0.6}
    draw, num = rng(5), 300
    covered = dict.fromkeys(true, 0)
    for _ in range(num):
        x, noise = draw.normal(size=(2, NUM))
        found = agreement(x, 0.6 * x + 0.8 * noise, True, Statistics((), num_resamples=200), draw)["all"]
        for kind, value in true.items():
            covered[kind] += found[kind].low <= value <= found[kind].high
    for kind, times in covered.items():
        assert 0.9 <= times / num <= 0.99, kind


def test_the_best_are_the_best() -> None:
    x = np.array([3.0, 9, 5, 7, 1, 8, 5])
    assert list(Statistics(best=(3,)).subsets(x, maximize=True)["best 3"]) == [1, 3, 5]
    assert list(Statistics(best=(3,)).subsets(x, maximize=False)["best 3"]) == [0, 2, 4]
    assert list(Statistics(best=(4,)).subsets(x, maximize=True)["best 4"]) == [1, 2, 3, 5]  # of equal ones, the first


def test_among_the_best_only_they_count() -> None:
    x = np.arange(20.0)
    y = np.where(x < 10, x, 29 - x)  # the best ten are in opposite order
    found = agreement(x, y, True, Statistics(best=(10,), num_resamples=200), rng())
    assert found["best 10"]["kendall_tau"].value == pytest.approx(-1)
    assert found["best 10"]["spearman"].low == found["best 10"]["spearman"].high == pytest.approx(-1)
    # 45 pairs of the lower ten and 100 across agree, 45 do not.
    assert found["all"]["kendall_tau"].value == pytest.approx((145 - 45) / 190)
    turned = agreement(-x, -y, False, Statistics(best=(10,), num_resamples=200), rng())
    assert turned["best 10"]["kendall_tau"].value == pytest.approx(-1)


def test_a_scheme_is_the_mean_of_its_supernets() -> None:
    found = analysed(*(Scored("a", seed, scores(1, 10 + seed)) for seed in range(3)))
    for kind, estimate in found.schemes["a"]["all"].items():
        values = [supernet["all"][kind].value for supernet in found.supernets]
        assert estimate.value == pytest.approx(np.mean(values))
        assert estimate.low < estimate.value < estimate.high


def test_a_scheme_of_one_supernet_is_that_supernet() -> None:
    found = analysed(Scored("a", 0, scores(1, 10)))
    assert found.schemes["a"] == found.supernets[0]
    assert not found.differences


def test_supernets_that_disagree_widen_the_interval() -> None:
    found = analysed(Scored("a", 0, quality()), Scored("a", 1, -quality()))
    tau = found.schemes["a"]["all"]["kendall_tau"]
    assert (tau.low, tau.value, tau.high) == (pytest.approx(-1), pytest.approx(0), pytest.approx(1))


def test_equal_schemes_do_not_differ() -> None:
    seeds = [Scored("a", seed, scores(1, 10 + seed)) for seed in range(3)]
    same = [Scored("b", one.seed, one.scores) for one in reversed(seeds)]
    found = analysed(*seeds, *same).differences["a", "b"]["all"]
    for estimate in found.values():
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_where_seeds_are_not_the_same_nothing_pairs_them() -> None:
    draws = [scores(1, 10 + seed) for seed in range(3)]
    first = [Scored("a", seed, draw) for seed, draw in enumerate(draws)]
    for seeds in ((3, 4, 5), (None, None, None), (0, 0, 0)):
        second = [Scored("b", seed, draw) for seed, draw in zip(seeds, draws, strict=True)]
        assert width(analysed(*first, *second), "a", "b") > 0.01


def test_differences_are_paired_over_archs() -> None:
    close = scores(1, 10)
    found = analysed(Scored("a", 0, close), Scored("b", 0, close + 0.1 * rng(3).normal(size=NUM)))
    assert width(found, "a", "b") < 0.5 * width(found, "a")


def test_a_clear_difference_is_found_with_its_sign() -> None:
    found = analysed(Scored("bad", 0, scores(10, 10)), Scored("good", 0, scores(0.3, 11)))
    tau = found.differences["bad", "good"]["all"]["kendall_tau"]
    supernets = [supernet["all"]["kendall_tau"].value for supernet in found.supernets]
    assert tau.value == pytest.approx(supernets[0] - supernets[1])
    assert tau.low < tau.value < tau.high < 0


def test_the_generator_alone_decides() -> None:
    supernets = [Scored("a", seed, scores(1, seed)) for seed in range(3)]
    assert analysed(*supernets) == analysed(*supernets)
    assert analyse(quality(), supernets, True, QUICK, rng(1)) != analysed(*supernets)


def test_what_is_not_defined_is_said_to_be_so() -> None:
    found = analysed(Scored("a", 0, np.full(NUM, 0.1)))
    assert math.isnan(found.schemes["a"]["all"]["kendall_tau"].value)
    assert as_plain(found.schemes["a"])["all"]["pearson"] == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"best": (2,)}, r"statistics.best=\[2\]"),
        ({"confidence": 1.0}, "statistics.confidence=1.0"),
        ({"num_resamples": 10}, "statistics.num_resamples=10"),
    ],
)
def test_a_number_out_of_range_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Statistics(**settings)  # type: ignore[arg-type]


def test_more_of_the_best_than_there_are() -> None:
    with pytest.raises(UserError, match=r"num_archs=8 is fewer than statistics.best=\[5, 20\] needs \(20\)"):
        Statistics(best=(5, 20)).check(8, "num_archs=8")
    with pytest.raises(UserError, match="num_archs=2"):
        Statistics(best=()).check(2, "num_archs=2")
