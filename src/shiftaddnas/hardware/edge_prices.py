"""Additive costs over a whole space: the price of every choice, once, and from them any arch, batch, range and
distribution. All are the same exact sums, rounded once, so that they agree to the last bit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.hardware.distribution import Distribution, distribution_of
from shiftaddnas.hardware.exact import Cut, cut, joined, rounded

if TYPE_CHECKING:
    from shiftaddnas.spaces import Automaton
    from shiftaddnas.spaces.automaton import Edges

CHUNK = 4096


class EdgePrices:
    """The prices of a space's edges in a row of metrics.

    Args:
        term_prices: of each term of the automaton, its price in each metric in units of 2**-1074; None for a term
            that has no price.
        num_metrics: the length of such a price.
    """

    def __init__(self, automaton: "Automaton", term_prices: Sequence[Sequence[int] | None], num_metrics: int) -> None:
        self.automaton = automaton
        self._extremes: list[tuple[float, float]] = []
        self._steps: list[float] = []
        # The last row is that of no edge, which costs nothing.
        self._prices = np.zeros((automaton.no_edge + 1, num_metrics), dtype=np.complex128)
        for column in range(num_metrics):
            amounts = [prices[column] if prices is not None else 0 for prices in term_prices]
            sums = [sum(amounts[term] for term in terms) for terms in automaton.edge_terms]
            least, greatest = automaton.least(sums)[0], automaton.greatest(sums)[0]
            self._extremes.append((rounded(least), rounded(greatest)))
            self._prices[:-1, column], step = cut(sums, greatest, automaton.max_length)
            self._steps.append(step)
        unpriced = {number for number, prices in enumerate(term_prices) if prices is None}
        self._prices[:-1][[not unpriced.isdisjoint(terms) for terms in automaton.edge_terms]] = complex(np.nan, np.nan)

    def total(self, path: Sequence[int]) -> list[float]:
        """The cost in each metric of an arch, given as its edges; NaN where one of them has no price."""
        total: list[float] = joined(self._prices[path].sum(axis=0)).tolist()
        return total

    def totals(self, edges: "Edges") -> NDArray[np.float64]:
        """(archs, metrics): the costs of many; rows of NaN where an edge has no price."""
        totals = np.empty((len(edges), self._prices.shape[1]))
        for start in range(0, len(edges), CHUNK):
            chunk = edges[start : start + CHUNK]
            sums = np.zeros((len(chunk), self._prices.shape[1]), dtype=np.complex128)
            for column in chunk.T:
                sums += self._prices[column]
            totals[start : start + CHUNK] = joined(sums)
        return totals

    def extremes(self, column: int) -> tuple[float, float]:
        """The least and the greatest cost of all archs in a metric; what has no price counts as nothing."""
        return self._extremes[column]

    def distribution(self, column: int) -> Distribution:
        """The costs of all archs in a metric; all edges must have a price."""
        return distribution_of(self.automaton, Cut(self._prices[:-1, column], self._steps[column]))
