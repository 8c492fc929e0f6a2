"""FLOPs of translation networks as a hardware cost, for the limit that the paper's search has beside latency."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import BoundCost, Cost, Distribution, HardwareCost, Metric, Values
from shiftaddnas.hardware.edge_prices import EdgePrices
from shiftaddnas.hardware.exact import whole
from shiftaddnas.spaces import Arch, Space, Term
from tasks.translation.counts import term_macs
from tasks.translation.space import TranslationSpace
from tasks.translation.terms import TranslationWorkload

W = TypeVar("W")


class TransformerFlops(HardwareCost):
    """FLOPs of one teacher-forced pass over a sentence pair, in the released counting (counts.py).

    The lengths are the workload's; the paper's limits are for 30 tokens.

    Args:
        name: for reports.

    Raises:
        UserError: on binding, the space is of other networks.
    """

    metrics = (Metric("flops", ""),)

    def __init__(self, name: str) -> None:
        self.name = name

    def bind(self, space: Space[Any, W], workload: W) -> BoundCost:
        if not isinstance(space, TranslationSpace) or not isinstance(workload, TranslationWorkload):
            raise UserError(f"hardware {self.name} counts FLOPs of translation networks; space {space.name} has none")
        return _BoundFlops(self, space, workload)


class _BoundFlops(BoundCost):
    def __init__(self, model: TransformerFlops, space: TranslationSpace, workload: TranslationWorkload) -> None:
        super().__init__(model.name, model.metrics)
        self._space = space
        self._workload = workload

    def estimate(self, arch: Arch) -> Cost:
        (total,) = self._prices.total(self._space.automaton.path(arch))
        return Cost(Values({"flops": total}))

    def batch(self, archs: Sequence[Arch]) -> NDArray[np.float64]:
        return self._prices.totals(self._space.automaton.paths(archs))

    def extremes(self) -> dict[str, tuple[float, float]]:
        return {"flops": self._prices.extremes(0)}

    def distribution(self, metric: str) -> Distribution | None:
        return self._prices.distribution(0)

    def by_term(self, metric: str) -> dict[Term, float] | None:
        return dict(zip(self._space.automaton.terms, self._flops, strict=True))

    @cached_property
    def _flops(self) -> list[float]:
        """Of each term of the space."""
        workload = self._workload
        lengths = workload.source_length, workload.target_length
        terms: Any = self._space.automaton.terms
        return [2.0 * term_macs(term, self._space.shape, *lengths) for term in terms]

    @cached_property
    def _prices(self) -> EdgePrices:
        return EdgePrices(self._space.automaton, [[whole(flops)] for flops in self._flops], 1)
