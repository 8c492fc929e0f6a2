"""A file of rows outlives the process that writes it."""

from pathlib import Path

import pytest

from shiftaddnas.errors import UserError
from shiftaddnas.ranking.row_file import RowFile


def test_rows_are_read_again_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    file = RowFile(path, ("id",))
    file.append({"id": "b", "label": 'A, "B"', "score": 0.1 + 0.2})
    file.append({"id": "a", "label": "C", "score": 1e-30})
    again = RowFile(path, ("id",))
    assert list(again.rows) == [("b",), ("a",)]
    assert again.rows["b",]["label"] == 'A, "B"'
    assert float(again.rows["b",]["score"]) == 0.1 + 0.2
    assert again.rows == file.rows


@pytest.mark.parametrize("lost", range(1, 9))
def test_a_row_cut_off_is_left_out_and_written_anew(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "rows.csv"
    for name in ("whole", "torn"):
        RowFile(path, ("id",)).append({"id": name, "score": 0.25})
    complete = path.read_bytes()
    path.write_bytes(complete[:-lost])
    file = RowFile(path, ("id",))
    assert list(file.rows) == [("whole",)]
    file.append({"id": "torn", "score": 0.25})
    assert path.read_bytes() == complete


def test_a_heading_cut_off_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,sco")
    RowFile(path, ("id",)).append({"id": "a", "score": 1})
    assert path.read_text() == "id,score\na,1\n"


def test_sorting_puts_strangers_behind(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    file = RowFile(path, ("id",))
    for name in ("d", "b", "c", "a"):
        file.append({"id": name, "score": name})
    file.sort([("a",), ("c",), ("x",)])
    assert path.read_text() == "id,score\na,a\nc,c\nb,b\nd,d\n"
    written = path.stat().st_mtime_ns
    RowFile(path, ("id",)).sort([("a",), ("c",)])
    assert path.stat().st_mtime_ns == written


def test_a_damaged_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"id,score\na,1\nb,\xff2\nc,3\n")
    with pytest.raises(UserError, match=r"rows\.csv, line 3, is not of this study"):
        RowFile(path, ("id",))


@pytest.mark.parametrize("content", ["name,score\na,1\n", "id,score\na,1\nb\n", "id,score\na,1,2\n"])
def test_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(content)
    with pytest.raises(UserError, match="is not of this study"):
        RowFile(path, ("id",))
