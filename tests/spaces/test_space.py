from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, Choice, Law
from shiftaddnas.testing.space import check_space
from shiftaddnas.testing.tiny_space import TinySpace, TinyTerm

SPACE = TinySpace()
ARCHS = list(SPACE.archs())
# One block has 2 operators and, as it cannot add, 2 heads; a second or third block has 3 operators with 2 + 1 + 2 heads
# behind the last one.
SIZE = 2 * 2 + 2 * 5 + 2 * 3 * 5

seeds = st.integers(0, 2**32 - 1)
archs = st.sampled_from(ARCHS)


def test_it_keeps_what_every_space_promises() -> None:
    check_space(SPACE, 8)


def test_its_size_is_what_a_hand_counts() -> None:
    assert SPACE.size() == len(ARCHS) == len(set(ARCHS)) == SIZE


def test_sizes_are_exact_beyond_floating_point() -> None:
    assert TinySpace(((8,) * 60,)).size() == 2 * 3**58 * 5


def test_the_archs_law_makes_every_arch_equally_likely() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(SPACE.sample(rng) for _ in range(100 * SIZE))
    assert chisquare([counts[arch] for arch in ARCHS]).pvalue > 0.01


def test_the_decisions_law_makes_every_option_equally_likely() -> None:
    rng = np.random.default_rng(0)
    num_samples = 6000
    counts = Counter(SPACE.sample(rng, "decisions") for _ in range(num_samples))
    expected = [num_samples * np.prod([1 / len(d.options) for _, d, _ in SPACE.walk(arch)]) for arch in ARCHS]
    assert chisquare([counts[arch] for arch in ARCHS], expected).pvalue > 0.01
    uniform = [num_samples / SIZE] * SIZE
    assert chisquare([counts[arch] for arch in ARCHS], uniform).pvalue < 1e-6


@given(st.data())
def test_extremes_and_the_cheapest_arch_are_those_of_all_archs(data: st.DataObject) -> None:
    terms = sorted(SPACE.all_terms(), key=str)
    prices = {term: float(data.draw(st.integers(-1000, 1000))) for term in terms}
    totals = {arch: sum(prices[term] for term in SPACE.terms(arch)) for arch in ARCHS}
    assert SPACE.extremes(prices) == (min(totals.values()), max(totals.values()))
    assert totals[SPACE.cheapest(prices)] == min(totals.values())


def test_all_terms_are_those_of_all_archs() -> None:
    assert SPACE.all_terms() == {term for arch in ARCHS for term in SPACE.terms(arch)}


def test_terms_and_layers_follow_the_decisions() -> None:
    arch = SPACE.arch({"widths": (8, 16), "op0": "shift", "op1": "add", "head": "linear"})
    assert SPACE.terms(arch) == (
        TinyTerm("block", "shift", 3, 8),
        TinyTerm("block", "add", 8, 16),
        TinyTerm("head", "mult", 16, 10),
    )
    layers = SPACE.arch_layers(arch, 4)
    assert [layer.arithmetic for layer in layers] == ["shift", "shift", "add", "add", "mult"]
    assert [layer.num_taps for layer in layers] == [9 * 3 * 16, 3 * 8 * 16, 9 * 8 * 16, 8 * 16 * 16, 160]


@given(archs, seeds, st.floats(0, 1), st.sampled_from(["archs", "decisions"]))
def test_mutants_are_legal_and_keep_what_is_not_mutable(arch: Arch, seed: int, probability: float, law: Law) -> None:
    mutant = SPACE.mutate(arch, np.random.default_rng(seed), probability=probability, law=law)
    assert mutant in ARCHS
    assert mutant["widths"] == arch["widths"]


def test_mutation_redraws_each_decision_uniformly() -> None:
    arch = SPACE.arch({"widths": (8, 16), "op0": "conv", "op1": "conv", "head": "linear"})
    rng = np.random.default_rng(0)
    mutants = [SPACE.mutate(arch, rng, probability=0.3) for _ in range(6000)]
    counts = Counter(mutant["op1"] for mutant in mutants)
    assert chisquare([counts["conv"], counts["add"], counts["shift"]], [4800, 600, 600]).pvalue > 0.01


@given(archs, archs, seeds)
def test_children_are_legal_or_none_and_take_after_their_parents(first: Arch, second: Arch, seed: int) -> None:
    child = SPACE.crossover(first, second, np.random.default_rng(seed))
    if child is not None:
        assert child in ARCHS
        assert all(choice in (first.as_dict().get(n), second.as_dict().get(n)) for n, choice in child.decisions)


def test_children_that_leave_the_space_are_none() -> None:
    shallow = SPACE.arch({"widths": (8,), "op0": "conv", "head": "linear"})
    deep = SPACE.arch({"widths": (8, 8, 16), "op0": "conv", "op1": "conv", "op2": "conv", "head": "linear"})
    rng = np.random.default_rng(0)
    illegal = sum(SPACE.crossover(shallow, deep, rng) is None for _ in range(4000))
    # The deep widths (1/2) need the second and third operator from the deep parent too (1/4).
    assert abs(illegal / 4000 - 3 / 8) < 4 * np.sqrt(3 / 8 * 5 / 8 / 4000)


@given(archs)
def test_codes_lose_nothing(arch: Arch) -> None:
    assert SPACE.decode(SPACE.encode(arch)) == arch


def test_codes_are_distinct_and_those_of_no_arch_are_refused() -> None:
    codes = [SPACE.encode(arch) for arch in ARCHS]
    assert len(set(codes)) == SIZE
    for code, reason in [
        ((1, 0, 1), "too early"),
        ((0, 0, 0, 0), "position 3"),
        ((0, 2, 0), "position 1"),
        ((-1,), "0"),
    ]:
        with pytest.raises(UserError, match=reason):
            SPACE.decode(code)


def test_archs_of_other_spaces_are_refused() -> None:
    choices: dict[str, Choice] = {"widths": (8,), "op0": "conv", "head": "linear"}
    cases: list[tuple[dict[str, Choice], str]] = [
        ({"op0": "add"}, "op0=add is not in space tiny; allowed here: conv, shift"),
        ({"op9": "add"}, "has op9, which this space does not know"),
        ({"widths": (8, 16)}, "lacks op1"),
    ]
    for change, message in cases:
        with pytest.raises(UserError, match=message):
            SPACE.arch({**choices, **change})
    legal = SPACE.arch(choices)
    with pytest.raises(UserError, match="canonical form"):
        SPACE.validate(Arch(legal.decisions[::-1]))


def test_the_ends_keep_the_shape() -> None:
    arch = SPACE.arch({"widths": (8, 16), "op0": "shift", "op1": "add", "head": "linear"})
    assert SPACE.describe(SPACE.all_multiplication(arch)) == "conv conv linear"
    assert SPACE.describe(SPACE.all_cheap(arch)) == "shift shift shift"


def test_a_restricted_space_is_part_of_the_whole() -> None:
    restricted = list(SPACE.restricted(("conv", "add", "linear")).archs())
    assert set(restricted) < set(ARCHS)
    assert len(restricted) == 1 + 2 + 4
