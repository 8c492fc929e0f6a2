"""How a cost is distributed over all archs of a space, by dynamic programming over its decisions.

Archs are never enumerated: from the end of the decisions backwards, every state holds the sums that lead from it to the
end, equal sums merged, and how many archs have each.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.hardware.exact import Cut, joined

if TYPE_CHECKING:
    from shiftaddnas.spaces import Automaton

MAX_SUMS = 1 << 22
"""A state with more options times sums is not merged exactly."""
NUM_CELLS = 1 << 16

K = TypeVar("K", complex, int)
Sums = tuple[NDArray[np.complex128], NDArray[np.float64]]
Classes = list[list[tuple[K, int, int]]]
"""Of each class of states, what may follow: a price, the class behind it, and how many options are so."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """The costs of all archs in one metric.

    Args:
        values: the costs that there are, in ascending order.
        counts: how many archs have each. Exact whole numbers below 2**53 archs, beyond that floats with a relative
            error below 1e-12.
        error: an arch costs at most this much more or less than the value it is counted at; 0 where values are exact.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.float64]
    error: float = 0.0

    @property
    def num_archs(self) -> int:
        return int(self.counts.sum())

    def num_between(self, least: float, most: float) -> int:
        """How many archs cost at least `least` and at most `most`."""
        return int(self.counts[(self.values >= least) & (self.values <= most)].sum())

    def share_below(self, limit: float) -> float:
        """The share of archs that cost no more than the limit."""
        return float(self.counts[self.values <= limit].sum() / self.counts.sum())

    def quantile(self, share: float) -> float:
        """The least value that at least this share of the archs does not exceed; share is in [0, 1]."""
        passed = np.cumsum(self.counts)
        index = int(np.searchsorted(passed, share * passed[-1]))
        return float(self.values[min(index, len(self.values) - 1)])

    def histogram(self, num_bins: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Counts (num_bins,) in bins of equal width from the least to the greatest value, and their edges."""
        counts, edges = np.histogram(self.values, num_bins, weights=self.counts)
        return counts, edges


def distribution_of(automaton: "Automaton", prices: Cut) -> Distribution:
    """The distribution of a sum of edge prices.

    Equal sums are those whose exact sums are equal; they are rounded at the very end, as the cost of an arch is. Where
    there are too many different ones, prices are rounded to a grid of cells, and the error says how far off any arch
    can be.
    """
    exact = _exact(_classes(automaton, prices.prices.tolist()), prices.step)
    return exact or _on_grid(automaton, joined(prices.prices))


def _classes(automaton: "Automaton", prices: Sequence[K]) -> Classes[K]:
    """The states, end first, without those from which the same sums lead to the end in the same way."""
    numbers: dict[frozenset[tuple[tuple[K, int], int]], int] = {frozenset(): 0}
    class_of = [0] * (automaton.end + 1)
    for state in automaton.backwards():
        options = Counter((prices[edge], class_of[automaton.target[edge]]) for edge in automaton.edges_from(state))
        class_of[state] = numbers.setdefault(frozenset(options.items()), len(numbers))
    assert class_of[0] == len(numbers) - 1
    return [[(price, behind, num) for (price, behind), num in options] for options in numbers]


def _exact(classes: Classes[complex], step: float) -> Distribution | None:
    sums: list[Sums] = [(np.zeros(1, dtype=np.complex128), np.ones(1))]
    for options in classes[1:]:
        if sum(len(sums[behind][0]) for _, behind, _ in options) > MAX_SUMS:
            return None
        totals = np.concatenate([sums[behind][0] + price for price, behind, _ in options])
        carried = totals.imag >= step
        totals[carried] += complex(step, -step)
        sums.append(_merged(totals, np.concatenate([sums[behind][1] * num for _, behind, num in options])))
    totals, counts = sums[-1]
    values = joined(totals)
    starts = np.flatnonzero(np.diff(values, prepend=-1.0))
    return Distribution(values[starts], np.add.reduceat(counts, starts))


def _merged(totals: NDArray[np.complex128], counts: NDArray[np.float64]) -> Sums:
    order = np.argsort(totals, kind="stable")
    totals = totals[order]
    starts = np.flatnonzero(np.append(True, totals[1:] != totals[:-1]))
    return totals[starts], np.add.reduceat(counts[order], starts)


def _on_grid(automaton: "Automaton", prices: NDArray[np.float64]) -> Distribution:
    """Sums of prices rounded to cells: dense counts over the cells that each state reaches."""
    amounts = prices.tolist()
    low, high = automaton.least(amounts)[0], automaton.greatest(amounts)[0]
    # Not so fine that floats cannot tell the cells apart.
    cell = max((high - low) / NUM_CELLS, high * 1e-12) or 1.0
    cells = np.rint(prices / cell).astype(np.int64)
    errors = (prices - cells * cell).tolist()
    shift = (automaton.least(errors)[0] + automaton.greatest(errors)[0]) / 2
    classes = _classes(automaton, cells.tolist())
    last_use = {behind: number for number, options in enumerate(classes) for _, behind, _ in options}
    known: dict[int, tuple[int, NDArray[np.float64]]] = {0: (0, np.ones(1))}
    for number, options in enumerate(classes[1:], start=1):
        spans = [(known[behind][0] + price, known[behind][1], num) for price, behind, num in options]
        first = min(begin for begin, _, _ in spans)
        counts = np.zeros(max(begin + len(behind) for begin, behind, _ in spans) - first)
        for begin, behind, num in spans:
            counts[begin - first : begin - first + len(behind)] += behind * num
        known[number] = first, counts
        for done in {behind for _, behind, _ in options}:
            if last_use[done] == number:
                del known[done]
    first, counts = known[len(classes) - 1]
    used = np.flatnonzero(counts)
    # Beside the rounding to cells, that of the floats which add them up.
    error = automaton.greatest(errors)[0] - shift + 1e-12 * high
    return Distribution(np.clip((first + used) * cell + shift, low, high), counts[used], error)
