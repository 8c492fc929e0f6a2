import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftaddnas.errors import UserError
from shiftaddnas.search import Objectives, Record, best, hypervolume, pareto_front

OBJECTIVES: Objectives = {"score": "max", "energy_mj": "min"}


def record(index: int, score: float | None, energy: float, latency: float = 0.0) -> Record:
    return Record(
        index=index,
        arch_id=f"{index:012x}",
        arch={},
        label="",
        generation=0,
        origin="random",
        status="failed" if score is None else "ok",
        score=score,
        metrics={"accuracy": score},
        costs={"energy_mj": energy, "latency_ms": latency},
        message="accuracy is nan" if score is None else None,
    )


POINTS = st.lists(st.tuples(st.integers(0, 6) | st.none(), st.integers(0, 6), st.integers(0, 6)), max_size=12)


def records_of(points: list[tuple[int | None, int, int]]) -> list[Record]:
    return [
        record(i, None if score is None else float(score), float(energy), float(latency))
        for i, (score, energy, latency) in enumerate(points)
    ]


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points: list[tuple[int | None, int, int]]) -> None:
    records = records_of(points)

    def losses(r: Record) -> tuple[float, ...]:
        assert r.score is not None
        return -r.score, r.costs["energy_mj"], r.costs["latency_ms"]

    scored = [r for r in records if r.score is not None]
    front = [
        r
        for r in scored
        if not any(
            all(a <= b for a, b in zip(losses(o), losses(r), strict=True)) and losses(o) != losses(r) for o in scored
        )
    ]
    assert pareto_front(records, objectives={**OBJECTIVES, "latency_ms": "min"}) == front


@given(POINTS)
def test_the_hypervolume_of_integer_points_counts_unit_squares(points: list[tuple[int | None, int, int]]) -> None:
    records = records_of(points)
    covered = np.zeros((7, 7), dtype=bool)
    for r in records:
        if r.score is not None:
            covered[: int(r.score), int(r.costs["energy_mj"]) :] = True
    volume = hypervolume(records, objectives=OBJECTIVES, reference={"score": 0.0, "energy_mj": 7.0})
    assert volume == pytest.approx(covered.sum())


def test_metrics_can_be_objectives_and_unknown_ones_are_named() -> None:
    records = [record(0, 1.0, 1.0), record(1, 2.0, 1.0)]
    assert pareto_front(records, objectives={"accuracy": "max"}) == records[1:]
    assert pareto_front(records, objectives={"energy_mj": "min"}) == records
    with pytest.raises(UserError, match="has no area; known: accuracy, energy_mj, latency_ms"):
        pareto_front(records, objectives={"area": "min"})


def test_the_best_is_the_best_score_then_the_cheaper_then_the_earlier() -> None:
    records = [record(0, None, 0), record(1, 0.5, 1), record(2, 0.9, 5, 2), record(3, 0.9, 3, 2), record(4, 0.9, 3, 1)]
    assert best([*records, record(5, 0.9, 3, 1)], True).index == 4
    assert best(records, False).index == 1


def test_without_any_score_there_is_no_best() -> None:
    with pytest.raises(UserError, match="none of 2 candidates has a score; the last because accuracy is nan"):
        best([record(0, None, 1), record(1, None, 1)], True)
    with pytest.raises(UserError, match="none of 0 candidates"):
        best([], True)
