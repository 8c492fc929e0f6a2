import csv
import dataclasses
import json

import pytest

from shiftaddnas.report import write_pareto
from shiftaddnas.report.pareto import front_of
from shiftaddnas.search import Record


def beaten(record, others, names=("energy_mj",)):
    """By the definition of dominance, one pair at a time."""
    mine = (-record["score"], *(record["costs"][name] for name in names))
    for other in others:
        theirs = (-other["score"], *(other["costs"][name] for name in names))
        if theirs != mine and all(their <= my for their, my in zip(theirs, mine, strict=True)):
            return True
    return False


def test_csv_holds_the_front_cheapest_first(search_folder, search_records):
    front = write_pareto(search_folder, objectives=["energy_mj"], maximize=True)
    scored = [record for record in search_records if record["status"] == "ok"]
    expected = sorted(
        (record for record in scored if not beaten(record, scored)), key=lambda record: record["costs"]["energy_mj"]
    )
    assert len(expected) > 3
    assert [record["arch_id"] for record in front] == [record["arch_id"] for record in expected]
    with search_folder.pareto.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["arch_id", "label", "score", *search_records[0]["costs"]]
    assert [row["arch_id"] for row in rows] == [record["arch_id"] for record in expected]
    assert [float(row["energy_mj"]) for row in rows] == [record["costs"]["energy_mj"] for record in expected]
    assert [float(row["score"]) for row in rows] == [record["score"] for record in expected]


def test_a_front_over_several_costs(search_folder, search_records):
    names = ["energy_mj", "num_params", "latency_ms"]
    scored = [record for record in search_records if record["status"] == "ok"]
    expected = {record["arch_id"] for record in scored if not beaten(record, scored, names)}
    alone = {record["arch_id"] for record in write_pareto(search_folder, objectives=names[:1], maximize=True)}
    front = write_pareto(search_folder, objectives=names, maximize=True)
    assert alone < expected == {record["arch_id"] for record in front}
    energies = [record["costs"]["energy_mj"] for record in front]
    assert energies == sorted(energies)


def test_a_torn_last_line_is_left_out(search_folder):
    whole = write_pareto(search_folder, objectives=["energy_mj"], maximize=True)
    with search_folder.search_log.open("a") as file:
        file.write('{"index": 120, "arch_id": "ff')
    assert write_pareto(search_folder, objectives=["energy_mj"], maximize=True) == whole


@pytest.mark.parametrize(("maximize", "front"), [(True, ["b", "c"]), (False, ["a", "b"])])
def test_direction_of_the_score(maximize, front):
    points = {"a": (0.1, 2.0), "b": (0.3, 1.0), "c": (0.9, 4.0), "d": (0.5, 5.0)}
    records = [
        Record(index, name, {}, name, 0, "random", "ok", score, {}, {"energy_mj": energy}, None)
        for index, (name, (score, energy)) in enumerate(points.items())
    ]
    found = front_of(records, objectives=["energy_mj"], maximize=maximize)
    assert {record.arch_id for record in found} == set(front)
    assert [record.costs["energy_mj"] for record in found] == sorted(record.costs["energy_mj"] for record in found)


def test_front_is_plain_data(search_folder):
    front = write_pareto(search_folder, objectives=["energy_mj"], maximize=True)
    assert set(front[0]) == {field.name for field in dataclasses.fields(Record)}
    json.dumps(front)
