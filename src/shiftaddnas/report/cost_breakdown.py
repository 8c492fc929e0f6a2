"""What a network costs, layer by layer, as a table for people and a CSV file for programs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftaddnas.files import write_atomically
from shiftaddnas.hardware import Cost, Layer, Metric
from shiftaddnas.report.numbers import cost_column, cost_title, cost_value


@dataclass(frozen=True)
class Breakdown:
    """The cost of a network.

    Attributes:
        title: what was priced, on what.
        metrics: of the hardware; shares are of the first.
        cost: the totals, and the layers where the model works by layers.
        paths: where each layer is: names from the coarsest part of the network to the layer's own.
    """

    title: str
    metrics: tuple[Metric, ...]
    cost: Cost
    paths: tuple[tuple[str, ...], ...]

    @property
    def objective(self) -> str:
        return self.metrics[0].name


def computation(layer: Layer) -> str:
    """A layer in the field's shorthand, such as "3x3 64 > 128, 56x56, stride 2"."""
    channels = f"{layer.C} > {layer.M}"
    if layer.op == "matmul":
        products = f"{layer.repeat} x " if layer.repeat > 1 else ""
        parts = [f"{products}({layer.N}x{layer.C} by {layer.C}x{layer.M})"]
    elif layer.op == "linear":
        parts = [channels, f"{layer.N} rows" if layer.N > 1 else ""]
    else:
        parts = [
            f"{layer.R}x{layer.S} {channels}",
            f"{layer.H}x{layer.W}",
            f"batch {layer.N}" if layer.N > 1 else "",
            f"stride {layer.stride}" if layer.stride > 1 else "",
            f"dilation {layer.dilation}" if layer.dilation > 1 else "",
            f"groups {layer.groups}" if layer.groups > 1 else "",
        ]
    parts.append(f"{layer.repeat} times" if layer.repeat > 1 and layer.op != "matmul" else "")
    parts.append(f"{layer.steps} steps" if layer.steps > 1 else "")
    return ", ".join(filter(None, parts))


def print_breakdown(breakdown: Breakdown, console: Console) -> None:
    """The layers with their costs, and the totals; as many metrics as the console is wide, the first ones first."""
    console.print(Text(breakdown.title, style="bold"), soft_wrap=True)
    names = [metric.name for metric in breakdown.metrics]
    if not breakdown.cost.layers:
        table = Table.grid(padding=(0, 2))
        for name in names:
            table.add_row(*_titled(name, breakdown.cost.values[name]))
        console.print(table)
        console.print(Text("this cost model has no prices of single layers"))
        return
    rows = _rows(breakdown)
    shown = len(names)
    while shown > 1 and console.measure(_table(breakdown, rows, names[:shown])).maximum > console.width:
        shown -= 1
    console.print(_table(breakdown, rows, names[:shown]))
    if shown < len(names):
        rest = ", ".join(" ".join(filter(None, _titled(name, breakdown.cost.values[name]))) for name in names[shown:])
        console.print(Text(f"and in total {rest}"), soft_wrap=True)


def write_csv(path: Path, breakdown: Breakdown) -> None:
    """One line a layer: all of its shape, and all metrics that it has a part of."""
    names = [metric.name for metric in breakdown.metrics]
    shape = [name for name in Layer.__dataclass_fields__ if name != "name"]
    # A metric may be called as a property of the layer: both are written, once.
    shape = [name for name in shape if name not in names]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["layer", *shape, *names])
    for path_, (layer, values) in zip(breakdown.paths, breakdown.cost.layers, strict=True):
        own = asdict(layer)
        writer.writerow([".".join(path_), *(own[name] for name in shape), *(values.get(name, "") for name in names)])
    write_atomically(path, buffer.getvalue())


@dataclass(frozen=True)
class _Row:
    """Equal layers that follow one another, with the sums of their costs in the additive metrics."""

    name: str
    layer: Layer
    times: int
    costs: Mapping[str, float]


def _rows(breakdown: Breakdown) -> list[_Row]:
    rows = []
    layers = [
        (path, layer, values) for path, (layer, values) in zip(breakdown.paths, breakdown.cost.layers, strict=True)
    ]
    for (path, _, layer), equal in groupby(layers, key=lambda one: (one[0], computation(one[1]), one[1])):
        values = [one[2] for one in equal]
        costs = {name: sum(value[name] for value in values) for name in values[0]}
        rows.append(_Row(".".join(path), layer, len(values), costs))
    return rows


def _table(breakdown: Breakdown, rows: Sequence[_Row], names: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    total = breakdown.cost.values
    table.add_column("layer", footer="total", no_wrap=True)
    table.add_column("computes", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    for name in names:
        table.add_column(
            "\n".join(filter(None, cost_title(name))), footer=cost_value(name, total[name]), justify="right"
        )
    table.add_column(f"share of\n{cost_title(breakdown.objective)[0]}", justify="right")
    columns = [cost_column(name, [row.costs.get(name) for row in rows]) for name in names]
    whole = total[breakdown.objective]
    for row, *values in zip(rows, *columns, strict=True):
        part = row.costs.get(breakdown.objective)
        share = f"{100 * part / whole:.1f} %" if part is not None and whole else "-"
        times = f"{row.times} of " if row.times > 1 else ""
        table.add_row(Text(row.name), Text(times + computation(row.layer)), row.layer.arithmetic, *values, share)
    return table


def _titled(name: str, value: float) -> tuple[str, str]:
    title, unit = cost_title(name)
    return title, f"{cost_value(name, value)} {unit}".rstrip()
