"""The hybrid image space against the paper's figures and closed forms."""

from itertools import groupby, product

import numpy as np
import pytest

from composed import built
from shiftaddnas.errors import UserError
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.space import check_space
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload

RELEASED_VECTORS = (
    "1159 1168 1249 1258 1339 1348 1447 1456 1555 2239 2248 2338 2347 2446 2455 3337 3346 3445 4444"  # released code
)


def test_paper_space_has_the_papers_size(hytra_space: HybridSpace) -> None:
    assert hytra_space.size() == 198_955_008


def test_size_is_the_sum_over_depth_vectors(hytra_space: HybridSpace) -> None:
    expected = sum(3**a * 3**b * 4**c * 2**d for a, b, c, d in hytra_space.depths)
    assert hytra_space.size() == expected


def test_paper_vectors_follow_their_rule(hytra_space: HybridSpace) -> None:
    vectors = [v for v in product(range(1, 10), repeat=4) if sum(v) == 16 and list(v) == sorted(v)]
    assert len(vectors) == 27
    kept = [vector for _, group in groupby(vectors, key=lambda v: v[:2]) for vector in list(group)[:2]]
    assert hytra_space.depths == tuple(kept)
    assert [tuple(int(digit) for digit in text) for text in RELEASED_VECTORS.split()] == kept


def test_size_with_all_vectors_and_with_four_coarse_operators() -> None:
    """Two more sizes that are known for the released space."""
    vectors = [list(v) for v in product(range(1, 10), repeat=4) if sum(v) == 16 and list(v) == sorted(v)]
    wide: HybridSpace = built("space", "space=hytra_hybrid", f"space.depths={vectors}")
    assert wide.size() == 335_499_264
    full: HybridSpace = built("space", "space=hytra_hybrid", "space.levels.3.operators=[attention,conv,add,shift]")
    assert full.size() == pytest.approx(2.28e10, rel=0.01)


def test_digits_space_has_the_size_of_its_closed_form(digits_space: HybridSpace) -> None:
    assert digits_space.size() == 3**2 * 4**4 + 3**3 * 4**3 + 3**4 * 4**2
    assert digits_space.size() == len({arch.id for arch in digits_space.archs()})


@pytest.mark.parametrize(("name", "workload"), [("digits", (8, 1, 10)), ("hytra_hybrid", (224, 3, 1000))])
def test_space_conforms(name: str, workload: tuple[int, int, int]) -> None:
    check_space(built("space", f"space={name}"), ImageWorkload(*workload))


@pytest.mark.parametrize(("name", "workload"), [("digits", (8, 1, 10)), ("hytra_hybrid", (224, 3, 1000))])
@pytest.mark.parametrize("hardware", ["asic45nm", "fpga_zc706_fix8"])
def test_shipped_costs_conform(name: str, workload: tuple[int, int, int], hardware: str) -> None:
    cost = built("hardware", f"hardware={hardware}")
    check_hardware_cost(cost, built("space", f"space={name}"), ImageWorkload(*workload))


def test_crossover_takes_levels_from_one_side_and_operators_from_the_right_parent(hytra_space: HybridSpace) -> None:
    rng = np.random.default_rng(3)
    num_illegal = 0
    for _ in range(500):
        first, second = hytra_space.sample(rng), hytra_space.sample(rng)
        child = hytra_space.crossover(first, second, rng)
        if child is None:
            num_illegal += 1
            continue
        hytra_space.validate(child)
        steps = [hytra_space.steps(arch) for arch in (child, first, second)]
        coarser = all(c.level == max(a.level, b.level) for c, a, b in zip(*steps, strict=True))
        finer = all(c.level == min(a.level, b.level) for c, a, b in zip(*steps, strict=True))
        assert coarser or finer
        for c, a, b in zip(*steps, strict=True):
            assert c.operator in {parent.operator for parent in (a, b) if parent.level == c.level}
    assert 0.02 < num_illegal / 500 < 0.12  # about 6 % leave the legal vectors


def test_mutation_keeps_the_depths(hytra_space: HybridSpace) -> None:
    rng = np.random.default_rng(0)
    arch = hytra_space.sample(rng)
    mutants = [hytra_space.mutate(arch, rng, probability=0.5) for _ in range(50)]
    assert {mutant["depths"] for mutant in mutants} == {arch["depths"]}
    assert len({mutant.id for mutant in mutants}) > 40


def test_restriction_leaves_levels_without_the_operators_as_they_are(hytra_space: HybridSpace) -> None:
    restricted = hytra_space.restricted(["add", "shift"])
    assert [level.operators for level in restricted.levels] == [
        ("add", "shift"),
        ("add", "shift"),
        ("add", "shift"),
        ("attention", "conv"),
    ]
    rng = np.random.default_rng(0)
    for _ in range(20):
        hytra_space.validate(restricted.sample(rng))


def test_uniform_baselines(digits_space: HybridSpace) -> None:
    arch = digits_space.sample(np.random.default_rng(1))
    multiplying, cheap = digits_space.all_multiplication(arch), digits_space.all_cheap(arch)
    assert {step.operator for step in digits_space.steps(multiplying)} == {"conv"}
    assert {step.operator for step in digits_space.steps(cheap)} == {"shift"}
    assert arch["depths"] == multiplying["depths"] == cheap["depths"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("space.depths=[[1,1,3]]", "space.num_layers=6"),
        ("space.depths=[[0,2,4]]", "at least 1"),
        ("space.depths=[]", "space.depths is empty"),
        ("space.levels.0.operators=[conv,conf]", "attention, conv, add, shift"),
        ("space.levels.0.operators=[]", r"space.levels.0..operators is empty"),
        ("space.levels.0.operators=[add,add]", "different names"),
        ("+space.levels.0.idle=[add]", "add is among its operators"),
        ("+space.levels.0.idle=[attention]", "allows attention, but its inner width 8"),
        ("+space.peg_bias=[bias]", "space.peg_bias="),
        ("space.levels.1.reduction=4", "it must be 2"),
        ("space.levels.0.width=34", "space.bottleneck=4"),
        ("space.head_dim=24", "space.head_dim=24"),
        ("space.head_dim=0", "space.head_dim=0"),
        ("space.bottleneck=0", "space.bottleneck=0"),
        ("space.stem.kernel=4", "allowed are odd numbers"),
        ("space.stem.width=-8", "space.stem.width=-8"),
        ("space.depths=[[1,1,4],[1,1,4]]", "more than once"),
    ],
)
def test_contradictions_are_named(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        built("space", override)
