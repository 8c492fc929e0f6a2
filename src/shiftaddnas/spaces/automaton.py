"""A space with its states and choices as numbers: what whole populations, and the whole space, are computed with.

State 0 is the start and the last state the end of every arch. An edge is one option of one state's decision; the edges
of a state follow one another in the order of its options and lead to states of greater number, so that one pass over
the numbers, backwards, is a dynamic programme over all archs.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.spaces.arch import Arch, Choice

if TYPE_CHECKING:
    from shiftaddnas.spaces.space import Decision, Law, Space, Term

Edges = NDArray[np.int32]
"""The edges of many archs: (archs, `max_length`), filled up with `no_edge` behind the end of an arch."""
P = TypeVar("P", int, float)


class Automaton:
    """The decision graph of a space, compiled.

    Attributes:
        first_edge: of each state, and behind them all the number of edges; the end has no edge.
        target: the state that an edge leads to.
        decisions: of each edge, the decision's name and the choice.
        terms: of the space, each once.
        edge_terms: of each edge, the numbers of the terms that its choice adds.
    """

    def __init__(self, space: "Space[Any, Any]") -> None:
        self.space_name = space.name
        graph, order = _explored(space)
        self._number = {state: index for index, state in enumerate(order)}
        self.end = len(order)
        self.first_edge = [0]
        self.target: list[int] = []
        self.decisions: list[tuple[str, Choice]] = []
        self.edge_terms: list[tuple[int, ...]] = []
        numbers: dict[Term, int] = {}
        for state in order:
            decision, targets = graph[state]
            for choice, target in zip(decision.options, targets, strict=True):
                self.target.append(self._number.get(target, self.end))
                self.decisions.append((decision.name, choice))
                terms = space.decision_terms(state, choice)
                self.edge_terms.append(tuple(numbers.setdefault(term, len(numbers)) for term in terms))
            self.first_edge.append(len(self.target))
        self.terms = tuple(numbers)
        self.no_edge = len(self.target)
        assert all(self.target[edge] > state for state in range(self.end) for edge in self.edges_from(state)), "a cycle"
        self._edge_of = [{self.decisions[edge]: edge for edge in self.edges_from(state)} for state in range(self.end)]

    def edges_from(self, state: int) -> range:
        return range(self.first_edge[state], self.first_edge[state + 1]) if state < self.end else range(0)

    def backwards(self) -> range:
        """Every state but the end, each after all that its edges lead to."""
        return range(self.end - 1, -1, -1)

    @cached_property
    def num_archs(self) -> list[int]:
        """How many ways lead from each state to the end, exactly."""
        counts = [0] * self.end + [1]
        for state in self.backwards():
            counts[state] = sum(counts[self.target[edge]] for edge in self.edges_from(state))
        return counts

    def num_archs_from(self, state: Hashable) -> int:
        """How many ways lead from a state of the space to an end, exactly."""
        return self.num_archs[self._number.get(state, self.end)]

    @cached_property
    def max_length(self) -> int:
        """The decisions of the archs that take the most."""
        lengths = [0] * (self.end + 1)
        for state in self.backwards():
            lengths[state] = 1 + max(lengths[self.target[edge]] for edge in self.edges_from(state))
        return lengths[0]

    # Sums of prices over all archs

    def edge_sums(self, prices: Mapping["Term", float]) -> list[float]:
        """The price of each edge, from those of the terms."""
        by_number = [prices[term] for term in self.terms]
        return [sum(by_number[number] for number in terms) for terms in self.edge_terms]

    def least(self, prices: Sequence[P]) -> list[P]:
        """From each state to the end, the least sum of edge prices."""
        least: list[P] = [0] * (self.end + 1)
        for state in self.backwards():
            least[state] = min(prices[edge] + least[self.target[edge]] for edge in self.edges_from(state))
        return least

    def greatest(self, prices: Sequence[P]) -> list[P]:
        """From each state to the end, the greatest sum of edge prices."""
        return [0 - total for total in self.least([-price for price in prices])]

    def cheapest(self, prices: Sequence[float]) -> Arch:
        """An arch with the least sum of edge prices; ties go to the first option."""
        least, state, decisions = self.least(prices), 0, []
        while state != self.end:
            edge = min(self.edges_from(state), key=lambda edge: prices[edge] + least[self.target[edge]])
            decisions.append(self.decisions[edge])
            state = self.target[edge]
        return Arch(tuple(decisions))

    # Many archs at once

    def path(self, arch: Arch) -> list[int]:
        """The edges of an arch.

        Raises:
            UserError: the arch is not of this space.
        """
        path, state = [], 0
        edge_of, target = self._edge_of, self.target
        for decision in arch.decisions:
            edge = edge_of[state].get(decision) if state < self.end else None
            if edge is None:
                raise UserError(f"arch {arch.id} does not belong to space {self.space_name}: it has {decision}")
            path.append(edge)
            state = target[edge]
        if state != self.end:
            raise UserError(f"arch {arch.id} does not belong to space {self.space_name}: it ends too early")
        return path

    def paths(self, archs: Sequence[Arch]) -> Edges:
        """The edges of many archs; a UserError if one of them is not of this space."""
        if isinstance(archs, CodedArchs) and archs.automaton is self:
            return archs.edges
        edges = np.full((len(archs), self.max_length), self.no_edge, dtype=np.int32)
        for row, arch in zip(edges, archs, strict=True):
            path = self.path(arch)
            row[: len(path)] = path
        return edges

    def read(self, codes: NDArray[np.integer[Any]]) -> Edges:
        """The edges of codes, one row an arch, filled up with -1 to the length of the longest.

        Raises:
            UserError: a row is no code of this space.
        """
        if codes.ndim != 2 or codes.shape[1] > self.max_length or codes.dtype.kind not in "iu":
            raise UserError(
                f"codes have shape {codes.shape} and type {codes.dtype}; those of space {self.space_name} are rows of "
                f"at most {self.max_length} whole numbers"
            )
        codes = codes.astype(np.int64, copy=False)
        first, target, num_options = self._arrays
        edges = np.full((len(codes), self.max_length), self.no_edge, dtype=np.int32)
        state = np.zeros(len(codes), dtype=np.int32)
        for position, code in enumerate(codes.T):
            ended = state == self.end
            wrong = np.where(ended, code != -1, (code < 0) | (code >= num_options[state]))
            if wrong.any():
                self._refuse(codes, wrong, f"position {position} is out of range")
            edges[:, position] = np.where(ended, self.no_edge, first[state] + code)
            state = target[edges[:, position]]
        if (state != self.end).any():
            self._refuse(codes, state != self.end, "it ends too early")
        return edges

    def _refuse(self, codes: NDArray[np.integer[Any]], wrong: NDArray[np.bool_], why: str) -> None:
        row = int(wrong.argmax())
        raise UserError(f"code {tuple(codes[row].tolist())}, row {row}, is not of space {self.space_name}: {why}")

    def codes(self, edges: Edges) -> NDArray[np.int32]:
        """The codes of edges, as `read` takes them."""
        options = [edge - first for first, edge in self._with_first_edges()]
        return np.array([*options, -1], dtype=np.int32)[edges]

    def sample(self, num: int, rng: np.random.Generator, law: "Law") -> Edges:
        """The edges of random archs, drawn as `Space.sample` draws one."""
        _, target, _ = self._arrays
        edges = np.full((num, self.max_length), self.no_edge, dtype=np.int32)
        state = np.zeros(num, dtype=np.int32)
        for column in edges.T:
            for number in np.unique(state[state != self.end]):
                rows = np.flatnonzero(state == number)
                options = self.edges_from(int(number))
                column[rows] = options.start + rng.choice(len(options), len(rows), p=self._chances(options, law))
            state = target[column]
        return edges

    def _chances(self, options: range, law: "Law") -> list[float] | None:
        if law == "decisions":
            return None
        counts = [self.num_archs[self.target[edge]] for edge in options]
        total = sum(counts)
        return [count / total for count in counts]

    def _with_first_edges(self) -> Iterator[tuple[int, int]]:
        return ((self.first_edge[state], edge) for state in range(self.end) for edge in self.edges_from(state))

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """First edges, targets (no edge stays at the end) and numbers of options."""
        first = np.array(self.first_edge, dtype=np.int32)
        return first, np.array([*self.target, self.end], dtype=np.int32), np.append(np.diff(first), 0)


class CodedArchs(Sequence[Arch]):
    """Archs of a space as an array, made only when they are looked at; costs price them without making them.

    `Space.from_codes` and `Space.sample_many` give them.
    """

    def __init__(self, automaton: Automaton, edges: Edges) -> None:
        self.automaton = automaton
        self.edges = edges

    @property
    def codes(self) -> NDArray[np.int32]:
        """(archs, longest code): `Space.encode` of each arch, filled up with -1."""
        return self.automaton.codes(self.edges)

    def __len__(self) -> int:
        return len(self.edges)

    @overload
    def __getitem__(self, index: int) -> Arch: ...
    @overload
    def __getitem__(self, index: slice) -> "CodedArchs": ...
    def __getitem__(self, index: int | slice) -> "Arch | CodedArchs":
        if isinstance(index, slice):
            return CodedArchs(self.automaton, self.edges[index])
        decisions, no_edge = self.automaton.decisions, self.automaton.no_edge
        return Arch(tuple(decisions[edge] for edge in self.edges[index].tolist() if edge != no_edge))


def _explored(space: "Space[Any, Any]") -> "tuple[dict[Any, tuple[Decision, list[Any]]], list[Any]]":
    """The decision and the next states of every state that is not an end, and these states, each before its next."""
    graph: dict[Any, tuple[Decision, list[Any]]] = {}
    finished: dict[Any, None] = {}
    todo = [space.start()]
    while todo:
        state = todo[-1]
        decision = space.decision(state) if state not in graph else None
        if decision is not None:
            assert decision.options, f"space {space.name} offers nothing for {decision.name}"
            graph[state] = decision, [space.advance(state, choice) for choice in decision.options]
            todo.extend(reversed(graph[state][1]))
            continue
        todo.pop()
        if state in graph:
            finished.setdefault(state)
    return graph, list(reversed(finished))
