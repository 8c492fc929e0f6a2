"""Pictures of weights: a histogram with the two fitted densities for each operator, or for each layer, as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shiftaddnas.report import palette
from shiftaddnas.report.numbers import count, significant
from shiftaddnas.report.picture import write_picture
from shiftaddnas.report.weights import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANGE = 4.0
MAX_DENSITY = 0.85
X_TICKS = (-4, -2, 0, 2, 4)
NUM_BINS = 65
MAX_COLUMNS = 4
LINES = {"Gaussian": (palette.INK, "-"), "Laplacian": (palette.FRONT, "--")}
X_TITLE = "weight, in standard deviations of its kernel"


def write_operator_figure(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Draw the operators of a whole network side by side; legends give the mean log-likelihood of a weight in nats."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for one, panel in zip(axes, panels, strict=True):
            _histogram(one, panel)
            low, high = panel.stds
            scale = (
                f"std {significant(low, 2)} to {significant(high, 2)}" if high > low else f"std {significant(low, 2)}"
            )
            one.set_title(f"{panel.operator}\n{count(panel.weights.size)} weights, {scale}", fontsize=9)
            one.set_xticks(X_TICKS)
            legend = one.legend(loc="upper center", fontsize=8, title="log-likelihood", title_fontsize=8)
            legend.get_texts()[panel.fits.index(panel.best)].set_fontweight("bold")
        # Room for the legends above what they explain. The spike of exponents near 0 is cut off, or it hid the rest.
        axes[0].set_ylim(0, 1.5 * MAX_DENSITY)
        _label(figure, axes[0], title)

    write_picture(path, (0.6 + 2.9 * len(panels), 3.4), draw)


def write_layer_figure(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Draw a panel for each operator of each layer: a row a layer, or without gaps where no layer has two operators."""
    places, shape = grid(panels)

    def draw(figure: "Figure") -> None:
        # Laying out that many axes by their contents would take seconds.
        figure.set_layout_engine("none")
        width, height = figure.get_size_inches()
        cells = figure.add_gridspec(
            *shape,
            left=0.5 / width,
            right=1 - 0.1 / width,
            bottom=0.85 / height,
            top=1 - 0.65 / height,
            wspace=0.08,
            hspace=0.35,
        )
        for panel, (row, column) in zip(panels, places, strict=True):
            axes = figure.add_subplot(cells[row, column])
            _histogram(axes, panel)
            axes.set_ylim(0, MAX_DENSITY)
            axes.set_title(f"{panel.layer}  {panel.operator}", fontsize=8, pad=3)
            best = "\n".join(f"{fit.family[0]} {fit.log_likelihood:.3f}" for fit in panel.fits)
            axes.text(0.03, 0.95, best, transform=axes.transAxes, fontsize=7, va="top", linespacing=1.3)
            lowest = row == max(line for line, other in places if other == column)
            # Most of the time of so small plots would go into their ticks.
            axes.set_xticks((-2, 0, 2) if lowest else ())
            axes.set_yticks((0, 0.4, 0.8) if column == 0 else ())
            axes.tick_params(labelsize=7)
            axes.grid(visible=False)
        handles, labels = axes.get_legend_handles_labels()
        names = [f"{label.split()[0]} (log-likelihood {label[0]})" for label in labels]
        figure.legend(handles, names, loc="lower center", ncols=2, fontsize=8)
        figure.text(0.5, 0.36 / height, X_TITLE, ha="center", fontsize=9)
        figure.suptitle(title, fontsize=11, y=1 - 0.12 / height, va="top")

    rows, columns = shape
    write_picture(path, (0.7 + 2.0 * columns, 1.5 + 1.2 * rows), draw)


def grid(panels: Sequence[Panel]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Row and column of each panel, and the numbers of rows and columns."""
    layers = list(dict.fromkeys(panel.layer for panel in panels))
    operators = list(dict.fromkeys(panel.operator for panel in sorted(panels, key=lambda one: one.order)))
    if len(layers) == len(panels):
        columns = min(len(panels), MAX_COLUMNS)
        return [divmod(at, columns) for at in range(len(panels))], (-(-len(panels) // columns), columns)
    places = [(layers.index(panel.layer), operators.index(panel.operator)) for panel in panels]
    return places, (len(layers), len(operators))


def _histogram(axes: "Axes", panel: Panel) -> None:
    counts, edges = np.histogram(panel.weights, NUM_BINS, (-RANGE, RANGE))
    # A density over all weights, those beyond the range too.
    heights = counts / (panel.weights.size * np.diff(edges))
    axes.stairs(heights, edges, fill=True, color=palette.operator_color(panel.operator), alpha=0.55)
    x = np.linspace(-RANGE, RANGE, 401)
    for fit in panel.fits:
        color, dashes = LINES[fit.family]
        axes.plot(x, fit.density(x), dashes, color=color, linewidth=1.3, label=f"{fit.family} {fit.log_likelihood:.3f}")
    axes.set_xlim(-RANGE, RANGE)


def _label(figure: "Figure", first: "Axes", title: str) -> None:
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(X_TITLE, fontsize=9)
    first.set_ylabel("density")
