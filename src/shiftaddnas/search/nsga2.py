"""NSGA-II (Deb et al., 2002): evolution of a whole Pareto front, over the score and any costs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.search.feasibility import Feasibility
from shiftaddnas.search.generational import GenerationalSearcher
from shiftaddnas.search.searcher import Origin, Proposal, Result
from shiftaddnas.spaces import Arch, Law, Space


class Nsga2Searcher(GenerationalSearcher):
    """A random population, then generations of children of the archs that survive, filled up at random.

    The survivors are the `population` best archs of all generations: by the front they are on when fronts are peeled
    off one after another, then by how much room they have on it (crowding distance). Each parent wins a tournament of
    two survivors; a child is a crossover of two parents, then mutated.

    Args:
        objectives: metrics of the hardware to be minimised, beside the score.
        population: archs in a generation, and survivors.
        num_generations: generations after the first population.
        mutation_probability: of each decision of a child.
        law: the law of random archs, see `Space.law`; None: the space's own.

    Raises:
        UserError: a setting is out of range, or an objective is no metric of the hardware.
    """

    def __init__(
        self,
        space: Space[Any, Any],
        feasible: Feasibility,
        rng: np.random.Generator,
        *,
        objectives: Sequence[str],
        population: int,
        num_generations: int,
        mutation_probability: float = 0.1,
        law: Law | None = None,
    ) -> None:
        super().__init__(space, feasible, rng, law)
        metrics = [metric.name for metric in feasible.cost.metrics]
        unknown = [name for name in objectives if name not in metrics]
        if unknown or not objectives or len(set(objectives)) < len(objectives):
            raise UserError(
                f"search.objectives={list(objectives)}; allowed are different metrics of hardware "
                f"{feasible.cost.name}, at least one: {', '.join(metrics)}"
            )
        for name, count, least in (("population", population, 2), ("num_generations", num_generations, 0)):
            if count < least:
                raise UserError(f"search.{name}={count} is too small; give a whole number >= {least}")
        if not 0 <= mutation_probability <= 1:
            raise UserError(
                f"search.mutation_probability={mutation_probability} is no probability; give a number from 0 to 1"
            )
        self.objectives = tuple(objectives)
        self.population = population
        self.num_generations = num_generations
        self.mutation_probability = mutation_probability
        self.law = law

    @property
    def num_evaluations(self) -> int:
        return min(self.population * (1 + self.num_generations), self.space.size())

    def survivors(self) -> list[Arch]:
        """The archs that may have children, best first. Failed ones are left out."""
        told = [result for result in self.results.values() if result is not None and result.objective is not None]
        if not told:
            return []
        order = _by_rank_and_crowding(np.array([self._losses(result) for result in told], dtype=np.float64))
        return [told[index].arch for index in order[: self.population]]

    def make_generation(self, generation: int) -> list[Proposal]:
        if generation > self.num_generations:
            return []
        survivors = self.survivors()
        children = self.draws.children(self.population, lambda: self._child(survivors)) if len(survivors) > 1 else []
        strangers = self.draws.random(self.population - len(children))
        origins: list[tuple[Origin, list[Arch]]] = [("crossover", children), ("random", strangers)]
        return [Proposal(arch, origin, generation) for origin, archs in origins for arch in archs]

    def _losses(self, result: Result) -> list[float]:
        assert result.objective is not None
        return [result.objective, *(result.costs[name] for name in self.objectives)]

    def _child(self, survivors: list[Arch]) -> Arch | None:
        child = self.space.crossover(self._parent(survivors), self._parent(survivors), self.rng)
        if child is None:
            return None
        return self.space.mutate(child, self.rng, probability=self.mutation_probability, law=self.law)

    def _parent(self, survivors: list[Arch]) -> Arch:
        """The better of two survivors."""
        return survivors[int(self.rng.choice(len(survivors), size=2, replace=False).min())]


def _by_rank_and_crowding(losses: NDArray[np.float64]) -> list[int]:
    """The rows in NSGA-II's order; of equals the earlier one first."""
    # pymoo is slow to import, and only this needs it
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    order: list[int] = []
    for front in NonDominatedSorting().do(losses):
        rows = np.sort(front)
        order += rows[np.argsort(-calc_crowding_distance(losses[rows]), kind="stable")].tolist()
    return order
