"""What the archs of a space cost: ranges, the cheapest and the dearest arch, and which share a limit leaves."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftaddnas.files import write_atomically
from shiftaddnas.hardware import Distribution, Metric
from shiftaddnas.report.numbers import cost_column, cost_title

SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
BAR = 30


@dataclass(frozen=True)
class SpaceCosts:
    """The costs of the archs of a space.

    Attributes:
        title: the space, its size, and the hardware.
        metrics: of the hardware; the archs are the cheapest and dearest in the first.
        ranges: the least and greatest value of the metrics where it is known exactly.
        archs: names and costs of single archs, such as the cheapest.
        distribution: of the first metric, where it is known.
    """

    title: str
    metrics: tuple[Metric, ...]
    ranges: Mapping[str, tuple[float, float]]
    archs: Mapping[str, Mapping[str, float]]
    distribution: Distribution | None

    @property
    def objective(self) -> str:
        return self.metrics[0].name


def print_space(costs: SpaceCosts, console: Console) -> None:
    """The ranges of all metrics beside the single archs, and the shares of archs below some limits."""
    console.print(Text(costs.title, style="bold"), soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in ("", "least", "greatest", *costs.archs):
        table.add_column(heading, justify="right" if heading else "left")
    for metric in costs.metrics:
        low, high = costs.ranges.get(metric.name, (None, None))
        values = cost_column(metric.name, [low, high, *(arch[metric.name] for arch in costs.archs.values())])
        table.add_row(_title(metric.name), *values)
    console.print(table)
    if costs.distribution is not None:
        console.print(_limits(costs.objective, costs.distribution))


def write_space_csv(path: Path, costs: SpaceCosts) -> None:
    """One line a metric: its range, and its value in the single archs."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["metric", "least", "greatest", *costs.archs])
    for metric in costs.metrics:
        low, high = costs.ranges.get(metric.name, ("", ""))
        writer.writerow([metric.name, low, high, *(arch[metric.name] for arch in costs.archs.values())])
    write_atomically(path, buffer.getvalue())


def _limits(metric: str, distribution: Distribution) -> Table:
    """Limits, and the share of archs that each leaves."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(f"{_title(metric)}\nof at most", justify="right")
    table.add_column("archs", justify="right")
    table.add_column("")
    limits = [distribution.quantile(share) for share in SHARES]
    for limit, text in zip(limits, cost_column(metric, limits), strict=True):
        share = distribution.share_below(limit)
        table.add_row(text, f"{100 * share:.1f} %", "#" * round(BAR * share))
    return table


def _title(metric: str) -> str:
    title, unit = cost_title(metric)
    return f"{title} ({unit})" if unit else title
