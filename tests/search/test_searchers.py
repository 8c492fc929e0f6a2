from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from composed import built
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import BoundCost, Metric, OpEnergy
from shiftaddnas.search import (
    EvolutionSearcher,
    Feasibility,
    Limit,
    Limits,
    Proposal,
    RandomSearcher,
    Result,
    Searcher,
    split_limits,
)
from shiftaddnas.search.draws import Draws
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.searcher import CodeSum, MakeSearcher, check_searcher
from shiftaddnas.testing.tiny_space import TinySpace
from tasks.image_classification.layers import ImageWorkload

CONF = Path(__file__).parents[2] / "conf"
TINY = TinySpace()
LARGE = TinySpace(tuple((8,) * num for num in (8, 10, 12)))
LANES = dict.fromkeys(("mult", "add", "shift"), 64)
CODE_SUM = Metric("code_sum", "", additive=False)
SMALL: dict[str, Any] = {
    "population": 8, "num_generations": 3, "num_parents": 3, "num_mutations": 3, "num_crossovers": 3,
}  # fmt: skip
SEARCHERS: dict[str, MakeSearcher] = {
    "evolution": partial(EvolutionSearcher, **SMALL),
    "random": partial(RandomSearcher, num_archs=30, law="decisions"),
}


def feasible(space: TinySpace, most: float = np.inf) -> Feasibility:
    return Feasibility(CodeSum(space), Limits((Limit(CODE_SUM, most=most),)))


def run(searcher: Searcher, objective: Any, chunk: int = 1) -> list[Proposal]:
    found: list[Proposal] = []
    while proposals := searcher.ask(chunk):
        found += proposals
        searcher.tell([Result(proposal.arch, objective(proposal.arch), {}) for proposal in reversed(proposals)])
    return found


def num_shifts(arch: Arch) -> float:
    return -float(sum(choice == "shift" for _, choice in arch.decisions))


@pytest.mark.parametrize("name", SEARCHERS)
@pytest.mark.parametrize("space", [TINY, LARGE], ids=["tiny", "large"])
def test_searchers_keep_what_they_promise(name: str, space: TinySpace) -> None:
    check_searcher(SEARCHERS[name], space)


@pytest.mark.parametrize("name", SEARCHERS)
def test_how_many_are_asked_for_at_a_time_changes_nothing(name: str) -> None:
    runs = [
        run(SEARCHERS[name](LARGE, feasible(LARGE), np.random.default_rng(3)), num_shifts, chunk)
        for chunk in (1, 3, 99)
    ]
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("side", ["max", "min"])
def test_limits_that_random_archs_miss_are_searched_from_the_end(side: str) -> None:
    cost = OpEnergy("chip", {"mult": 3.7, "add": 0.9, "shift": 0.13}, lanes=LANES, clock_mhz=250).bind(LARGE, 16)
    distribution = cost.distribution("energy_mj")
    assert distribution is not None
    limit = distribution.values[40 if side == "max" else -40]
    limits = Limits.from_settings({f"{side}_energy_mj": float(limit)}, cost, LARGE.name)
    ways = [RandomSearcher(LARGE, Feasibility(cost, limits), np.random.default_rng(4), num_archs=20) for _ in range(2)]
    found, again = (searcher.ask(99) for searcher in ways)
    assert found == again
    assert len({proposal.arch for proposal in found}) == 20
    kept = [limits.limits[0].allows(cost(proposal.arch).values["energy_mj"]) for proposal in found]
    assert all(kept)


@pytest.mark.parametrize("seed", range(4))
def test_a_tight_limit_on_the_papers_space_is_searched(seed: int, tight: tuple[Any, BoundCost, Limits]) -> None:
    space, cost, limits = tight
    searcher = EvolutionSearcher(space, Feasibility(cost, limits), np.random.default_rng(seed), population=50)
    found = [proposal.arch for proposal in searcher.ask(99)]
    assert len(set(found)) == 50
    assert all(limits.limits[0].allows(cost(arch).values["energy_mj"]) for arch in found)


@pytest.fixture(scope="module")
def tight() -> tuple[Any, BoundCost, Limits]:
    """A limit that keeps 1,535 of 198,955,008 archs."""
    space = built("space", "space=hytra_hybrid")
    cost = built("hardware", "hardware=eyeriss_fair").bind(space, ImageWorkload(224, 3, 1000))
    limits = Limits.from_settings({"max_energy_mj": "72%"}, cost, space.name)
    assert "leaves 1,535 of 198,955,008 archs" in limits.notes[0]
    return space, cost, limits


@pytest.mark.parametrize("name", SEARCHERS)
@given(st.integers(3, 16))
@settings(max_examples=8, deadline=None)
def test_a_space_smaller_than_the_budget_is_searched_whole(name: str, most: int) -> None:
    makes: dict[str, MakeSearcher] = {
        "evolution": partial(EvolutionSearcher, **(SMALL | {"num_generations": 50})),
        "random": partial(RandomSearcher, num_archs=400),
    }
    found = run(makes[name](TINY, feasible(TINY, most), np.random.default_rng(0)), num_shifts)
    expected = {arch for arch in TINY.archs() if sum(TINY.encode(arch)) <= most}
    assert {proposal.arch for proposal in found} == expected
    assert len(found) == len(expected)


def test_without_a_feasible_arch_the_search_says_why() -> None:
    nothing = Feasibility(CodeSum(LARGE), Limits((Limit(CODE_SUM, most=-1),)))
    for make in SEARCHERS.values():
        searcher = make(LARGE, nothing, np.random.default_rng(0))
        with pytest.raises(UserError, match=r"no arch of space tiny can be searched: 0 of \d+000 samples met code_sum"):
            searcher.ask(1)


def test_evolution_proposes_generations_of_the_sizes_it_is_told() -> None:
    searcher = EvolutionSearcher(LARGE, feasible(LARGE), np.random.default_rng(0), **SMALL)
    found = run(searcher, num_shifts)
    assert searcher.num_evaluations == len(found) == 8 * (1 + 3)
    assert Counter((proposal.generation, proposal.origin) for proposal in found) == {(0, "random"): 8} | {
        (generation, origin): num
        for generation in (1, 2, 3)
        for origin, num in (("mutation", 3), ("crossover", 3), ("random", 2))
    }


def test_children_take_after_the_best_of_all_generations() -> None:
    searcher = EvolutionSearcher(
        LARGE, feasible(LARGE), np.random.default_rng(0),
        **(SMALL | {"mutation_probability": 0.0, "resample_probability": 0.0}),
    )  # fmt: skip
    scores: dict[Arch, float] = {}
    while proposals := searcher.ask(99):
        order = list(scores)
        parents = sorted(scores, key=lambda arch: (scores[arch], order.index(arch)))[:3]
        assert searcher.parents() == parents
        for proposal in proposals:
            if proposal.origin == "crossover":
                assert any(
                    all(
                        choice in (first.as_dict().get(name), second.as_dict().get(name))
                        for name, choice in proposal.arch.decisions
                    )
                    for first in parents
                    for second in parents
                    if first != second
                )
            # Without any mutation a mutant is its parent, and that is not new.
            assert proposal.origin != "mutation"
        scores |= {proposal.arch: num_shifts(proposal.arch) for proposal in proposals}
        searcher.tell([Result(proposal.arch, scores[proposal.arch], {}) for proposal in proposals])
    assert searcher.parents()[0] == min(scores, key=scores.__getitem__)


def test_the_last_generation_is_ranked_and_failures_are_not() -> None:
    searcher = EvolutionSearcher(TINY, feasible(TINY), np.random.default_rng(0), **(SMALL | {"num_generations": 0}))
    proposals = searcher.ask(8)
    searcher.tell([Result(p.arch, None if index < 6 else 1.0, {}) for index, p in enumerate(proposals)])
    assert searcher.parents() == [proposals[6].arch, proposals[7].arch]
    assert searcher.ask(1) == []


def test_illegal_children_are_redrawn_and_reported() -> None:
    # By the law of archs nearly all would have the greatest depth, and all children would be legal.
    searcher = EvolutionSearcher(LARGE, feasible(LARGE), np.random.default_rng(0), **SMALL, law="decisions")
    run(searcher, lambda arch: int(arch.id, 16))
    state = searcher.state_dict()
    assert 0 < state["num_illegal_children"] <= state["num_crossover_children"] - 9
    assert state["num_proposed"] == state["num_told"] == 32
    assert state["num_generations"] == 4
    assert state["num_feasible"] == 32


def test_evolution_beats_random_search_on_an_objective_with_structure() -> None:
    def best(make: MakeSearcher, seed: int) -> float:
        found = run(make(LARGE, feasible(LARGE), np.random.default_rng(seed)), num_shifts)
        assert len(found) == 200
        return min(num_shifts(proposal.arch) for proposal in found)

    evolution = partial(
        EvolutionSearcher, population=20, num_generations=9, num_parents=5, num_mutations=10, num_crossovers=10
    )
    seeds = range(10)
    evolved = [best(evolution, seed) for seed in seeds]
    drawn = [best(partial(RandomSearcher, num_archs=200), seed) for seed in seeds]
    assert np.mean(evolved) < np.mean(drawn) - 1


def test_limits_bind_every_origin() -> None:
    bound = feasible(LARGE, 8)
    found = run(EvolutionSearcher(LARGE, bound, np.random.default_rng(0), **SMALL), num_shifts)
    assert len(found) == 32
    assert max(sum(LARGE.encode(proposal.arch)) for proposal in found) <= 8
    assert bound.num_asked > bound.num_passed == 32


def test_drawing_is_bounded() -> None:
    draws = Draws(LARGE, feasible(LARGE), np.random.default_rng(0), "archs")
    (only,) = draws.random(1)
    calls = Counter[str]()

    def stuck() -> Arch | None:
        calls["drawn"] += 1
        return only if calls["drawn"] % 2 else None

    assert draws.children(3, stuck) == []
    assert calls["drawn"] == 500


def test_a_new_arch_starts_the_count_of_misses_again() -> None:
    draws = Draws(TINY, feasible(TINY), np.random.default_rng(0), "archs")
    found = (arch for arch in TINY.archs() for _ in range(300))
    assert len(draws.children(5, lambda: next(found))) == 5


def test_a_small_space_is_found_whole_where_sampling_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    space = TinySpace()
    monkeypatch.setattr(space, "sample", lambda *_: next(space.archs()))
    draws = Draws(space, feasible(space, 4), np.random.default_rng(0), "archs")
    expected = {arch for arch in TINY.archs() if sum(TINY.encode(arch)) <= 4}
    found = [*draws.random(10), *draws.random(1), *draws.random(99)]
    assert len(found) == len(set(found)) == len(expected) > 11
    assert set(found) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"population": 0}, "search.population=0 is too small"),
        ({"num_parents": 0}, "search.num_parents=0"),
        ({"num_generations": -1}, "search.num_generations=-1"),
        ({"num_mutations": -1}, "search.num_mutations=-1"),
        ({"num_crossovers": 6}, "num_mutations=3 and search.num_crossovers=6 are more than search.population=8"),
        ({"mutation_probability": 1.1}, r"search.mutation_probability=1\.1 is no probability"),
        ({"resample_probability": -0.1}, "search.resample_probability"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EvolutionSearcher(TINY, feasible(TINY), np.random.default_rng(0), **(SMALL | change))
    with pytest.raises(UserError, match=r"search\.num_archs=0"):
        RandomSearcher(TINY, feasible(TINY), np.random.default_rng(0), num_archs=0)


@pytest.mark.parametrize(
    ("name", "num_evaluations"),
    [("evolution", 80), ("evolution_paper", 1050), ("evolution_translation", 3750), ("random", 80)],
)
def test_presets_build_searchers(name: str, num_evaluations: int) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config: Any = OmegaConf.to_container(hydra.compose(f"search/{name}").search)
    limits, rest = split_limits(config)
    assert limits == {"max_energy_mj": "50%", "max_latency_ms": None, "max_num_params": None, "min_num_params": None}
    make = partial(hydra.utils.get_class(str(rest.pop("_target_"))), **rest)
    assert make(LARGE, feasible(LARGE), np.random.default_rng(0)).num_evaluations == num_evaluations
    assert len(run(make(TINY, feasible(TINY), np.random.default_rng(0)), num_shifts)) == 44
    check_searcher(make, TINY)


def test_the_paper_preset_is_the_papers() -> None:
    config: Any = OmegaConf.load(CONF / "search" / "evolution_paper.yaml")
    names = ("population", "num_generations", "num_parents", "num_mutations", "num_crossovers")
    assert [config[name] for name in names] == [50, 20, 10, 25, 25]
    assert config.mutation_probability == config.resample_probability == 0.2


def test_the_preset_for_translation_is_the_papers() -> None:
    config: Any = OmegaConf.load(CONF / "search" / "evolution_translation.yaml")
    names = ("population", "num_generations", "num_parents", "num_mutations", "num_crossovers")
    assert [config[name] for name in names] == [125, 29, 25, 50, 50]
    assert (config.mutation_probability, config.resample_probability) == (0.3, 0.0)


class Repeating(RandomSearcher):
    @property
    def num_evaluations(self) -> int:
        return 2 * super().num_evaluations

    def make_generation(self, generation: int) -> list[Proposal]:
        return 2 * super().make_generation(generation)

    def tell(self, results: Sequence[Result]) -> None:
        self.results.update((result.arch, None) for result in results)
        self._num_told = len(self.results)


def test_the_kit_finds_a_searcher_that_repeats_itself() -> None:
    with pytest.raises(AssertionError, match="proposed twice"):
        check_searcher(partial(Repeating, num_archs=30), TINY)
