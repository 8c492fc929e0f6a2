"""The Pareto front of a search over its score and one or more costs, and `pareto.csv`, which holds it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from shiftaddnas.files import write_atomically
from shiftaddnas.search import Objectives, Record, pareto_front, read_records
from shiftaddnas.tracking import RunFolder


def front_of(records: Sequence[Record], *, objectives: Sequence[str], maximize: bool) -> list[Record]:
    """The records that no other one beats in score and these costs, cheapest in the first of them first."""
    costs: Objectives = dict.fromkeys(objectives, "min")
    front = pareto_front(records, objectives={"score": "max" if maximize else "min", **costs})
    return sorted(front, key=lambda record: (record.costs[objectives[0]], record.index))


def write_pareto(folder: RunFolder, *, objectives: Sequence[str], maximize: bool) -> list[dict[str, Any]]:
    """Write the front of the folder's search as `pareto.csv`, one arch a line, cheapest first; its records."""
    front = front_of(read_records(folder.search_log), objectives=objectives, maximize=maximize)
    costs = list(dict.fromkeys(name for record in front for name in record.costs))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arch_id", "label", "score", *costs])
    for record in front:
        writer.writerow([record.arch_id, record.label, record.score, *(record.costs.get(name) for name in costs)])
    write_atomically(folder.pareto, text.getvalue())
    return [asdict(record) for record in front]
