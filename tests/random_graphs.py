"""Spaces made up by hypothesis: any decision graph without a cycle, with archs of different lengths."""

from collections.abc import Collection

from hypothesis import strategies as st

from shiftaddnas.hardware import Layer
from shiftaddnas.spaces import Arch, Choice, Decision, Space, Term

END = -1
NUM_TERMS = 6


class GraphSpace(Space[int, int]):
    """`graph[state]` holds, for each option, the next state (END: none) and the terms that the option adds."""

    name = "graph"

    def __init__(self, graph: list[list[tuple[int, tuple[int, ...]]]]) -> None:
        self.graph = graph

    def start(self) -> int:
        return 0

    def decision(self, state: int) -> Decision | None:
        return None if state == END else Decision(f"from_{state}", tuple(range(len(self.graph[state]))))

    def advance(self, state: int, choice: Choice) -> int:
        assert isinstance(choice, int)
        return self.graph[state][choice][0]

    def decision_terms(self, state: int, choice: Choice) -> tuple[Term, ...]:
        assert isinstance(choice, int)
        return self.graph[state][choice][1]

    def layers(self, term: Term, workload: int) -> tuple[Layer, ...]:
        assert isinstance(term, int)
        return (Layer("layer", "layer", "linear", "mult", N=1, C=term + 1, M=workload),)

    def restricted(self, operators: Collection[str]) -> "GraphSpace":
        return self

    def all_multiplication(self, arch: Arch) -> Arch:
        return arch

    def all_cheap(self, arch: Arch) -> Arch:
        return arch

    def describe(self, arch: Arch) -> str:
        return arch.id


@st.composite
def graph_spaces(draw: st.DrawFn) -> GraphSpace:
    """At most 3^5 archs of 1 to 5 decisions."""
    num_states = draw(st.integers(1, 5))
    terms = st.lists(st.integers(0, NUM_TERMS - 1), max_size=2).map(tuple)
    graph = []
    for state in range(num_states):
        later = st.sampled_from([*range(state + 1, num_states), END])
        graph.append(draw(st.lists(st.tuples(later, terms), min_size=1, max_size=3)))
    return GraphSpace(graph)
