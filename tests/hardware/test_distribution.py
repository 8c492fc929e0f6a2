from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import NUM_TERMS, GraphSpace, graph_spaces

from composed import built
from shiftaddnas.hardware import Distribution, Layer, LayerModel, Metric, distribution
from shiftaddnas.testing.tiny_space import TinySpace
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload

prices = st.lists(st.floats(0, 1e3), min_size=NUM_TERMS, max_size=NUM_TERMS)


class Priced(LayerModel):
    """The terms of a GraphSpace at given prices."""

    name = "priced"
    metrics = (Metric("energy_mj", "mJ"),)

    def __init__(self, prices: list[float]) -> None:
        self.prices = prices

    def price(self, layer: Layer) -> dict[str, float]:
        return {"energy_mj": self.prices[layer.C - 1]}


def of(space: GraphSpace, prices: list[float]) -> tuple[Distribution, list[float]]:
    """The distribution, and the costs of all archs, sorted."""
    bound = Priced(prices).bind(space, 1)
    found = bound.distribution("energy_mj")
    assert found is not None
    return found, sorted(bound(arch).values["energy_mj"] for arch in space.archs())


@given(graph_spaces(), prices)
def test_it_counts_what_an_enumeration_counts(space: GraphSpace, prices: list[float]) -> None:
    found, costs = of(space, prices)
    assert found.error == 0
    assert dict(zip(found.values.tolist(), found.counts.tolist(), strict=True)) == Counter(costs)
    assert found.num_archs == space.size()


@given(graph_spaces(), prices)
def test_on_a_grid_no_arch_is_further_off_than_the_error(space: GraphSpace, prices: list[float]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distribution, "MAX_SUMS", 0)
        patch.setattr(distribution, "NUM_CELLS", 20)
        found, costs = of(space, prices)
    assert found.num_archs == len(costs)
    counted = np.repeat(found.values, found.counts.astype(int))
    assert np.abs(counted - costs).max() <= found.error
    # Every decision is off by half a cell at most.
    assert found.error <= 0.5 * 5 * (costs[-1] - costs[0]) / 20 + 1e-11 * costs[-1]


def test_questions_about_it() -> None:
    found = Distribution(np.array([1.0, 2.0, 4.0]), np.array([5.0, 3.0, 2.0]))
    assert found.num_archs == 10
    assert [found.num_between(*span) for span in ((0, 9), (1, 1), (1.5, 4), (3, 3.9))] == [10, 5, 5, 0]
    assert [found.share_below(limit) for limit in (0.5, 1, 3.9, 4)] == [0, 0.5, 0.8, 1]
    assert [found.quantile(share) for share in (0, 0.5, 0.51, 0.8, 0.81, 1)] == [1, 1, 2, 2, 4, 4]
    counts, edges = found.histogram(3)
    assert counts.tolist() == [5, 3, 2]
    assert edges.tolist() == [1, 2, 3, 4]


def test_all_archs_of_the_papers_space(hytra_space: HybridSpace) -> None:
    workload = ImageWorkload(224, 3, 1000)
    bound = built("hardware", "hardware=asic45nm").bind(hytra_space, workload)
    # Beside it, a polynomial for each vector of depths: multiplications as powers, archs as coefficients.
    expected: Counter[int] = Counter()
    for depths in hytra_space.depths:
        state = hytra_space.start()
        sums: Counter[int] = Counter({0: 1})
        while (decision := hytra_space.decision(state)) is not None:
            options = (depths,) if state.depths is None else decision.options
            factor = Counter(
                sum(
                    layer.num_taps
                    for term in hytra_space.decision_terms(state, choice)
                    for layer in hytra_space.layers(term, workload)
                    if layer.arithmetic == "mult"
                )
                for choice in options
            )
            product: Counter[int] = Counter()
            for total, num in sums.items():
                for taps, times in factor.items():
                    product[total + taps] += num * times
            sums, state = product, hytra_space.advance(state, options[0])
        expected.update(sums)
    found = bound.distribution("num_mults")
    assert dict(zip(found.values.tolist(), found.counts.tolist(), strict=True)) == expected
    energy = bound.distribution("energy_mj")
    assert (energy.num_archs, energy.error) == (198_955_008, 0)
    assert (energy.values[0], energy.values[-1]) == bound.extremes()["energy_mj"]
    costs = bound.batch(hytra_space.sample_many(20_000, np.random.default_rng(0)))[:, 0]
    assert np.isin(costs, energy.values).all()
    for share in (0.01, 0.1, 0.5, 0.9):
        sampled = np.mean(costs <= energy.quantile(share))
        assert abs(sampled - share) < 4 * np.sqrt(share * (1 - share) / 20_000)


def test_more_archs_than_floats_count_exactly() -> None:
    space = TinySpace(((8,) * 60,))
    bound = built("hardware", "hardware=asic45nm").bind(space, 8)
    found = bound.distribution("num_adds")
    assert found.num_archs == pytest.approx(2 * 3**58 * 5, rel=1e-12)
    assert found.error == 0
