"""A CSV file to which a killed process may have added some rows already."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically

Key = tuple[str, ...]


class RowFile:
    """Rows that are known by the values of some columns.

    Args:
        path: of the file; it need not exist.
        key: the columns that tell a row from others.

    Raises:
        UserError: the file holds something else.
    """

    def __init__(self, path: Path, key: tuple[str, ...]) -> None:
        self.path = path
        self.rows: dict[Key, Mapping[str, str]] = {}
        self._key = key
        self._columns: list[str] = []
        if not path.exists():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:  # a process was killed while it wrote the rest
            os.truncate(path, len(whole))
        try:
            text = whole.decode()
        except UnicodeDecodeError as error:
            number = whole.count(b"\n", 0, error.start) + 1
            raise self._strange(number) from None
        reader = csv.DictReader(io.StringIO(text))
        self._columns = list(reader.fieldnames or ())
        for row in reader:
            if not set(key) <= set(row) or None in row or None in row.values():
                raise self._strange(reader.line_num)
            self.rows[self._key_of(row)] = row

    def _strange(self, number: int) -> UserError:
        return UserError(f"{self.path}, line {number}, is not of this study; remove it, or start over with fresh=true")

    def _key_of(self, row: Mapping[str, Any]) -> Key:
        return tuple(str(row[name]) for name in self._key)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row to the disk."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns or list(row), lineterminator="\n")
        if not self._columns:
            self._columns = list(row)
            writer.writeheader()
        writer.writerow(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())
            file.flush()
            os.fsync(file.fileno())
        self.rows[self._key_of(row)] = {name: str(value) for name, value in row.items()}

    def sort(self, order: Iterable[Key]) -> None:
        """Put rows in order, those that are not mentioned behind; a file that is in order is left alone."""
        place = {key: index for index, key in enumerate(order)}
        keys = sorted(self.rows, key=lambda key: (place.get(key, len(place)), key))
        if keys == list(self.rows):
            return
        self.rows = {key: self.rows[key] for key in keys}
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows.values())
        write_atomically(self.path, text.getvalue())
