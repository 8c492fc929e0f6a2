"""Tables of measured layer latencies: plain files, made on one machine and read on any.

A table is a CSV file with a row for each layer; comment lines above the rows say on which machine they were measured.
`shiftaddnas.latency` makes tables, here they are read and looked up.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically
from shiftaddnas.hardware.cost import BoundCost, LayerModel, Metric
from shiftaddnas.hardware.layer import Layer

if TYPE_CHECKING:  # spaces are made of layers, so they import this package
    from shiftaddnas.spaces import Space

W = TypeVar("W")

LATENCY = Metric("latency_ms", "ms")

_NOT_COMPUTED = ("name", "role", "num_params")
_LAYER_COLUMNS = tuple(field.name for field in fields(Layer) if field.name not in _NOT_COMPUTED)


@dataclass(frozen=True)
class Timing:
    """A measured time: the lower quartile of a number of samples, and their interquartile range."""

    latency_ms: float
    iqr_ms: float
    num_samples: int


_TIMING_COLUMNS = tuple(field.name for field in fields(Timing))


@dataclass(frozen=True)
class TableFile:
    """What a table holds: the machine, as names and values, and the timing of each computation."""

    machine: Mapping[str, str]
    timings: Mapping[Layer, Timing]


def computation(layer: Layer) -> Layer:
    """The layer without what its time does not depend on: its name, its role and its number of parameters."""
    return replace(layer, name="", role="", num_params=0)


def computations(space: "Space[Any, W]", workload: W) -> tuple[Layer, ...]:
    """Every distinct computation of the space, in an order that is the same in every process."""
    layers = {computation(layer) for term in space.all_terms() for layer in space.layers(term, workload)}
    return tuple(sorted(layers, key=repr))


def describe(layer: Layer) -> str:
    """One short line for messages: what differs from a layer's defaults."""
    own = [f"{name}={getattr(layer, name)}" for name in _LAYER_COLUMNS if getattr(layer, name) != _DEFAULTS.get(name)]
    return ", ".join(own)


_DEFAULTS = {field.name: field.default for field in fields(Layer)}


class LatencyTable(LayerModel):
    """The latency of a network as the sum of its layers', looked up in a table.

    Args:
        name: how tables and messages call the machine.
        table: the file, as `hardware=host` writes it.

    Raises:
        UserError: the file is missing, damaged, or not a table. On binding: layers of the space are not in it.
    """

    metrics = (LATENCY,)

    def __init__(self, name: str, table: str) -> None:
        self.name = name
        self.table = table
        self.timings = read_table(Path(table)).timings

    def bind(self, space: "Space[Any, W]", workload: W) -> BoundCost:
        wanted = computations(space, workload)
        missing = [layer for layer in wanted if layer not in self.timings]
        if missing:
            raise UserError(
                f"hardware.table={self.table} lacks {len(missing)} of the {len(wanted)} layers of space {space.name}, "
                f"the first is {self._remedy(missing[0])}"
            )
        return super().bind(space, workload)

    def price(self, layer: Layer) -> dict[str, float]:
        timing = self.timings.get(computation(layer))
        if timing is None:
            raise UserError(f"it is not in hardware.table={self.table}: {self._remedy(layer)}")
        return {LATENCY.name: timing.latency_ms}

    def _remedy(self, layer: Layer) -> str:
        return (
            f"({describe(layer)}); on the table's machine, the same command with hardware=host "
            f"hardware.table={self.table} measures it"
        )


def write_table(path: Path, content: TableFile) -> None:
    """Write a table, atomically."""
    text = io.StringIO()
    for name, value in content.machine.items():
        text.write(f"# {name}: {value}\n")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow((*_TIMING_COLUMNS, *_LAYER_COLUMNS))
    for layer, timing in content.timings.items():
        times = (getattr(timing, name) for name in _TIMING_COLUMNS)
        rows.writerow((*times, *(getattr(layer, name) for name in _LAYER_COLUMNS)))
    write_atomically(path, text.getvalue())


def read_table(path: Path) -> TableFile:
    """The content of a table.

    Raises:
        UserError: the file is missing, ends within a line, or a row is not the timing of a layer.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"latency table {path} does not exist; hardware=host makes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"latency table {path} cannot be read: {error}") from None
    if not text.endswith("\n"):  # a number that was cut off would still be a number
        raise UserError(f"latency table {path} is cut off; copy it again, or let hardware=host make a new one")
    lines = text.splitlines()
    comments = [line for line in lines if line.startswith("#")]
    machine = {name.strip(): value.strip() for name, _, value in (line[1:].partition(":") for line in comments)}
    return TableFile(machine, _timings(path, lines, len(comments)))


def _timings(path: Path, lines: list[str], num_comments: int) -> dict[Layer, Timing]:
    columns = [*_TIMING_COLUMNS, *_LAYER_COLUMNS]
    header, *rows = list(csv.reader(lines[num_comments:])) or [[]]
    if sorted(header) != sorted(columns):
        raise UserError(f"latency table {path} has columns {','.join(header)}; they must be {','.join(columns)}")
    timings: dict[Layer, Timing] = {}
    for number, row in enumerate(rows, start=num_comments + 2):
        try:
            layer, timing = _entry(header, row)
            if layer in timings:
                raise ValueError("the same layer stands above")
        except ValueError as error:
            raise UserError(f"latency table {path}, line {number}: {error}; mend or remove the line") from None
        timings[layer] = timing
    return timings


def _entry(header: list[str], row: list[str]) -> tuple[Layer, Timing]:
    if len(row) != len(header):
        raise ValueError(f"{len(row)} values for {len(header)} columns")
    values = dict(zip(header, row, strict=True))
    timing = Timing(**_typed(Timing, values, _TIMING_COLUMNS))
    if not (math.isfinite(timing.latency_ms) and timing.latency_ms >= 0):
        raise ValueError(f"latency_ms={timing.latency_ms} is not a time")
    return Layer(name="", role="", **_typed(Layer, values, _LAYER_COLUMNS)), timing


def _typed(cls: type, values: Mapping[str, str], names: Iterable[str]) -> dict[str, Any]:
    """The values as the fields of a dataclass are typed: numbers, or one of a few words."""
    typed: dict[str, Any] = {}
    for name in names:
        hint, value = get_type_hints(cls)[name], values[name]
        if words := get_args(hint):
            if value not in words:
                raise ValueError(f"{name}={value}; allowed: {', '.join(words)}")
            typed[name] = value
        else:
            typed[name] = hint(value)
    return typed
