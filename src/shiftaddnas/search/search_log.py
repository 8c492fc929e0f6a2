"""The file that is the truth about a search, `search.jsonl`, and the times beside it.

A record is on the disk before the next candidate is evaluated, so a killed search loses at most the candidate it was
at. What does not depend on the configuration alone, the times, goes to `search_times.jsonl`.
"""

import json
import os
from pathlib import Path

from shiftaddnas.errors import UserError
from shiftaddnas.search.record import Record

START_OVER = "start over with fresh=true, or set another hydra.run.dir"


class SearchLog:
    """The records of a search, those of an earlier run of it included.

    Args:
        path: of `search.jsonl`; it need not exist.

    Raises:
        UserError: the file holds something else than records.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times_path = path.with_name(f"{path.stem}_times.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in (self.path, self.times_path):
            _drop_torn_line(file)
        self.records = read_records(path) if path.exists() else []
        """All records in the file, in the order of the search."""

    def append(self, record: Record, seconds: float) -> None:
        """Write the record to the disk, and the time that it took."""
        assert record.index == len(self.records), f"record {record.index} follows {len(self.records) - 1}"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(record.to_line())
            file.flush()
            os.fsync(file.fileno())
        self.records.append(record)
        times = {"index": record.index, "arch_id": record.arch_id, "seconds": round(seconds, 3)}
        with self.times_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(times) + "\n")


def read_records(path: Path) -> list[Record]:
    """The records in a `search.jsonl`, of a search that is still running too: a line without its end is left out.

    Raises:
        UserError: the file holds something else than records.
    """
    records = []
    for index, line in enumerate(path.read_bytes().split(b"\n")[:-1]):
        try:
            record = Record.from_line(line.decode())
            if record.index != index:
                raise ValueError(f"its index is {record.index}, expected {index}")
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"{path}, line {index + 1}, is no record of a search ({reason}); mend the line, or {START_OVER}"
            ) from None
        records.append(record)
    return records


def _drop_torn_line(path: Path) -> None:
    """Cut off what follows the last line end: a process was killed while it wrote that."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
