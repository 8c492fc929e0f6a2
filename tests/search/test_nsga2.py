from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rich.console import Console

from composed import compose
from shiftaddnas.cli.app import plain_config
from shiftaddnas.cli.components import Components
from shiftaddnas.errors import UserError
from shiftaddnas.search import (
    Feasibility,
    Limits,
    Nsga2Searcher,
    Proposal,
    RandomSearcher,
    Result,
    Searcher,
)
from shiftaddnas.search.nsga2 import _by_rank_and_crowding
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.searcher import CodeSum, check_searcher
from shiftaddnas.testing.tiny_space import TinySpace

TINY = TinySpace()
LARGE = TinySpace(tuple((8,) * num for num in (8, 10, 12)))
SMALL: dict[str, Any] = {"objectives": ["code_sum"], "population": 8, "num_generations": 3}


def feasible(space: TinySpace) -> Feasibility:
    return Feasibility(CodeSum(space), Limits())


def run(searcher: Searcher, objective: Any) -> list[Proposal]:
    found: list[Proposal] = []
    while proposals := searcher.ask(1):
        found += proposals
        cost = searcher.feasible.cost
        searcher.tell([Result(one.arch, objective(one.arch), cost(one.arch).values) for one in proposals])
    return found


def num_shifts(arch: Arch) -> float:
    return -float(sum(choice == "shift" for _, choice in arch.decisions))


@pytest.mark.parametrize("space", [TINY, LARGE], ids=["tiny", "large"])
def test_it_keeps_what_every_searcher_promises(space: TinySpace) -> None:
    check_searcher(partial(Nsga2Searcher, **SMALL), space)


def test_points_are_ordered_by_front_then_by_room_on_it() -> None:
    # Fronts: {0, 1, 2, 3}, {4}, {5}. On the first the two ends have all the room. Of the inner ones, by the sides
    # between their neighbours in units of the extent, 1 has (3 - 0) / 4 + (5 - 1) / 5 = 1.55,
    # and 2 has (4 - 1) / 4 + (3 - 0) / 5 = 1.35.
    losses = np.array([[0, 5], [1, 3], [3, 1], [4, 0], [4, 4], [5, 5]], dtype=float)
    order = _by_rank_and_crowding(losses)
    assert set(order[:2]) == {0, 3}
    assert order[2:] == [1, 2, 4, 5]


@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.just(2)), elements=st.integers(0, 4)))
@settings(deadline=None)
def test_nothing_is_ranked_before_what_dominates_it(losses: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    order = _by_rank_and_crowding(losses)
    assert sorted(order) == list(range(len(losses)))
    for place, later in enumerate(order):
        for earlier in order[:place]:
            assert not (np.all(losses[later] <= losses[earlier]) and np.any(losses[later] < losses[earlier]))


def test_failed_archs_do_not_survive_and_the_rest_do_in_order() -> None:
    searcher = Nsga2Searcher(TINY, feasible(TINY), np.random.default_rng(0), **SMALL)
    proposals = searcher.ask(8)
    searcher.tell(
        [
            Result(one.arch, None if index < 5 else float(index), {"code_sum": float(index)})
            for index, one in enumerate(proposals)
        ]
    )
    # 5 dominates 6, which dominates 7
    assert searcher.survivors() == [one.arch for one in proposals[5:]]


def hypervolume(found: list[Proposal], space: TinySpace) -> float:
    """The area between the front of (shifts, code sum) and the point (0, 200), by sweeping over the shifts."""
    cheapest: dict[int, float] = {}
    for one in found:
        shifts, total = int(-num_shifts(one.arch)), float(sum(space.encode(one.arch)))
        for fewer in range(1, shifts + 1):
            cheapest[fewer] = min(cheapest.get(fewer, np.inf), total)
    return sum(200 - total for total in cheapest.values())


def test_it_finds_a_better_front_than_random_search() -> None:
    def front(make: Any, seed: int) -> float:
        found = run(make(LARGE, feasible(LARGE), np.random.default_rng(seed)), num_shifts)
        assert len(found) == 200
        return hypervolume(found, LARGE)

    nsga2 = partial(Nsga2Searcher, objectives=["code_sum"], population=20, num_generations=9)
    evolved = [front(nsga2, seed) for seed in range(5)]
    drawn = [front(partial(RandomSearcher, num_archs=200), seed) for seed in range(5)]
    assert min(evolved) > max(drawn)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objectives": []}, r"search\.objectives=\[\]; allowed are .* at least one: code_sum"),
        ({"objectives": ["energy_mj"]}, r"search\.objectives=\['energy_mj'\]; allowed are .*: code_sum"),
        ({"objectives": ["code_sum", "code_sum"]}, r"search\.objectives"),
        ({"population": 1}, r"search\.population=1 is too small"),
        ({"num_generations": -1}, r"search\.num_generations=-1"),
        ({"mutation_probability": 2}, r"search\.mutation_probability=2"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Nsga2Searcher(TINY, feasible(TINY), np.random.default_rng(0), **(SMALL | change))


@pytest.mark.parametrize(
    ("settings", "objectives"),
    [
        ((), ("energy_mj",)),
        (("search=nsga2",), ("energy_mj",)),
        (("search=nsga2", "search.objectives=[num_params,latency_ms]"), ("num_params", "latency_ms")),
        (
            ("search=nsga2", "search.objectives=[num_params,latency_ms]", "objective=latency_ms"),
            ("latency_ms", "num_params"),
        ),
        (("search=nsga2", "search.objectives=[num_params]", "objective=energy_mj"), ("energy_mj", "num_params")),
        (("search=nsga2", "search.objectives=[weight]"), ("energy_mj",)),
    ],
)
def test_the_front_is_over_what_is_searched(settings: tuple[str, ...], objectives: tuple[str, ...]) -> None:
    assert Components(plain_config(compose("search", *settings)), Console()).objectives == objectives
