"""The tiling search against an enumeration in plain Python, written from the limits and counts of the model's guide."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.accelerator.array import AccessEnergy, Array
from shiftaddnas.hardware.accelerator.factors import factorisations, prime_factors
from shiftaddnas.hardware.accelerator.rules import Rule, Shape
from shiftaddnas.hardware.accelerator.tiling import Objective, Tiling, TilingSearch, num_cycles
from shiftaddnas.hardware.accelerator.traffic import unit_energy

ACCESS = AccessEnergy(dram=200, dram_buffer=1.5, buffer=22.2, noc=7.4, noc_psum=3.7, rf=3.5, rf_weight=7.1)
RULE = Rule(act_bits=16, weight_bits=8)
COMPUTE_PJ = 2.5


@dataclass(frozen=True)
class Candidate:
    tiling: Tiling
    energy_pj: float
    cycles: int


def every_tiling(shape: Shape, array: Array, search: TilingSearch) -> list[Candidate]:
    """All valid tilings with their energy and cycles, one after the other."""
    return [
        Candidate(tiling, energy_pj(shape, tiling), cycles(shape, tiling))
        for tiling in _splits(shape, search)
        if _fits(shape, tiling, array, search)
    ]


def _splits(shape: Shape, search: TilingSearch) -> Iterator[Tiling]:
    E = [(E1, math.ceil(shape.E / E1)) for E1 in range(1, shape.E + 1)]
    if not search.pad_rows:
        E = [(E1, E3) for E1, E3 in E if E1 * E3 == shape.E and (E1 > 1 or shape.is_vector)]
    loops = (_products(shape.N, 2), _products(shape.M, 4), _products(shape.C, 3), E, range(1, shape.copies + 1))
    for (N0, N3), (M0, M1, M2, M3), (C0, C1, C2), (E1, E3), copies1 in product(*loops):
        yield Tiling(N0, N3, M0, M1, M2, M3, C0, C1, C2, E1, E3, copies1)


def _products(number: int, num_parts: int) -> list[tuple[int, ...]]:
    candidates = product(range(1, number + 1), repeat=num_parts - 1)
    return [(*parts, number // math.prod(parts)) for parts in candidates if number % math.prod(parts) == 0]


def _fits(shape: Shape, t: Tiling, array: Array, search: TilingSearch) -> bool:
    rows = (t.E1 - 1) * shape.stride + (shape.R - 1) * shape.dilation + 1
    columns = (shape.F - 1) * shape.stride + (shape.S - 1) * shape.dilation + 1
    inputs, outputs = t.N0 * t.C1 * t.C0 * rows * columns, t.N0 * t.M2 * t.M1 * t.M0 * t.E1 * shape.F
    needs = [
        (t.M1 * t.C1 * t.E1 * shape.R * t.copies1, array.num_pes),
        (t.C0 * shape.S, array.input_words),
        (t.M0 * t.C0 * shape.S, array.weight_words),
        ((inputs + outputs) * t.copies1, array.buffer_words),
    ]
    within = all(need < size if search.strict_limits else need <= size for need, size in needs)
    return within and array.psum_words >= t.M0


def energy_pj(shape: Shape, t: Tiling) -> float:
    """Of one copy, with words of 16 bits for activations and of 8 for weights."""
    N, C, M, H, W, E, F, R, S = shape.N, shape.C, shape.M, shape.H, shape.W, shape.E, shape.F, shape.R, shape.S
    I, weights, O = N * H * W * C, R * S * C * M / 2, N * E * F * M  # noqa: E741
    dram = t.M3 * I * 201.5 + t.N3 * t.E3 * weights * 200 + O * 201.5
    buffer = (t.M3 * t.M2 * I + max(2 * (t.C2 - 1), 1) * O) * 22.2
    noc_in = t.M3 * t.M2 * t.M1 * R * E / H * I
    noc = (noc_in + t.N3 * E * weights) * 7.4 + max(t.C2 * (t.C1 * R - 1), 1) * O * 3.7
    partial_sums = max(2 * t.C2 * t.C1 * R * (t.C0 * S - 1), 1)
    rf = (noc_in * t.M0 * S * F / W + partial_sums * O) * 3.5 + N * E * F * weights * 7.1
    return N * E * F * M * R * S * C * COMPUTE_PJ + dram + buffer + noc + rf


def cycles(shape: Shape, t: Tiling) -> int:
    turns = math.ceil(shape.copies / t.copies1)
    return turns * t.N3 * t.N0 * t.M3 * t.M2 * t.M0 * t.C2 * t.C0 * t.E3 * shape.F * shape.S


def score(objective: Objective, candidates: list[Candidate], of: Candidate) -> tuple[float, ...]:
    E, L = [c.energy_pj for c in candidates], [c.cycles for c in candidates]
    scores: dict[Objective, tuple[float, ...]] = {
        "released": ((of.energy_pj - min(E)) / max(E) + (of.cycles - min(L)) / max(L),),
        "energy": (of.energy_pj, of.cycles),
        "latency": (of.cycles, of.energy_pj),
        "energy_delay": (of.energy_pj * of.cycles,),
    }
    return scores[objective]


SHAPES = st.builds(
    Shape,
    N=st.sampled_from([1, 2, 3, 4]),
    C=st.sampled_from([1, 2, 3, 4, 6, 8]),
    M=st.sampled_from([1, 2, 4, 5, 6, 8, 12]),
    H=st.integers(1, 9),
    W=st.integers(1, 9),
    E=st.integers(1, 8),
    F=st.integers(1, 4),
    R=st.integers(1, 3),
    S=st.integers(1, 3),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    copies=st.sampled_from([1, 1, 2, 5]),
)
ARRAYS = st.builds(
    Array,
    num_pes=st.sampled_from([2, 9, 13, 64]),
    input_words=st.sampled_from([2, 5, 12]),
    weight_words=st.sampled_from([2, 8, 40]),
    psum_words=st.sampled_from([1, 4, 16]),
    buffer_words=st.sampled_from([30, 200, 4000]),
    clock_mhz=st.just(250.0),
)
SEARCHES = st.builds(
    TilingSearch,
    objective=st.sampled_from(["released", "energy", "latency", "energy_delay"]),
    pad_rows=st.booleans(),
    strict_limits=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(SHAPES, ARRAYS, SEARCHES)
def test_the_search_finds_what_plain_enumeration_finds(shape: Shape, array: Array, search: TilingSearch) -> None:
    if search.objective == "released":  # it asks for the worst tiling, and only of the released simulator's
        shape, search = replace(shape, copies=1), replace(search, pad_rows=False)
    unit = unit_energy(ACCESS, RULE, weights_are_activations=False)
    candidates = every_tiling(shape, array, search)
    if not candidates:
        with pytest.raises(UserError, match=r"hardware\.(array|tiling)\."):
            search.best(shape, array, unit, shape.num_taps * COMPUTE_PJ / 1e9)
        return
    tiling = search.best(shape, array, unit, shape.num_taps * COMPUTE_PJ / 1e9)
    found = next(candidate for candidate in candidates if candidate.tiling == tiling)
    assert num_cycles(shape, tiling.M1, tiling.C1, tiling.E3, tiling.copies1) == found.cycles
    best = min(score(search.objective, candidates, candidate) for candidate in candidates)
    assert score(search.objective, candidates, found) == pytest.approx(best, rel=1e-9, abs=1e-12)


def test_least_energy_and_least_latency_are_different_tilings() -> None:
    shape = Shape(N=1, C=256, M=64, H=56, W=56, E=56, F=56, R=1, S=1, stride=1, dilation=1, copies=1)
    array = Array(num_pes=168, input_words=12, weight_words=960, psum_words=16, buffer_words=65536, clock_mhz=250)
    unit = unit_energy(ACCESS, RULE, weights_are_activations=False)
    frugal, fast = (TilingSearch(name, pad_rows=True).best(shape, array, unit, 0.0) for name in ("energy", "latency"))
    assert energy_pj(shape, frugal) < energy_pj(shape, fast)
    assert cycles(shape, frugal) > cycles(shape, fast)


def test_factorisations_are_all_and_in_the_order_of_the_released_simulator() -> None:
    # By the first factor, then the second; factors by decreasing power of 2, then of 3.
    assert factorisations(12, 2).tolist() == [[12, 1], [4, 3], [6, 2], [2, 6], [3, 4], [1, 12]]
    assert factorisations(6, 3).tolist() == [
        [6, 1, 1],
        [2, 3, 1],
        [2, 1, 3],
        [3, 2, 1],
        [3, 1, 2],
        [1, 6, 1],
        [1, 2, 3],
        [1, 3, 2],
        [1, 1, 6],
    ]
    assert factorisations(1, 4).tolist() == [[1, 1, 1, 1]]


@given(st.integers(1, 400), st.integers(1, 3))
def test_factorisations_are_complete(number: int, num_parts: int) -> None:
    table = [tuple(row) for row in factorisations(number, num_parts).tolist()]
    assert len(table) == len(set(table))
    assert all(math.prod(row) == number for row in table)
    # of each prime, its power is spread over the parts in as many ways as stars and bars say
    primes = prime_factors(number)
    assert math.prod(primes) == number
    ways = [math.comb(primes.count(prime) + num_parts - 1, num_parts - 1) for prime in set(primes)]
    assert len(table) == math.prod(ways)


def test_tables_that_are_shared_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        factorisations(12, 2)[0, 0] = 1


def test_the_prefilter_does_not_look_behind_what_it_drops() -> None:
    unit = unit_energy(ACCESS, RULE, weights_are_activations=False)
    shape = Shape(N=1, C=1, M=34, H=1, W=1, E=1, F=1, R=1, S=1, stride=1, dilation=1, copies=1)
    large = [row for row in factorisations(34, 4).tolist() if row[0] == 17]
    assert large == [[17, 2, 1, 1], [17, 1, 2, 1], [17, 1, 1, 2]]  # the first and the third are dropped

    def output_maps(num_pes: int, *, prefilter: bool) -> list[int]:
        array = Array(num_pes, input_words=1, weight_words=99, psum_words=32, buffer_words=99, clock_mhz=1)
        t = TilingSearch("energy", pad_rows=False, prefilter=prefilter).best(shape, array, unit, 0.0)
        return [t.M0, t.M1, t.M2, t.M3]

    # Without the NoC, which M1 loads, energy is least where inputs are read once from DRAM and from the buffer.
    assert output_maps(2, prefilter=False) == [17, 2, 1, 1]
    assert output_maps(1, prefilter=False) == [17, 1, 2, 1]
    assert output_maps(1, prefilter=True) == [17, 1, 2, 1]
    assert output_maps(2, prefilter=True) != [17, 2, 1, 1]
