"""What a search found: its best candidate, and the candidates that no other one beats in all objectives."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.search.record import Record

Objectives = Mapping[str, Literal["min", "max"]]
"""What to minimise or maximise: "score", or a name among the costs or the metrics of the records."""


def best(records: Sequence[Record], maximize: bool) -> Record:
    """The record of the best score; of equals the one with the lower costs, in their order, then the earlier one.

    Raises:
        UserError: no candidate has a score.
    """
    scored = [(record.score, record) for record in records if record.score is not None]
    if not scored:
        reasons = f"; the last because {records[-1].message}" if records else ""
        raise UserError(f"none of {len(records)} candidates has a score{reasons}")

    def rank(entry: tuple[float, Record]) -> tuple[float, tuple[float, ...], int]:
        score, record = entry
        return -score if maximize else score, tuple(record.costs.values()), record.index

    return min(scored, key=rank)[1]


def pareto_front(records: Sequence[Record], *, objectives: Objectives) -> list[Record]:
    """The records that no other record beats: none is as good in all objectives and better in one.

    Failed records are left out. The front keeps the order of the records.
    """
    # pymoo is slow to import, and only this needs it
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    candidates = [record for record in records if record.status == "ok"]
    if not candidates:
        return []
    front = NonDominatedSorting().do(_losses(candidates, objectives), only_non_dominated_front=True)
    return [candidates[index] for index in sorted(front)]


def hypervolume(records: Sequence[Record], *, objectives: Objectives, reference: Mapping[str, float]) -> float:
    """The volume that the records dominate, bounded by the reference point; greater is better.

    Args:
        reference: for each objective a value that is worse than any that should count.
    """
    from pymoo.indicators.hv import HV

    candidates = [record for record in records if record.status == "ok"]
    if not candidates:
        return 0.0
    signs = _signs(objectives)
    indicator = HV(ref_point=signs * np.array([reference[name] for name in objectives], dtype=np.float64))
    return float(indicator(_losses(candidates, objectives)))


def _signs(objectives: Objectives) -> NDArray[np.float64]:
    return np.array([1.0 if direction == "min" else -1.0 for direction in objectives.values()])


def _losses(records: Sequence[Record], objectives: Objectives) -> NDArray[np.float64]:
    """The objectives of the records, one row each, turned so that less is better."""
    rows = [[_value(record, name) for name in objectives] for record in records]
    return np.array(rows, dtype=np.float64) * _signs(objectives)


def _value(record: Record, name: str) -> float:
    value = record.score if name == "score" else {**record.metrics, **record.costs}.get(name)
    if value is None:
        raise UserError(f"candidate {record.index} has no {name}; known: {', '.join([*record.metrics, *record.costs])}")
    return value
