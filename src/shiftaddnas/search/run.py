"""The search itself: a plain loop that asks, prices, evaluates, records and tells.

It knows neither how archs are proposed nor how they are evaluated, and needs no torch.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import BoundCost, CostError
from shiftaddnas.search.record import Record
from shiftaddnas.search.search_log import START_OVER, SearchLog, read_records
from shiftaddnas.search.searcher import Proposal, Result, Searcher
from shiftaddnas.spaces import Arch

POLL_SECONDS = 0.5
"""Between two looks into the log of another process's search."""


class Evaluator(Protocol):
    """Measures how good an arch is: the same for the same arch, whatever was evaluated before."""

    @property
    def metric(self) -> str:
        """The metric that is the score."""

    @property
    def unit(self) -> str: ...

    @property
    def maximize(self) -> bool:
        """Whether a greater score is better."""

    def __call__(self, arch: Arch) -> Mapping[str, float]:
        """Metrics by name, `metric` among them."""


def run_search(
    searcher: Searcher,
    evaluator: Evaluator,
    cost: BoundCost,
    log: SearchLog,
    *,
    on_record: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Run the searcher to its end and give the records of all candidates.

    What the log already holds is not evaluated again: the searcher is told it, and ends up where the earlier run was.
    A candidate fails, and the search goes on, when the cost model fails on it or its score is not finite; what the
    evaluator raises ends the search.

    Args:
        on_record: called with each record in turn, those of an earlier run (`log.records` before the call) included.

    Raises:
        UserError: the log was written by another configuration.
    """
    known = list(log.records)
    records: list[Record] = []
    by_arch: dict[str, Record] = {}
    while proposals := searcher.ask(1):
        proposal = proposals[0]
        index = len(records)
        if index < len(known):
            record = known[index]
            _check_same(record, proposal, log.path)
        else:
            start = time.perf_counter()
            record = by_arch.get(proposal.arch.id) or _evaluate(proposal, searcher, evaluator, cost)
            record = replace(record, index=index, generation=proposal.generation, origin=proposal.origin)
            log.append(record, time.perf_counter() - start)
        records.append(record)
        by_arch[record.arch_id] = record
        if on_record is not None:
            on_record(record)
        searcher.tell([_result(proposal, record, evaluator.maximize)])
    if len(records) < len(known):
        raise UserError(
            f"{log.path} holds {len(known)} candidates, this search has {len(records)}: it is of another "
            f"configuration; {START_OVER}"
        )
    return records


def follow_search(searcher: Searcher, path: Path, maximize: bool) -> list[Record]:
    """The records of a search that another process runs with an equal searcher, read from its log as they come in.

    The searcher is told them, and so knows when they are all there.

    Args:
        path: of the log; it need not exist yet.
        maximize: whether a greater score is better.

    Raises:
        UserError: the log was written by another configuration.
    """
    known: list[Record] = []
    records: list[Record] = []
    while proposals := searcher.ask(1):
        while len(known) <= len(records):
            known = read_records(path) if path.exists() else []
            if len(known) <= len(records):
                time.sleep(POLL_SECONDS)
        record = known[len(records)]
        _check_same(record, proposals[0], path)
        records.append(record)
        searcher.tell([_result(proposals[0], record, maximize)])
    return records


def _result(proposal: Proposal, record: Record, maximize: bool) -> Result:
    objective = -record.score if maximize and record.score is not None else record.score
    return Result(proposal.arch, objective, record.costs)


def _check_same(record: Record, proposal: Proposal, path: Path) -> None:
    if record.arch_id != proposal.arch.id:
        raise UserError(
            f"{path}, line {record.index + 1}, is arch {record.arch_id} where this search proposes "
            f"{proposal.arch.id}: the file is of another configuration; {START_OVER}"
        )


def _evaluate(proposal: Proposal, searcher: Searcher, evaluator: Evaluator, cost: BoundCost) -> Record:
    arch = proposal.arch
    record = Record(
        index=0,
        arch_id=arch.id,
        arch=arch.to_json(),
        label=searcher.space.describe(arch),
        generation=proposal.generation,
        origin=proposal.origin,
        status="failed",
        score=None,
        metrics={},
        costs={},
        message=None,
    )
    try:
        record = replace(record, costs=dict(cost(arch).values))
    except CostError as error:
        return replace(record, message=str(error))
    given = {name: float(value) for name, value in evaluator(arch).items()}
    if evaluator.metric not in given:
        raise ValueError(f"the evaluator scores by {evaluator.metric}, but gives {', '.join(given) or 'nothing'}")
    score = given[evaluator.metric]
    record = replace(record, metrics={name: value if math.isfinite(value) else None for name, value in given.items()})
    if not math.isfinite(score):
        return replace(record, message=f"{evaluator.metric} is {score}")
    return replace(record, status="ok", score=score)
