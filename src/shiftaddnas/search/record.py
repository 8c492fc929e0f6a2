"""What became of one candidate of a search: one line of `search.jsonl`."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

Status = Literal["ok", "failed"]


@dataclass(frozen=True)
class Record:
    """One candidate, in the order in which the searcher proposed it.

    Args:
        arch: `Arch.to_json()`.
        label: `Space.describe` of the arch.
        score: the evaluator's metric; None exactly where the candidate failed.
        metrics: all that the evaluator gave; None where it was not a finite number.
        costs: by metric name; empty where the cost model failed.
        message: why the candidate failed.
    """

    index: int
    arch_id: str
    arch: Mapping[str, Any]
    label: str
    generation: int
    origin: str
    status: Status
    score: float | None
    metrics: Mapping[str, float | None]
    costs: Mapping[str, float]
    message: str | None

    def to_line(self) -> str:
        """The record as one line of JSON, its keys in the order of the fields."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(plain | {"metrics": dict(self.metrics), "costs": dict(self.costs)}, allow_nan=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "Record":
        """The record of a line.

        Raises:
            ValueError: the line is not a record; the message says what is wrong with it.
        """
        content = json.loads(line)
        names = [field.name for field in fields(cls)]
        if not isinstance(content, dict) or sorted(content) != sorted(names):
            raise ValueError(f"it must have just the keys {', '.join(names)}")
        for name, types in _TYPES.items():
            if type(content[name]) not in types:
                raise ValueError(f"{name}={content[name]!r} is not allowed")
        numbers = [content["score"], *content["metrics"].values(), *content["costs"].values()]
        if not all(number is None or (type(number) is float and math.isfinite(number)) for number in numbers):
            raise ValueError("score, metrics and costs must be finite numbers with a decimal point")
        if (content["status"], content["score"] is None) not in (("ok", False), ("failed", True)):
            raise ValueError(f"status={content['status']!r} does not go with score={content['score']!r}")
        return cls(**content)


_TYPES: dict[str, tuple[type, ...]] = {
    "index": (int,),
    "arch_id": (str,),
    "arch": (dict,),
    "label": (str,),
    "generation": (int,),
    "origin": (str,),
    "status": (str,),
    "score": (float, type(None)),
    "metrics": (dict,),
    "costs": (dict,),
    "message": (str, type(None)),
}
