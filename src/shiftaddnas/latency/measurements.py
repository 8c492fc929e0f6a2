"""The file of measured networks: a line for each arch and round, on the disk before the next network is timed."""

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from shiftaddnas.errors import UserError
from shiftaddnas.latency.machine import first_difference
from shiftaddnas.latency.timing import Round
from shiftaddnas.spaces import Arch

Phase = Literal["first", "retest"]
"""The measurement that the predictor is made from, and the second one, later, that tells what it is worth."""


@dataclass(frozen=True)
class Conditions:
    """What the times in one file have in common.

    Args:
        machine: where they were measured, as names and values.
        network: what was measured and how (space, inputs, protocol), likewise.
    """

    machine: Mapping[str, str]
    network: Mapping[str, str]


class Measurements:
    """Rounds of timed networks, those of earlier processes included.

    Args:
        path: of the file; it need not exist.
        setting: what the user chose it with, for messages.

    Raises:
        UserError: the file was made under other conditions, or holds something else.
    """

    def __init__(self, path: Path, conditions: Conditions, setting: str) -> None:
        self.path = path
        self._remedy = f"set another {setting}, or start over with fresh=true"
        self._fastest: dict[tuple[Phase, str], dict[int, float]] = defaultdict(dict)
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(path)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if not lines:
            self._write(asdict(conditions))
            return
        self._check(self._parsed(lines[0], 1), conditions)
        for number, line in enumerate(lines[1:], start=2):
            self._take(self._parsed(line, number), number)

    def append(self, phase: Phase, number: int, arch: Arch, times: Round) -> None:
        """Write one round of an arch to the disk."""
        which = {"phase": phase, "round": number, "arch_id": arch.id, "arch": arch.to_json()}
        self._write(which | asdict(times))
        self._fastest[phase, arch.id][number] = times.fastest_ms

    def has(self, phase: Phase, number: int, arch: Arch) -> bool:
        return number in self._fastest[phase, arch.id]

    def rounds(self, phase: Phase, arch: Arch, num_rounds: int) -> list[float]:
        """The fastest calls of an arch's first rounds, in milliseconds."""
        found = self._fastest[phase, arch.id]
        return [found[number] for number in range(num_rounds)]

    def _write(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _check(self, header: Any, conditions: Conditions) -> None:
        if set(header) != {"machine", "network"}:
            raise UserError(f"{self.path} holds no measurements of networks; {self._remedy}")
        for name, ours in asdict(conditions).items():
            differs = first_difference(header[name], ours)
            if differs:
                raise UserError(f"{self.path} was measured under other conditions: {differs}; {self._remedy}")

    def _parsed(self, line: str, number: int) -> Any:
        try:
            parsed = json.loads(line)
            if not isinstance(parsed, dict):
                raise ValueError("it is no mapping")
        except ValueError as error:
            raise self._damaged(number, error) from None
        return parsed

    def _take(self, line: Any, number: int) -> None:
        try:
            self._fastest[line["phase"], line["arch_id"]][int(line["round"])] = float(line["fastest_ms"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(number, error) from None

    def _damaged(self, number: int, error: Exception) -> UserError:
        return UserError(f"{self.path}, line {number}, is no measurement ({error}); remove the line, or {self._remedy}")


def _drop_torn_line(path: Path) -> None:
    """Cut off what follows the last line end: a process was killed while it wrote that."""
    if path.exists():
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
