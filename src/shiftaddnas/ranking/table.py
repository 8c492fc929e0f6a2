"""Recorded scores: each two columns of a table compared, over all its rows and among those that agree in a column."""

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shiftaddnas.errors import UserError
from shiftaddnas.ranking.correlation import Floats
from shiftaddnas.ranking.statistics import ALL, Agreement, Statistics, agreement

MIN_ROWS = 3


@dataclass(frozen=True)
class ScoreTable:
    """Scores of archs.

    Args:
        names: of the rows.
        columns: the scores by name, (N) each.
        groups: the rows to compare among themselves too, as indices, by a name.
    """

    names: Sequence[str]
    columns: Mapping[str, Floats]
    groups: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Comparison:
    """How well the second column orders the rows of a group, or "all", by the first."""

    first: str
    second: str
    group: str
    num_rows: int
    agreement: Agreement

    def num_in(self, subset: str) -> int:
        """How many rows are in a subset of the group."""
        return self.num_rows if subset == ALL else int(subset.removeprefix("best "))


def read_table(path: Path, columns: Sequence[str] | None, within: str | None) -> ScoreTable:
    """The scores in a CSV file with a heading, whose first column names the rows.

    Args:
        columns: which to read; None for all but the first and `within`.
        within: the column whose values make the groups.

    Raises:
        UserError: the file is missing, has no such column or fewer than two to compare, or a cell is no finite number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"table={path} cannot be read: {error}") from None
    reader = csv.DictReader(text.splitlines())
    rows, headings = list(reader), list(reader.fieldnames or ())
    wanted = [name for name in headings[1:] if name != within] if columns is None else list(columns)
    for setting, names in (("columns", wanted), ("within", [] if within is None else [within])):
        for name in names:
            if name not in headings:
                raise UserError(f"{setting}={name} is no column of {path}; its columns: {', '.join(headings)}")
    if len(wanted) < 2 or len(set(wanted)) < len(wanted):
        raise UserError(f"columns={wanted}: give at least two different columns of {path}: {', '.join(headings)}")
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if within is not None:
            groups.setdefault(f"{within}={row[within]}", []).append(index)
    scores = {
        name: np.array([_number(row[name], path, line, name) for line, row in enumerate(rows, 2)]) for name in wanted
    }
    return ScoreTable([str(row[headings[0]]) for row in rows], scores, dict(sorted(groups.items())))


def _number(cell: str | None, path: Path, line: int, column: str) -> float:
    try:
        number = float(cell or "")
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise UserError(f"{path}, line {line}, column {column}: {cell!r} is no finite number; mend it, or set columns=")
    return number


def compare(table: ScoreTable, maximize: bool, statistics: Statistics, rng: np.random.Generator) -> list[Comparison]:
    """Each two columns, in their order, over all rows and the best by the first, and over the rows of each group.

    Groups of fewer than three rows have no order to speak of and are left out.

    Args:
        maximize: whether greater scores are better.
    """
    statistics.check(len(table.names), f"a table of {len(table.names)} rows")
    in_groups = Statistics((), statistics.confidence, statistics.num_resamples)
    found = []
    for first, second in itertools.combinations(table.columns, 2):
        x, y = table.columns[first], table.columns[second]
        found.append(Comparison(first, second, ALL, len(x), agreement(x, y, maximize, statistics, rng)))
        for group, indices in table.groups.items():
            if len(indices) >= MIN_ROWS:
                rows = list(indices)
                inside = agreement(x[rows], y[rows], maximize, in_groups, rng)
                found.append(Comparison(first, second, group, len(rows), inside))
    return found
