"""Figures of costs: where in a network they arise, and how they are distributed over a space. PNG, for a paper."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from shiftaddnas.hardware import Arithmetic, Distribution
from shiftaddnas.report import palette
from shiftaddnas.report.cost_breakdown import Breakdown
from shiftaddnas.report.numbers import cost_title, cost_value
from shiftaddnas.report.picture import write_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BARS = 40
NUM_BINS = 80
WHOLE = "energy_mj"
# Okabe and Ito's, in the order in which an accelerator's metrics name its parts.
PARTS = ("#D55E00", "#0072B2", "#56B4E9", "#CC79A7", "#E69F00", "#009E73", "#9AA0A6")
TITLES = {"dram": "DRAM", "noc": "NoC", "rf": "register files"}
KINDS: dict[Arithmetic, str] = {
    "mult": palette.OPERATIONS["num_mults"],
    "add": palette.OPERATIONS["num_adds"],
    "shift": palette.OPERATIONS["num_shifts"],
}


def write_breakdown_figure(path: Path, breakdown: Breakdown) -> None:
    """Draw a stacked bar for each layer, or for each part of the network where there are more than `MAX_BARS` layers.

    The bars are of energy by its parts, where the hardware tells them apart (all metrics in mJ but the whole), else of
    the first metric by the kind of arithmetic.
    """
    bars = grouped(breakdown)
    metric, series = stacks(breakdown, [rows for _, rows in bars])

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        left = [0.0] * len(bars)
        for name, color, values in series:
            axes.barh(range(len(bars)), values, left=left, height=0.8, color=color, label=name)
            left = [start + value for start, value in zip(left, values, strict=True)]
        axes.set_yticks(range(len(bars)), [label for label, _ in bars], fontsize=8)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        total = f"{cost_value(metric, breakdown.cost.values[metric])} {cost_title(metric)[1]}".rstrip()
        axes.set_xlabel(_axis_title(metric))
        figure.suptitle(f"{breakdown.title}: {total}", fontsize=11)
        figure.legend(loc="outside lower center", ncols=len(series), fontsize=8)

    write_picture(path, (7.2, 1.4 + 0.21 * len(bars)), draw)


def write_distribution_figure(path: Path, title: str, metric: str, distribution: Distribution) -> None:
    """Draw how many archs of a space have which cost, and the median."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        counts, edges = distribution.histogram(NUM_BINS)
        axes.stairs(100 * counts / counts.sum(), edges, fill=True, color=palette.CANDIDATE)
        median = distribution.quantile(0.5)
        axes.axvline(median, color=palette.FRONT, linewidth=1.4, label=f"median {cost_value(metric, median)}")
        axes.set(xlabel=_axis_title(metric), ylabel="share of archs (%)", title=title)
        axes.legend(loc="best", fontsize=8)

    write_picture(path, (6.4, 4.0), draw)


def grouped(breakdown: Breakdown) -> list[tuple[str, list[int]]]:
    """The bars from top to bottom: a name, and the numbers of the layers in it.

    Layers that follow one another are one bar if their paths begin alike; paths are cut as late as `MAX_BARS` allows.
    """
    for depth in range(max(map(len, breakdown.paths)), 0, -1):
        starts = [path[:depth] for path in breakdown.paths]
        bars = [
            (".".join(start), [number for number, _ in numbers])
            for start, numbers in groupby(enumerate(starts), key=lambda item: item[1])
        ]
        if len(bars) <= MAX_BARS:
            break
    return bars


def stacks(breakdown: Breakdown, bars: Sequence[Sequence[int]]) -> tuple[str, list[tuple[str, str, list[float]]]]:
    """The metric whose parts are drawn, and the parts: name, colour, and value in each bar.

    A metric that is no sum over layers is not drawn: the first that is one takes its place.
    """
    layers = breakdown.cost.layers
    names = list(layers[0][1])
    parts = [name for name in names if name.endswith("_mj") and name != WHOLE]
    if WHOLE in names and parts:
        colors = dict(zip(parts, (*PARTS, *[palette.INK] * len(parts)), strict=False))
        return WHOLE, [
            (_part_title(part), colors[part], [sum(layers[number][1][part] for number in bar) for bar in bars])
            for part in parts
        ]
    metric = WHOLE if WHOLE in names else names[0]
    series: list[tuple[str, str, list[float]]] = []
    for kind, color in KINDS.items():
        values = [
            sum(layers[number][1][metric] for number in bar if layers[number][0].arithmetic == kind) for bar in bars
        ]
        if any(values):
            series.append((kind, color, values))
    return metric, series


def _part_title(metric: str) -> str:
    title, _ = cost_title(metric)
    return TITLES.get(title, title)


def _axis_title(metric: str) -> str:
    title, unit = cost_title(metric)
    return f"{title} ({unit})" if unit else title
