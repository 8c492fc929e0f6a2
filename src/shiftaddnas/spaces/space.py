"""A space of architectures as a graph of decisions.

A space takes its decisions one after another. What may be chosen next depends on a small state, so that size, uniform
sampling, mutation, crossover, encoding and the exact range of an additive cost all follow from one walk, without
enumerating the space. Each decision also names the terms it adds to a network, and each term its layers: archs are
priced from shapes alone, without building the network.

Concrete spaces live with their task.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.layer import Layer
from shiftaddnas.spaces.arch import Arch, Choice
from shiftaddnas.spaces.automaton import Automaton, CodedArchs

S = TypeVar("S", bound=Hashable)
W = TypeVar("W", contravariant=True)

Term = Hashable
Law = Literal["archs", "decisions"]


@dataclass(frozen=True)
class Decision:
    """One thing to choose: its name, its legal options, and whether mutation may redraw it on its own."""

    name: str
    options: tuple[Choice, ...]
    mutable: bool = True


class Space(ABC, Generic[S, W]):
    """What may be chosen. `S` is the state of the walk, `W` the workload that turns terms into layers.

    Implementations are plain data: no torch, picklable, and equal when built from the same values.

    Attributes:
        law: how random archs are drawn where nothing else is said: every arch equally likely, or every option of every
            decision equally likely.
    """

    name: str
    law: ClassVar[Law] = "archs"

    # What an implementation says

    @abstractmethod
    def start(self) -> S:
        """The state before the first decision."""

    @abstractmethod
    def decision(self, state: S) -> Decision | None:
        """The decision to take in this state; None when the arch is complete."""

    @abstractmethod
    def advance(self, state: S, choice: Choice) -> S:
        """The state after the choice."""

    @abstractmethod
    def decision_terms(self, state: S, choice: Choice) -> tuple[Term, ...]:
        """What this choice, in this state, adds to the network: keys of `layers`, equal where the layers are."""

    @abstractmethod
    def layers(self, term: Term, workload: W) -> tuple[Layer, ...]:
        """The priced computations of a term, in order of execution."""

    @abstractmethod
    def restricted(self, operators: Collection[str]) -> "Space[S, W]":
        """The same space with these operators alone, wherever that leaves a choice; elsewhere as it is."""

    @abstractmethod
    def all_multiplication(self, arch: Arch) -> Arch:
        """The arch of the same shape that multiplies everywhere."""

    @abstractmethod
    def all_cheap(self, arch: Arch) -> Arch:
        """The arch of the same shape that shifts or adds wherever the space allows it."""

    @abstractmethod
    def describe(self, arch: Arch) -> str:
        """One short line for tables, made for people."""

    def crossover(self, first: Arch, second: Arch, rng: np.random.Generator) -> Arch | None:
        """A child that takes each decision from one of its parents; None where that leaves the space."""
        parents = first.as_dict(), second.as_dict()
        decisions, state = [], self.start()
        while (decision := self.decision(state)) is not None:
            name = decision.name
            parent = parents[rng.integers(2)]
            if parent.get(name) not in decision.options:
                return None
            decisions.append((name, parent[name]))
            state = self.advance(state, parent[name])
        return Arch(tuple(decisions))

    # What follows from it

    def walk(self, arch: Arch) -> Iterator[tuple[S, Decision, Choice]]:
        """The states, decisions and choices of a legal arch."""
        state = self.start()
        for _, choice in arch.decisions:
            decision = self.decision(state)
            assert decision is not None, f"{arch} has more decisions than its space"
            yield state, decision, choice
            state = self.advance(state, choice)

    def terms(self, arch: Arch) -> tuple[Term, ...]:
        """All terms of an arch: a cost that is additive over layers is the sum over these."""
        return tuple(term for state, _, choice in self.walk(arch) for term in self.decision_terms(state, choice))

    def arch_layers(self, arch: Arch, workload: W) -> tuple[Layer, ...]:
        return tuple(layer for term in self.terms(arch) for layer in self.layers(term, workload))

    def arch(self, choices: Mapping[str, Choice]) -> Arch:
        """The arch of these choices.

        Raises:
            UserError: a decision is missing, unknown in this space or not legal where it stands.
        """
        decisions, state, missing = [], self.start(), []
        while (decision := self.decision(state)) is not None:
            if decision.name not in choices:
                missing.append(decision.name)
                break
            choice = choices[decision.name]
            if choice not in decision.options:
                allowed = ", ".join(str(option) for option in decision.options)
                raise UserError(f"{decision.name}={choice} is not in space {self.name}; allowed here: {allowed}")
            decisions.append((decision.name, choice))
            state = self.advance(state, choice)
        unknown = sorted(set(choices) - {name for name, _ in decisions})
        if missing or unknown:
            what = f"lacks {missing[0]}" if missing else f"has {', '.join(unknown)}, which this space does not know"
            raise UserError(f"the arch does not belong to space {self.name}: it {what}")
        return Arch(tuple(decisions))

    def validate(self, arch: Arch) -> None:
        """Raise a UserError unless the arch is a legal, canonical member of this space."""
        if self.arch(arch.as_dict()) != arch:
            raise UserError(f"arch {arch.id} is not in the canonical form of space {self.name}")

    @cached_property
    def automaton(self) -> Automaton:
        """The graph, compiled: what is computed over all archs, or many, is computed with it."""
        return Automaton(self)

    def size(self) -> int:
        """The number of archs, exactly."""
        return self.automaton.num_archs[0]

    def sample(self, rng: np.random.Generator, law: Law | None = None) -> Arch:
        """A random arch, by the law or by the space's own."""
        decisions, state = [], self.start()
        while (decision := self.decision(state)) is not None:
            choice = self._draw(state, decision, rng, law)
            decisions.append((decision.name, choice))
            state = self.advance(state, choice)
        return Arch(tuple(decisions))

    def _draw(self, state: S, decision: Decision, rng: np.random.Generator, law: Law | None) -> Choice:
        if (law or self.law) == "decisions":
            return decision.options[rng.integers(len(decision.options))]
        sizes = [self.automaton.num_archs_from(self.advance(state, option)) for option in decision.options]
        total = sum(sizes)
        return decision.options[rng.choice(len(sizes), p=[size / total for size in sizes])]

    def mutate(self, arch: Arch, rng: np.random.Generator, *, probability: float, law: Law | None = None) -> Arch:
        """Redraw each mutable decision with this probability, uniformly over its options.

        A decision whose parental choice has become illegal is drawn anew.
        """
        parent = arch.as_dict()
        decisions, state = [], self.start()
        while (decision := self.decision(state)) is not None:
            if decision.mutable and rng.random() < probability:
                choice = decision.options[rng.integers(len(decision.options))]
            elif parent.get(decision.name) in decision.options:
                choice = parent[decision.name]
            else:
                choice = self._draw(state, decision, rng, law)
            decisions.append((decision.name, choice))
            state = self.advance(state, choice)
        return Arch(tuple(decisions))

    def read_notation(self, text: str) -> Arch | None:
        """The arch that a text in the field's own notation of this space stands for; None where it is in none.

        The text is what a user typed, or the content of a file.

        Raises:
            UserError: the text is in such a notation, but no arch of the space.
        """
        return None

    def notations(self, arch: Arch) -> tuple[str, ...]:
        """The arch in each of the field's own notations that can write it; `read_notation` reads them all."""
        return ()

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """The arch as the index of each choice among its options; `decode` gives it back."""
        return tuple(decision.options.index(choice) for _, decision, choice in self.walk(arch))

    def decode(self, code: Sequence[int]) -> Arch:
        """The arch of a code.

        Raises:
            UserError: the code is too short, too long, or an index is out of range.
        """
        decisions, state = [], self.start()
        for position, index in enumerate(code):
            decision = self.decision(state)
            if decision is None or not 0 <= index < len(decision.options):
                raise UserError(f"code {tuple(code)} is not of space {self.name}: position {position} is out of range")
            decisions.append((decision.name, decision.options[index]))
            state = self.advance(state, decision.options[index])
        if self.decision(state) is not None:
            raise UserError(f"code {tuple(code)} is not of space {self.name}: it ends too early")
        return Arch(tuple(decisions))

    def archs(self) -> Iterator[Arch]:
        """Every arch, one after another (for small spaces and tests)."""

        def complete(state: S, decisions: tuple[tuple[str, Choice], ...]) -> Iterator[Arch]:
            decision = self.decision(state)
            if decision is None:
                yield Arch(decisions)
                return
            for choice in decision.options:
                yield from complete(self.advance(state, choice), (*decisions, (decision.name, choice)))

        yield from complete(self.start(), ())

    def all_terms(self) -> frozenset[Term]:
        """Every term that some arch of the space has."""
        return frozenset(self.automaton.terms)

    def cheapest(self, prices: Mapping[Term, float]) -> Arch:
        """An arch with the least sum of term prices, exactly, by dynamic programming; ties go to the first option."""
        return self.automaton.cheapest(self.automaton.edge_sums(prices))

    def extremes(self, prices: Mapping[Term, float]) -> tuple[float, float]:
        """The exact least and greatest sum of term prices over all archs."""
        sums = self.automaton.edge_sums(prices)
        return self.automaton.least(sums)[0], self.automaton.greatest(sums)[0]

    # Many archs at once

    def from_codes(self, codes: NDArray[np.integer[Any]]) -> CodedArchs:
        """The archs of codes, one row each, shorter ones filled up with -1; a UserError where a row is no code."""
        return CodedArchs(self.automaton, self.automaton.read(codes))

    def coded(self, archs: Sequence[Arch]) -> CodedArchs:
        """The same archs as an array; a UserError where one is not of this space."""
        return CodedArchs(self.automaton, self.automaton.paths(archs))

    def sample_many(self, num: int, rng: np.random.Generator, law: Law | None = None) -> CodedArchs:
        """As many random archs, each drawn as `sample` does."""
        return CodedArchs(self.automaton, self.automaton.sample(num, rng, law or self.law))
