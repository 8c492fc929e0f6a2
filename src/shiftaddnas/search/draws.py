"""New feasible archs in a bounded number of tries: the one place where any searcher redraws what it cannot use."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from shiftaddnas.search.feasibility import Feasibility
from shiftaddnas.spaces import Arch, Law, Space

MAX_SAMPLE_MISSES = 5000
"""Random archs in a row that are not new and feasible, after which no more are drawn."""
MAX_CHILD_MISSES = 500
"""The same for children: those that are not found give way to random archs."""
MUTATION_PROBABILITY = 0.1
"""Of each decision of an arch that keeps limits which random ones miss."""


class Draws:
    """Draws archs that are feasible and were not drawn before.

    Args:
        law: the law of random archs, see `Space.law`; None: the space's own.
    """

    def __init__(
        self, space: Space[Any, Any], feasible: Feasibility, rng: np.random.Generator, law: Law | None
    ) -> None:
        self.feasible = feasible
        self._space = space
        self._rng = rng
        self._law = law
        self._drawn: dict[Arch, None] = {}  # in the order in which they were drawn

    def sample(self) -> Arch:
        """One random arch of the space, feasible and new or not."""
        return self._space.sample(self._rng, self._law)

    def random(self, num: int) -> list[Arch]:
        """New random archs, fewer than asked for where no more are found.

        Of a space of at most MAX_SAMPLE_MISSES archs every feasible one is found. In a larger one, where limits leave
        so few that random archs miss them, the rest are mutants of archs that keep the limits.
        """
        archs = self._collect(num, self.sample, MAX_SAMPLE_MISSES)
        if len(archs) < num:
            is_small = self._space.size() <= MAX_SAMPLE_MISSES
            archs += (self._listed if is_small else self._mutated)(num - len(archs))
        return archs

    def children(self, num: int, breed: Callable[[], Arch | None]) -> list[Arch]:
        """New archs made by `breed` (None is a miss), fewer than asked for where no more are found."""
        return self._collect(num, breed, MAX_CHILD_MISSES)

    def _listed(self, num: int) -> list[Arch]:
        """New archs of all that there are."""
        rest = [arch for arch in self._space.archs() if self._is_new(arch)]
        archs = [rest[index] for index in self._rng.permutation(len(rest))[:num]]
        self._drawn.update(dict.fromkeys(archs))
        return archs

    def _mutated(self, num: int) -> list[Arch]:
        """New archs at the ends of the limited metrics, and mutants of these and of all that were drawn."""
        archs = [arch for arch in self._ends() if self._is_new(arch)][:num]
        self._drawn.update(dict.fromkeys(archs))
        parents = list(self._drawn)

        def mutant() -> Arch:
            parent = parents[self._rng.integers(len(parents))]
            return self._space.mutate(parent, self._rng, probability=MUTATION_PROBABILITY, law=self._law)

        while parents and len(archs) < num:
            found = self._collect(1, mutant, MAX_CHILD_MISSES)
            if not found:
                break
            archs += found
            parents += found
        return archs

    def _ends(self) -> list[Arch]:
        """The cheapest arch in each metric that has an upper limit, the dearest in each with a lower one, exactly."""
        ends = []
        for limit in self.feasible.limits.limits:
            prices = self.feasible.cost.by_term(limit.metric.name)
            if prices is not None:
                ends += [self._space.cheapest(prices)] if limit.most < math.inf else []
                opposite = {term: -price for term, price in prices.items()}
                ends += [self._space.cheapest(opposite)] if limit.least > 0 else []
        return list(dict.fromkeys(ends))

    def _collect(self, num: int, draw: Callable[[], Arch | None], max_misses: int) -> list[Arch]:
        archs: list[Arch] = []
        num_misses = 0
        while len(archs) < num and num_misses < max_misses and len(self._drawn) < self._space.size():
            arch = draw()
            if arch is not None and self._is_new(arch):
                archs.append(arch)
                self._drawn[arch] = None
                num_misses = 0
            else:
                num_misses += 1
        return archs

    def _is_new(self, arch: Arch) -> bool:
        return arch not in self._drawn and self.feasible(arch)
