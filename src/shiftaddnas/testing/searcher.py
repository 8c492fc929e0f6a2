"""What every searcher promises, as a check that its author can run in a test."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from shiftaddnas.hardware import BoundCost, Cost, Metric, Values
from shiftaddnas.search import Feasibility, Limit, Limits, Proposal, Result, Searcher
from shiftaddnas.spaces import Arch, Space

MakeSearcher = Callable[[Space[Any, Any], Feasibility, np.random.Generator], Searcher]
Objective = Callable[[Arch], float | None]

METRIC = Metric("code_sum", "", additive=False)


class CodeSum(BoundCost):
    """A cost that needs no workload: the sum of the arch's code."""

    def __init__(self, space: Space[Any, Any]) -> None:
        super().__init__("code_sum", (METRIC,))
        self._space = space

    def estimate(self, arch: Arch) -> Cost:
        return Cost(Values({METRIC.name: float(sum(self._space.encode(arch)))}))


def check_searcher(make_searcher: MakeSearcher, space: Space[Any, Any], *, seed: int = 0) -> None:
    """Assert that a searcher proposes legal, feasible archs, none twice, ends in time and can be resumed by replay.

    Takes as long as a few searches. Raises AssertionError with the promise that was broken.

    Args:
        make_searcher: a searcher's class, or a partial with its settings.
    """
    rng = np.random.default_rng(seed)
    cost = CodeSum(space)
    median = float(np.median(cost.batch([space.sample(rng) for _ in range(100)])))
    for limits in (Limits(), Limits((Limit(METRIC, most=median),))):
        for objective in (_objective, _sometimes_failing, _failing):
            searcher = make_searcher(space, Feasibility(cost, limits), np.random.default_rng(seed))
            proposals = _search(searcher, objective)
            _check_proposals(proposals, searcher, space, Feasibility(cost, limits))
            json.dumps(searcher.state_dict(), allow_nan=False)
            again = make_searcher(space, Feasibility(cost, limits), np.random.default_rng(seed))
            assert _search(again, objective) == proposals, "told the same results, the searcher proposes other archs"


def _objective(arch: Arch) -> float | None:
    return int(arch.id, 16) % 1000 / 1000


def _sometimes_failing(arch: Arch) -> float | None:
    return _objective(arch) if int(arch.id, 16) % 3 else None


def _failing(_: Arch) -> float | None:
    return None


def _search(searcher: Searcher, objective: Objective) -> list[Proposal]:
    before = str(np.random.get_state())
    found: list[Proposal] = []
    while proposals := searcher.ask(1):
        assert len(proposals) == 1, f"ask(1) gave {len(proposals)} proposals"
        found += proposals
        assert len(found) <= searcher.num_evaluations, f"more proposals than num_evaluations={searcher.num_evaluations}"
        costs = searcher.feasible.cost
        searcher.tell([Result(one.arch, objective(one.arch), costs(one.arch).values) for one in proposals])
    assert searcher.ask(1) == [], "the searcher goes on after it has finished"
    assert str(np.random.get_state()) == before, "the searcher uses numpy's global random state"
    return found


def _check_proposals(
    proposals: list[Proposal], searcher: Searcher, space: Space[Any, Any], feasible: Feasibility
) -> None:
    assert proposals, "the searcher proposes nothing"
    assert searcher.space is space, "the searcher's space is not the one that it was given"
    for proposal in proposals:
        space.validate(proposal.arch)
        assert feasible(proposal.arch), f"{proposal.arch} breaks the limits"
    archs = {proposal.arch for proposal in proposals}
    assert len(archs) == len(proposals), f"{len(proposals) - len(archs)} archs were proposed twice"
    generations = [proposal.generation for proposal in proposals]
    assert generations[0] == 0, f"the first generation is {generations[0]}, not 0"
    assert generations == sorted(generations), "an earlier generation follows a later one"
