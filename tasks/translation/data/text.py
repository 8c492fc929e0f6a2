"""Parallel text: how it is read from files, normalised and checked. A pair is a source sentence and its translation."""

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from shiftaddnas.errors import UserError

log = logging.getLogger("shiftaddnas.data")


class Pair(NamedTuple):
    source: str
    target: str


class Located(NamedTuple):
    """A pair and where it comes from, as messages name it: "file:line"."""

    pair: Pair
    place: str


# Control characters other than white space, and the byte order mark. Joiners stay: they change what some scripts mean.
CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff]")


def normalized(text: str) -> str:
    """The text without control characters, in Unicode's composed form (NFC), words separated by single spaces."""
    return " ".join(unicodedata.normalize("NFC", CONTROL.sub("", text)).split())


def read_lines(file: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, which end at line feeds alone; line feeds are part of them.

    Raises:
        UserError: the file cannot be read, or a line is not UTF-8.
    """
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{file}:{number} is not UTF-8 (byte {error.start + 1} of the line); convert it with iconv"
                    ) from None
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); put the text there or set task.data") from None


def read_pairs(source: Path, target: Path) -> Iterator[Located]:
    """Line by line from two files, the second with the first's translation.

    Raises:
        UserError: a file cannot be read, is not UTF-8, or one has more lines than the other.
    """
    for number, (one, other) in enumerate(zip_longest(read_lines(source), read_lines(target)), start=1):
        if one is None or other is None:
            short, long = (source, target) if one is None else (target, source)
            raise UserError(
                f"{short} has {number - 1} lines, {long} more: line {number} has no translation; "
                "parallel text needs as many lines in both"
            )
        yield Located(Pair(normalized(one), normalized(other)), f"{source}:{number}")


def read_table(file: Path) -> Iterator[Located]:
    """From one file whose lines are a sentence, a tab and its translation.

    Raises:
        UserError: the file cannot be read, is not UTF-8, or a line has not exactly one tab.
    """
    for number, line in enumerate(read_lines(file), start=1):
        columns = line.rstrip("\r\n").split("\t")
        if len(columns) != 2:
            raise UserError(f"{file}:{number} has {len(columns)} columns; 2 are expected: sentence, tab, translation")
        yield Located(Pair(normalized(columns[0]), normalized(columns[1])), f"{file}:{number}")


@dataclass
class Filter:
    """Leaves out pairs that a corpus naturally has some of: with an empty side, too long, or unlike in length.

    Args:
        max_words: of either side, separated by spaces; None: any.
        max_ratio: of the longer side's words to the shorter side's; None: any.
        max_dropped: the greatest share of the pairs that may be left out.
        name: what is filtered, for messages.

    Attributes:
        dropped: how many pairs were left out, by reason.
        first: where the first of each was.
    """

    max_words: int | None
    max_ratio: float | None
    max_dropped: float
    name: str
    dropped: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    seen: int = 0

    def __call__(self, pairs: Iterable[Located]) -> Iterator[Pair]:
        """The pairs that are kept.

        Raises:
            UserError: at the end, if too many were left out or none was kept.
        """
        for pair, place in pairs:
            self.seen += 1
            if reason := self._reason(pair):
                self.dropped[reason] += 1
                self.first.setdefault(reason, place)
            else:
                yield pair
        self._report()

    def _reason(self, pair: Pair) -> str | None:
        shorter, longer = sorted((len(pair.source.split()), len(pair.target.split())))
        if shorter == 0:
            return "empty"
        if self.max_words is not None and longer > self.max_words:
            return f"longer than {self.max_words} words"
        if self.max_ratio is not None and longer > self.max_ratio * shorter:
            return f"one side more than {self.max_ratio:g} times as long"
        return None

    def _report(self) -> None:
        if not self.seen:
            raise UserError(f"{self.name} has no pairs of sentences")
        num_dropped = self.dropped.total()
        reasons = "; ".join(f"{reason}: {n}, first {self.first[reason]}" for reason, n in self.dropped.items())
        advice = " or raise task.data.source.preparation.max_dropped" if self.max_dropped else ""
        if num_dropped > self.max_dropped * self.seen or num_dropped == self.seen:
            raise UserError(
                f"{num_dropped} of {self.seen} pairs of {self.name} would be left out ({reasons}); "
                f"allowed are {self.max_dropped:.1%}: mend the text{advice}"
            )
        if num_dropped:
            log.warning("%s: %d of %d pairs left out (%s)", self.name, num_dropped, self.seen, reasons)
