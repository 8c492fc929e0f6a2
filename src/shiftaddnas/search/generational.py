"""What searchers that work in generations share: handing out a generation, and collecting its results."""

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from shiftaddnas.errors import UserError
from shiftaddnas.search.draws import Draws
from shiftaddnas.search.feasibility import Feasibility
from shiftaddnas.search.searcher import Proposal, Result, Searcher
from shiftaddnas.spaces import Arch, Law, Space


class GenerationalSearcher(Searcher):
    """Proposes one generation after another; the next one is made when all results of the last have been told.

    How many proposals are asked for at a time changes nothing.
    """

    def __init__(
        self, space: Space[Any, Any], feasible: Feasibility, rng: np.random.Generator, law: Law | None
    ) -> None:
        super().__init__(space, feasible)
        self.rng = rng
        self.draws = Draws(space, feasible, rng, law)
        self.results: dict[Arch, Result | None] = {}
        """Of every proposal, in the order in which they were asked for; None until it is told."""
        self._queue: deque[Proposal] = deque()
        self._num_generations = 0
        self._num_told = 0
        self._finished = False

    @abstractmethod
    def make_generation(self, generation: int) -> list[Proposal]:
        """The proposals of a generation, drawn by `draws`; none when the search is over."""

    def ask(self, n: int) -> list[Proposal]:
        """See `Searcher.ask`.

        Raises:
            UserError: the space has no feasible arch, or none was found.
        """
        if not self._queue and not self._finished:
            assert self._num_told == len(self.results), "a generation is told before the next one is asked for"
            self._queue.extend(self.make_generation(self._num_generations))
            if not self._queue and not self.results:
                raise UserError(
                    f"no arch of space {self.space.name} can be searched: {self.feasible.explain()}; "
                    "relax the limits search.max_... and search.min_..."
                )
            self._finished = not self._queue
            self._num_generations += not self._finished
        proposals = [self._queue.popleft() for _ in range(min(n, len(self._queue)))]
        self.results.update((proposal.arch, None) for proposal in proposals)
        return proposals

    def tell(self, results: Sequence[Result]) -> None:
        for result in results:
            assert self.results[result.arch] is None, f"arch {result.arch.id} was told twice"
            self.results[result.arch] = result
            self._num_told += 1

    def state_dict(self) -> dict[str, Any]:
        return {
            "num_generations": self._num_generations,
            "num_proposed": len(self.results),
            "num_told": self._num_told,
            "num_drawn": self.feasible.num_asked,
            "num_feasible": self.feasible.num_passed,
            "num_cost_failures": self.feasible.num_failed,
        }
