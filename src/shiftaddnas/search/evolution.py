"""Evolutionary search (AutoFormer, ICCV 2021, as ShiftAddNAS uses it).

Unlike the released code it ranks the last generation too, redraws children that leave the space or break a limit, and
never proposes an arch twice.
"""

from typing import Any

import numpy as np

from shiftaddnas.errors import UserError
from shiftaddnas.search.feasibility import Feasibility
from shiftaddnas.search.generational import GenerationalSearcher
from shiftaddnas.search.searcher import Origin, Proposal
from shiftaddnas.spaces import Arch, Law, Space


class EvolutionSearcher(GenerationalSearcher):
    """A random population, then generations of mutants and crossovers of the best archs so far, filled up at random.

    A mutant's parent is one of the best, or, with `resample_probability`, a random arch; each of its decisions is
    redrawn with `mutation_probability`. A crossover takes each decision from one of two of the best.

    Args:
        population: archs in a generation.
        num_generations: generations after the first population.
        num_parents: how many of the best archs of all generations have children.
        num_mutations: mutants in a generation.
        num_crossovers: crossovers in a generation.
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
        population: int = 50,
        num_generations: int = 20,
        num_parents: int = 10,
        num_mutations: int = 25,
        num_crossovers: int = 25,
        mutation_probability: float = 0.2,
        resample_probability: float = 0.2,
        law: Law | None = None,
    ) -> None:
        super().__init__(space, feasible, rng, law)
        counts = {"population": population, "num_parents": num_parents}
        counts |= {"num_generations": num_generations, "num_mutations": num_mutations, "num_crossovers": num_crossovers}
        for name, count in counts.items():
            least = 1 if name in ("population", "num_parents") else 0
            if count < least:
                raise UserError(f"search.{name}={count} is too small; give a whole number >= {least}")
        for name, value in {"mutation": mutation_probability, "resample": resample_probability}.items():
            if not 0 <= value <= 1:
                raise UserError(f"search.{name}_probability={value} is no probability; give a number from 0 to 1")
        if num_mutations + num_crossovers > population:
            raise UserError(
                f"search.num_mutations={num_mutations} and search.num_crossovers={num_crossovers} are more than "
                f"search.population={population}; together they may be at most that"
            )
        self.population = population
        self.num_generations = num_generations
        self.num_parents = num_parents
        self.num_mutations = num_mutations
        self.num_crossovers = num_crossovers
        self.mutation_probability = mutation_probability
        self.resample_probability = resample_probability
        self.law = law
        self._num_children = 0
        self._num_illegal_children = 0

    @property
    def num_evaluations(self) -> int:
        return min(self.population * (1 + self.num_generations), self.space.size())

    def parents(self) -> list[Arch]:
        """The best archs told so far, best first; of equals the first proposed. Failed ones are left out."""
        ranked = [
            (result.objective, order, result.arch)
            for order, result in enumerate(self.results.values())
            if result is not None and result.objective is not None
        ]
        return [arch for *_, arch in sorted(ranked, key=lambda entry: entry[:2])[: self.num_parents]]

    def make_generation(self, generation: int) -> list[Proposal]:
        if generation > self.num_generations:
            return []
        parents = self.parents()
        children: list[tuple[Origin, list[Arch]]] = []
        if parents:
            children.append(("mutation", self.draws.children(self.num_mutations, lambda: self._mutant(parents))))
        if len(parents) > 1:
            children.append(("crossover", self.draws.children(self.num_crossovers, lambda: self._crossover(parents))))
        num_children = sum(len(archs) for _, archs in children)
        children.append(("random", self.draws.random(self.population - num_children)))
        return [Proposal(arch, origin, generation) for origin, archs in children for arch in archs]

    def state_dict(self) -> dict[str, Any]:
        children = {"num_crossover_children": self._num_children, "num_illegal_children": self._num_illegal_children}
        return super().state_dict() | children

    def _mutant(self, parents: list[Arch]) -> Arch:
        parent = parents[self.rng.integers(len(parents))]
        if self.rng.random() < self.resample_probability:
            parent = self.draws.sample()
        return self.space.mutate(parent, self.rng, probability=self.mutation_probability, law=self.law)

    def _crossover(self, parents: list[Arch]) -> Arch | None:
        first, second = self.rng.choice(len(parents), size=2, replace=False)
        child = self.space.crossover(parents[first], parents[second], self.rng)
        self._num_children += 1
        self._num_illegal_children += child is None
        return child
