"""Random search: the baseline that every other searcher has to beat at the same number of evaluations."""

from typing import Any

import numpy as np

from shiftaddnas.errors import UserError
from shiftaddnas.search.feasibility import Feasibility
from shiftaddnas.search.generational import GenerationalSearcher
from shiftaddnas.search.searcher import Proposal
from shiftaddnas.spaces import Law, Space


class RandomSearcher(GenerationalSearcher):
    """Distinct random feasible archs, in one generation.

    Args:
        num_archs: how many to propose.
        law: the law of random archs, see `Space.law`; None: the space's own.

    Raises:
        UserError: a setting is out of range.
    """

    def __init__(
        self,
        space: Space[Any, Any],
        feasible: Feasibility,
        rng: np.random.Generator,
        *,
        num_archs: int,
        law: Law | None = None,
    ) -> None:
        super().__init__(space, feasible, rng, law)
        if num_archs < 1:
            raise UserError(f"search.num_archs={num_archs} is too small; give a whole number >= 1")
        self.num_archs = num_archs

    @property
    def num_evaluations(self) -> int:
        return min(self.num_archs, self.space.size())

    def make_generation(self, generation: int) -> list[Proposal]:
        if generation > 0:
            return []
        return [Proposal(arch, "random", 0) for arch in self.draws.random(self.num_archs)]
