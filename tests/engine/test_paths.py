"""Path samplers: what a step trains."""

from collections import Counter

import numpy as np
import pytest

from composed import built
from shiftaddnas.engine import FairPaths, SandwichPaths, UniformPaths
from shiftaddnas.errors import UserError
from tasks.image_classification import HybridSpace


def test_uniform_paths_visit_depths_in_proportion_to_their_archs(digits_space: HybridSpace) -> None:
    draws = [UniformPaths().archs(digits_space, np.random.default_rng(step))[0]["depths"] for step in range(2000)]
    shares = {depths: count / 2000 for depths, count in Counter(draws).items()}
    sizes = {(1, 1, 4): 3**2 * 4**4, (1, 2, 3): 3**3 * 4**3, (2, 2, 2): 3**4 * 4**2}
    for depths, size in sizes.items():
        assert shares[depths] == pytest.approx(size / digits_space.size(), abs=0.04)


def test_fair_paths_train_every_operator_of_every_layer(digits_space: HybridSpace) -> None:
    archs = FairPaths().archs(digits_space, np.random.default_rng(5))
    assert len(archs) == 4
    assert len({arch["depths"] for arch in archs}) == 1
    for layer, step in enumerate(digits_space.steps(archs[0])):
        operators = {arch[f"layer_{layer}"] for arch in archs}
        assert operators == set(digits_space.levels[step.level].operators)


def test_fair_paths_where_a_choice_decides_what_else_there_is() -> None:
    space = built("space", "task=gettext_en_de")
    for seed in range(20):
        archs = FairPaths().archs(space, np.random.default_rng(seed))
        for arch in archs:
            space.validate(arch)
        # Every option of a decision that all the archs take is trained.
        names = set.intersection(*(set(arch.as_dict()) for arch in archs))
        for _, decision, _ in space.walk(archs[0]):
            if decision.name in names and len(decision.options) <= len(archs):
                assert {arch[decision.name] for arch in archs} == set(decision.options), decision.name


def test_sandwich_has_both_ends(digits_space: HybridSpace) -> None:
    terms = digits_space.all_terms()
    multiplications = {term: float(getattr(term, "operator", "") == "conv") for term in terms}
    costs = {term: float(getattr(term, "operator", "") != "shift") for term in terms}
    sampler = SandwichPaths(num_random=3)
    sampler.rank_by(multiplications, costs)
    largest, smallest, *rest = sampler.archs(digits_space, np.random.default_rng(0))
    assert {step.operator for step in digits_space.steps(largest)} == {"conv"}
    assert {step.operator for step in digits_space.steps(smallest)} == {"shift"}
    assert len({arch.id for arch in rest}) == 3


def test_sandwich_refuses_a_negative_number() -> None:
    with pytest.raises(UserError, match="num_random=-1"):
        SandwichPaths(num_random=-1)


@pytest.mark.parametrize("sampler", [UniformPaths(), FairPaths()])
def test_samplers_keep_to_a_restricted_space(digits_space: HybridSpace, sampler: UniformPaths | FairPaths) -> None:
    restricted = digits_space.restricted(["conv"])
    for arch in sampler.archs(restricted, np.random.default_rng(0)):
        assert {step.operator for step in digits_space.steps(arch)} == {"conv"}
