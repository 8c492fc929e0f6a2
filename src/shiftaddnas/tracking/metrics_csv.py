"""All metrics of a run in one file, `metrics.csv`, which a resumed run goes on writing.

Lightning's own CSV logger deletes what an earlier process wrote and keeps its rows in memory; this one appends each row
when it is logged.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from shiftaddnas.files import write_atomically

COLUMNS = ("stage", "epoch", "step")


def read_metrics(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and complete rows of a metrics file; none if there is no file.

    A last line that was cut off is left out.
    """
    if not path.exists():
        return list(COLUMNS), []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    reader = csv.DictReader(io.StringIO(whole))
    return list(reader.fieldnames or COLUMNS), list(reader)


class MetricsCsv(Logger):
    """The rows of one stage, such as "supernet" or "retrain/<arch id>", in the file that all stages of a run share.

    Columns are stage, epoch, step (batches trained before this one, from 0), then metrics in order of appearance. A
    cell is empty where a metric was not logged.
    """

    def __init__(self, path: Path, *, stage: str) -> None:
        super().__init__()
        self.path = path
        self.stage = stage
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row."""
        row: dict[str, Any] = {"stage": self.stage, "epoch": None, "step": step}
        row |= {name: float(value) for name, value in metrics.items()}
        if row["epoch"] is not None:
            row["epoch"] = int(row["epoch"])
        columns = self._known_columns()
        new = [name for name in row if name not in columns]
        if new or not self.path.exists():
            _, rows = read_metrics(self.path)
            columns += new
            self._rewrite([*rows, row])
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns, lineterminator="\n").writerow(row)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds the config."""

    @rank_zero_only
    def truncate(self, step: int) -> None:
        """Keep, of this stage, what was logged in the first `step` steps; call it before a fit goes on or starts over.

        With a checkpoint's `global_step`, an interrupted and resumed run ends with the rows of an uninterrupted one.
        Lightning counts steps from 0, so rows of this step and later are dropped; those without a step stay.
        """
        self._columns, rows = read_metrics(self.path)
        kept = [row for row in rows if row["stage"] != self.stage or not row["step"] or int(row["step"]) < step]
        if len(kept) < len(rows):
            self._rewrite(kept)

    def reaches(self, step: int) -> bool:
        """Whether this stage has logged anything in this step, counted from 0, or later."""
        _, rows = read_metrics(self.path)
        return any(row["stage"] == self.stage and bool(row["step"]) and int(row["step"]) >= step for row in rows)

    def _known_columns(self) -> list[str]:
        if self._columns is None:
            # Whatever a killed process left must be whole before anything is appended.
            self._columns, rows = read_metrics(self.path)
            if self.path.exists() and not self.path.read_text(encoding="utf-8").endswith("\n"):
                self._rewrite(rows)
        return self._columns

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns or COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path, text.getvalue())
