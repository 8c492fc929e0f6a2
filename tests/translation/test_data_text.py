"""Parallel text as it is read: what is normalised, what is refused, and with which file and line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftaddnas.errors import UserError
from tasks.translation.data.text import Filter, Located, Pair, normalized, read_pairs, read_table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Gro\u0308\u00dfe", "Gr\u00f6\u00dfe"),  # o with combining diaeresis
        ("  a\u00a0b\t c\u2028d \r\n", "a b c d"),
        ("\ufeffFile\x00 name\x1b", "File name"),
        ("o\x00\u0308", "\u00f6"),  # nothing is between the two any more
        ("est-ce\u202f?", "est-ce ?"),
        ("", ""),
    ],
)
def test_normalized(text: str, expected: str) -> None:
    assert normalized(text) == expected


@given(st.text(st.sampled_from("ao \u0308\u0301\x00\x1c\u3000\ufeff\u200d")) | st.text())
def test_normalized_text_stays_as_it_is(text: str) -> None:
    once = normalized(text)
    assert normalized(once) == once
    assert once.split(" ") == once.split() or once == ""


def files(folder: Path, source: bytes, target: bytes) -> tuple[Path, Path]:
    one, other = folder / "train.en", folder / "train.de"
    one.write_bytes(source)
    other.write_bytes(target)
    return one, other


def test_two_files_are_read_line_by_line(tmp_path: Path) -> None:
    # U+2028 is a line separator for str.splitlines, but no end of a line in a file.
    pairs = list(read_pairs(*files(tmp_path, "Yes\u2028.\nNo\n".encode(), b"Ja.\nNein")))
    assert [pair for pair, _ in pairs] == [("Yes .", "Ja."), ("No", "Nein")]
    assert pairs[1].place == f"{tmp_path}/train.en:2"


@pytest.mark.parametrize(
    ("source", "target", "short", "long"),
    [(b"a\nb\nc\n", b"a\nb\n", "train.de", "train.en"), (b"a\nb\n", b"a\nb\nc\n", "train.en", "train.de")],
)
def test_unequal_numbers_of_lines(tmp_path: Path, source: bytes, target: bytes, short: str, long: str) -> None:
    with pytest.raises(UserError, match=rf"{short} has 2 lines, .*{long} more: line 3"):
        list(read_pairs(*files(tmp_path, source, target)))


def test_a_wrong_encoding_is_found_at_its_line(tmp_path: Path) -> None:
    latin = "Datei\nGröße\n".encode("latin-1")
    with pytest.raises(UserError, match=r"train\.de:2 is not UTF-8 \(byte 3 "):
        list(read_pairs(*files(tmp_path, b"File\nSize\n", latin)))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.en cannot be read"):
        list(read_pairs(tmp_path / "missing.en", tmp_path / "missing.de"))


def test_a_table(tmp_path: Path) -> None:
    table = tmp_path / "table.tsv"
    table.write_text("Yes\tJa\r\nNo\t Nein \n")
    assert [pair for pair, _ in read_table(table)] == [("Yes", "Ja"), ("No", "Nein")]
    table.write_text("Yes\tJa\nNo\n")
    with pytest.raises(UserError, match=r"table\.tsv:2 has 1 columns"):
        list(read_table(table))


def located(*pairs: tuple[str, str]) -> list[Located]:
    return [Located(Pair(*pair), f"text:{number}") for number, pair in enumerate(pairs, start=1)]


def test_the_filter_counts_what_it_leaves_out() -> None:
    kept = Filter(max_words=3, max_ratio=2.0, max_dropped=0.6, name="the text")
    pairs = [("a b", "c"), ("", "c"), ("a b c d", "a b c"), ("a b c", "d"), ("a", "b"), ("a b", "c d")]
    assert list(kept(located(*pairs))) == [("a b", "c"), ("a", "b"), ("a b", "c d")]
    assert dict(kept.dropped) == {"empty": 1, "longer than 3 words": 1, "one side more than 2 times as long": 1}
    assert kept.first["longer than 3 words"] == "text:3"


def test_the_filter_refuses_above_its_share() -> None:
    pairs = located(("a", "b"), ("a", ""), ("", "b"), ("a", "b"))
    assert len(list(Filter(None, None, 0.5, "the text")(pairs))) == 2
    with pytest.raises(UserError, match=r"2 of 4 pairs of the text .*first text:2\); allowed are 49\.0%"):
        list(Filter(None, None, 0.49, "the text")(pairs))


def test_text_without_pairs_is_refused() -> None:
    with pytest.raises(UserError, match="the text has no pairs"):
        list(Filter(None, None, 1.0, "the text")([]))
    with pytest.raises(UserError, match="1 of 1 pairs"):
        list(Filter(None, None, 1.0, "the text")(located(("", ""))))
