from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import NUM_TERMS, GraphSpace, graph_spaces
from scipy.stats import chisquare

from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Automaton
from shiftaddnas.testing.space import check_space
from shiftaddnas.testing.tiny_space import TinySpace

SPACE = TinySpace()
ARCHS = list(SPACE.archs())
END = -1
prices = st.lists(st.integers(-50, 50), min_size=NUM_TERMS, max_size=NUM_TERMS)


@given(graph_spaces())
def test_any_graph_keeps_what_every_space_promises_of_codes_and_sizes(space: GraphSpace) -> None:
    archs = list(space.archs())
    assert space.size() == len(archs)
    assert space.all_terms() == {term for arch in archs for term in space.terms(arch)}
    coded = space.coded(archs)
    assert list(space.from_codes(coded.codes)) == list(coded) == archs
    lengths = [len(arch.decisions) for arch in archs]
    assert coded.codes.shape == (len(archs), max(lengths))
    assert [tuple(code[:length]) for code, length in zip(coded.codes.tolist(), lengths, strict=True)] == [
        space.encode(arch) for arch in archs
    ]
    assert all((code[length:] == -1).all() for code, length in zip(coded.codes, lengths, strict=True))
    assert set(space.sample_many(20, np.random.default_rng(0))) <= set(archs)


@given(graph_spaces(), prices)
def test_ends_of_any_graph_are_those_of_its_archs(space: GraphSpace, values: list[int]) -> None:
    priced = {term: float(values[term]) for term in range(NUM_TERMS)}
    totals = {arch: sum(priced[term] for term in space.terms(arch)) for arch in space.archs()}
    assert space.extremes(priced) == (min(totals.values()), max(totals.values()))
    assert totals[space.cheapest(priced)] == min(totals.values())


def test_a_state_follows_all_that_lead_to_it() -> None:
    # Two ways to state 2, one of them through state 1, in which the depth-first walk meets it first.
    automaton = GraphSpace([[(2, ()), (1, ())], [(2, ())], [(END, ()), (END, ())]]).automaton
    sources = [state for state in range(automaton.end) for _ in automaton.edges_from(state)]
    assert all(target > source for source, target in zip(sources, automaton.target, strict=True))
    assert automaton.num_archs == [4, 2, 2, 1]
    assert automaton.max_length == 3


def test_a_graph_with_a_cycle_is_no_space() -> None:
    with pytest.raises(AssertionError, match="a cycle"):
        Automaton(GraphSpace([[(1, ())], [(0, ()), (END, ())]]))


def test_archs_are_sampled_by_law() -> None:
    for law in ("archs", "decisions"):
        num = 100 * len(ARCHS)
        counts = Counter(SPACE.sample_many(num, np.random.default_rng(0), law))  # type: ignore[arg-type]
        chances = [np.prod([1 / len(d.options) for _, d, _ in SPACE.walk(arch)]) for arch in ARCHS]
        expected = [num / len(ARCHS)] * len(ARCHS) if law == "archs" else [num * chance for chance in chances]
        assert chisquare([counts[arch] for arch in ARCHS], expected).pvalue > 0.01


def test_archs_are_sampled_from_spaces_beyond_whole_numbers_of_64_bits() -> None:
    space = TinySpace(((8,) * 60, (8,) * 59))
    archs = space.sample_many(4000, np.random.default_rng(0))
    # A block more means three times as many archs.
    longer = sum(len(arch.decisions) == 62 for arch in archs)
    assert abs(longer / 4000 - 3 / 4) < 4 * np.sqrt(3 / 16 / 4000)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 0, 0, -1, -1], [0, 2, 0, -1, -1]], r"code \(0, 2, 0, -1, -1\), row 1, is not of space tiny: position 1"),
        ([[0, -1, 0, -1, -1]], "position 1 is out of range"),
        ([[0, 0, 0, 0, -1]], "position 3 is out of range"),
        ([[0, 0]], "it ends too early"),
        ([[0, 0, 0, -1, -1, -1]], "rows of at most 5 whole numbers"),
        ([0, 0, 0], "codes have shape"),
        ([[0.0, 0.0, 0.0]], "type float64"),
    ],
)
def test_what_is_no_code_is_refused(codes: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SPACE.from_codes(np.array(codes))


def test_codes_may_end_with_the_longest_and_have_any_width() -> None:
    for dtype in (np.int8, np.uint8, np.int64):
        (arch,) = SPACE.from_codes(np.array([[0, 0, 1]], dtype=dtype))
        assert SPACE.describe(arch) == "conv shift"


def test_coded_archs_are_a_sequence() -> None:
    coded = SPACE.coded(ARCHS)
    assert coded[3] == ARCHS[3]
    assert coded[-1] == ARCHS[-1]
    assert list(coded[10:20:3]) == ARCHS[10:20:3]
    with pytest.raises(IndexError):
        coded[len(ARCHS)]


def test_decisions_that_are_missing_or_wrong_are_refused() -> None:
    arch = SPACE.arch({"widths": (8,), "op0": "conv", "head": "linear"})
    with pytest.raises(UserError, match="ends too early"):
        SPACE.coded([type(arch)(arch.decisions[:-1])])
    with pytest.raises(UserError, match=r"it has \('more', 1\)"):
        SPACE.coded([type(arch)((*arch.decisions, ("more", 1)))])


def test_the_kit_checks_spaces_of_any_kind() -> None:
    check_space(GraphSpace([[(1, (0,)), (END, (1,))], [(END, (2,)), (END, (2, 3))]]), 4)
