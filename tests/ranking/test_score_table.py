"""Recorded scores: the released supernets' accuracies give the correlations that were recorded with them."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from composed import built
from shiftaddnas.errors import UserError
from shiftaddnas.ranking import Comparison, Statistics, compare, read_table
from tasks.image_classification import HybridSpace

SPEC = os.environ.get("SHIFTADDNAS_SPEC")
needs_spec = pytest.mark.skipif(SPEC is None, reason="SHIFTADDNAS_SPEC names no folder with arch_test_accuracy.csv")
PAIRS = [("v1", "v2"), ("v1", "v3"), ("v2", "v3"), ("v1", "v4"), ("v2", "v5")]
STATISTICS = Statistics(best=(200,), num_resamples=100)
TABLE = "arch,kind,a,b\nx,1,1,2\ny,1,2,1\nz,2,3,3\nw,1,4,5\nv,2,5,4\n"


def compared(path: Path, statistics: Statistics = STATISTICS, within: str | None = None) -> list[Comparison]:
    return compare(read_table(path, None, within), True, statistics, np.random.default_rng(0))


def taus(found: list[Comparison], group: str = "all", subset: str = "all") -> dict[tuple[str, str], float]:
    return {
        (one.first, one.second): round(one.agreement[subset]["kendall_tau"].value, 6)
        for one in found
        if one.group == group
    }


def assert_rounds_to(recorded: dict[tuple[str, str], float], found: dict[tuple[str, str], float], digits: int) -> None:
    assert {pair: round(found[pair], digits) for pair in recorded} == recorded


@needs_spec
def test_released_supernets_correlate_as_recorded() -> None:
    assert SPEC is not None
    found = compared(Path(SPEC) / "arch_test_accuracy.csv")
    recorded = dict(zip(PAIRS, (0.5284, 0.5138, 0.5856, 0.3544, 0.4990), strict=True))
    others = [("v1", "v5"), ("v2", "v4"), ("v3", "v4"), ("v3", "v5"), ("v4", "v5")]
    recorded |= dict(zip(others, (0.4196, 0.4702, 0.4574, 0.4933, 0.4728), strict=True))
    # Recorded from drawn points, of which some that the table ties lie apart: that moves the fourth digit by one.
    assert {pair: taus(found)[pair] for pair in recorded} == pytest.approx(recorded, abs=1.5e-4)
    by_pair = {(one.first, one.second): one.agreement["all"] for one in found}
    spearman = dict(zip(PAIRS, (0.7367, 0.7186, 0.7882, 0.5181, 0.6922), strict=True))
    assert_rounds_to(spearman, {pair: by_pair[pair]["spearman"].value for pair in PAIRS}, 4)
    pearson = dict(zip(PAIRS, (0.744, 0.683, 0.783, 0.518, 0.696), strict=True))
    assert_rounds_to(pearson, {pair: by_pair[pair]["pearson"].value for pair in PAIRS}, 3)
    among_best = dict(zip(PAIRS, (0.09, 0.04, 0.08, 0.01, 0.22), strict=True))
    assert_rounds_to(among_best, taus(found, subset="best 200"), 2)


@needs_spec
def test_they_hardly_correlate_among_archs_with_as_many_down_sampling_adds(tmp_path: Path) -> None:
    assert SPEC is not None
    space: HybridSpace = built("space", "space=hytra_hybrid")
    lines = (Path(SPEC) / "arch_test_archs.csv").read_text().splitlines()[1:]
    scores = (Path(SPEC) / "arch_test_accuracy.csv").read_text().splitlines()
    path = tmp_path / "joined.csv"
    joined = [f"{row},{num_down_sampling_adds(space, line)}" for row, line in zip(scores[1:], lines, strict=True)]
    path.write_text("\n".join([f"{scores[0]},down_adds", *joined]) + "\n")
    found = compared(path, Statistics((), num_resamples=100), within="down_adds")
    sizes = {one.group: one.num_rows for one in found}
    assert sizes["all"] == 1000
    for number, size, recorded in (
        (0, 506, (0.029, 0.029, 0.188, 0.026, 0.209)),
        (1, 410, (0.223, 0.338, 0.345, 0.194, 0.429)),
        (2, 84, (0.219, 0.349, 0.230, 0.083, 0.160)),
    ):
        assert sizes[f"down_adds={number}"] == size
        assert_rounds_to(dict(zip(PAIRS, recorded, strict=True)), taus(found, f"down_adds={number}"), 3)


def num_down_sampling_adds(space: HybridSpace, line: str) -> int:
    """Blocks of additions whose resolution is another than that of the block before."""
    arch = space.read_notation(f"[{line}]")
    assert arch is not None
    steps = space.steps(arch)
    return sum(one.operator == "add" and one.level != before.level for before, one in itertools.pairwise(steps))


def test_a_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(TABLE)
    table = read_table(path, None, "kind")
    assert list(table.names) == ["x", "y", "z", "w", "v"]
    assert list(table.columns) == ["a", "b"]
    assert table.groups == {"kind=1": [0, 1, 3], "kind=2": [2, 4]}
    found = compare(table, True, Statistics((3,), num_resamples=100), np.random.default_rng(0))
    # Of ten pairs two are swapped; in the first group one of three; the second is too small.
    assert taus(found) == {("a", "b"): 0.6}
    assert taus(found, "kind=1") == {("a", "b"): pytest.approx(1 / 3, abs=1e-6)}
    assert [one.group for one in found] == ["all", "kind=1"]
    assert taus(found, subset="best 3") == {("a", "b"): pytest.approx(1 / 3, abs=1e-6)}
    assert (found[0].num_in("all"), found[0].num_in("best 3")) == (5, 3)


@pytest.mark.parametrize(
    ("columns", "within", "content", "message"),
    [
        (["a", "c"], None, TABLE, "columns=c is no column of .*; its columns: arch, kind, a, b"),
        (["a"], None, TABLE, "give at least two different columns"),
        (["a", "a"], None, TABLE, "give at least two different columns"),
        (None, "size", TABLE, "within=size is no column"),
        (None, None, "arch,a,b\nx,1,\n", "line 2, column b: '' is no finite number"),
        (None, None, "arch,a,b\nx,1,2\ny,1,nan\n", "line 3, column b: 'nan' is no finite number"),
        (None, None, "arch,a,b\nx,1\n", "line 2, column b: None is no finite number"),
        (None, None, "", "give at least two different columns"),
    ],
)
def test_a_mistake_is_named(
    tmp_path: Path, columns: list[str] | None, within: str | None, content: str, message: str
) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_table(path, columns, within)


def test_an_absent_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv cannot be read"):
        read_table(tmp_path / "none.csv", None, None)


def test_more_of_the_best_than_rows(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(TABLE)
    with pytest.raises(UserError, match="a table of 5 rows is fewer than"):
        compared(path)
