"""Which archs a supernet trains in a step.

A path sampler gets the space as the operator schedule leaves it and a generator seeded by step and rank, so that what
is trained depends on nothing else: not on what was drawn before, and not on whether the training was resumed.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, Choice, Space, Term


class PathSampler(ABC):
    """Chooses the archs of one training step.

    Attributes:
        distill: whether the first arch teaches the others (in-place distillation).
        per_rank: whether every process of a distributed run draws its own archs, or all draw the same.
    """

    distill = False
    per_rank: bool

    @abstractmethod
    def archs(self, space: Space[Any, Any], rng: np.random.Generator) -> list[Arch]:
        """The archs whose losses make up one optimiser step."""

    def archs_at(self, num_updates: int, space: Space[Any, Any], rng: np.random.Generator) -> list[Arch]:
        """The same for the step before which there were so many; a sampler with a sequence of its own overrides it."""
        return self.archs(space, rng)


class UniformPaths(PathSampler):
    """One arch a step, every arch of the space equally likely (single path one-shot, ECCV 2020)."""

    def __init__(self, *, per_rank: bool = True) -> None:
        self.per_rank = per_rank

    def archs(self, space: Space[Any, Any], rng: np.random.Generator) -> list[Arch]:
        return [space.sample(rng)]


class FairPaths(PathSampler):
    """As many archs a step as a layer has operators, so that every operator of every layer is trained (FairNAS).

    All share one draw of the decisions that give the network its shape; each other decision runs through a random
    permutation of its options, again from the start where it has fewer than another. So does a decision that only
    some of the archs take.
    """

    def __init__(self, *, per_rank: bool = True) -> None:
        self.per_rank = per_rank

    def archs(self, space: Space[Any, Any], rng: np.random.Generator) -> list[Arch]:
        orders = {
            decision.name: _shuffled(decision.options, rng) if decision.mutable else [choice]
            for _, decision, choice in space.walk(space.sample(rng))
        }
        count = max(len(options) for options in orders.values())
        return [_arch_of(space, orders, number, rng) for number in range(count)]


def _shuffled(options: Sequence[Choice], rng: np.random.Generator) -> list[Choice]:
    return [options[index] for index in rng.permutation(len(options))]


def _arch_of(space: Space[Any, Any], orders: dict[str, list[Choice]], number: int, rng: np.random.Generator) -> Arch:
    """The arch that takes of every order the choice of this number, or the next that is legal where it stands.

    Decisions that are met for the first time get an order, too.
    """
    decisions, state = [], space.start()
    while (decision := space.decision(state)) is not None:
        if decision.name not in orders:
            orders[decision.name] = _shuffled(decision.options, rng)
        order = orders[decision.name]
        turned = [order[(number + step) % len(order)] for step in range(len(order))]
        choice = next((choice for choice in turned if choice in decision.options), decision.options[0])
        decisions.append((decision.name, choice))
        state = space.advance(state, choice)
    return Arch(tuple(decisions))


class SandwichPaths(PathSampler):
    """The largest arch, the smallest and some random ones a step; the largest teaches the others (BigNAS, ECCV 2020).

    Args:
        num_random: random archs besides the two ends.
    """

    distill = True

    def __init__(self, *, num_random: int = 2, per_rank: bool = True) -> None:
        if num_random < 0:
            raise UserError(f"sampling.num_random={num_random}; it must be 0 or more")
        self.num_random = num_random
        self.per_rank = per_rank
        self._ends: tuple[Mapping[Term, float], Mapping[Term, float]] | None = None

    def rank_by(self, multiplications: Mapping[Term, float], costs: Mapping[Term, float]) -> None:
        """Largest means the most multiplications, smallest the least cost; both are given as sums over terms."""
        self._ends = {term: -count for term, count in multiplications.items()}, costs

    def archs(self, space: Space[Any, Any], rng: np.random.Generator) -> list[Arch]:
        assert self._ends is not None, "call rank_by first"
        largest, smallest = (space.cheapest(prices) for prices in self._ends)
        return [largest, smallest, *(space.sample(rng) for _ in range(self.num_random))]
