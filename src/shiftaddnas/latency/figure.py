"""The picture of a predictor: predicted against measured latencies."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shiftaddnas.files import write_atomically
from shiftaddnas.hardware.latency_table import Timing
from shiftaddnas.latency.accuracy import Accuracy

# Of the palette of Okabe and Ito, which colour-blind readers can tell apart.
FITTED, HELD_OUT, INK = "#9AA0A6", "#D55E00", "#202124"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E8EAED",
    "legend.edgecolor": "none",
    "figure.dpi": 160,
}

Points = Sequence[tuple[Timing, float]]
"""Measured latencies, and the predicted ones in milliseconds."""


def write_figure(path: Path, title: str, fitted: Points, held_out: Points, accuracy: Accuracy) -> None:
    """Draw the archs that the predictor was fitted to and, with their spread, those that were held out, as PNG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        # Without pyplot there is neither a display nor a global figure.
        figure = Figure(figsize=(5.2, 5.0), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(*_coordinates(fitted), "o", color=FITTED, markersize=4, alpha=0.6, label="fitted")
        x, y = _coordinates(held_out)
        spread = [timing.iqr_ms for timing, _ in held_out]  # from the latency, which is the lower quartile
        label = "held out (bars: to the upper quartile)"
        axes.errorbar(
            x, y, xerr=([0] * len(x), spread), fmt="o", color=HELD_OUT, markersize=5, elinewidth=0.8, label=label
        )
        axes.axline((x[0], x[0]), slope=1, color=INK, linewidth=0.8)
        axes.set(xlabel="measured latency (ms)", ylabel="predicted latency (ms)", aspect="equal", title=title)
        text = (
            f"MAPD {accuracy.mapd_percent:.1f} %\nRMSE {accuracy.rmse_ms:.3g} ms\n"
            f"Kendall's tau {accuracy.kendall_tau:.2f}\nmeasured again {accuracy.retest_tau:.2f}"
        )
        axes.text(0.97, 0.03, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=9)
        axes.legend(loc="upper left", fontsize=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_atomically(path, buffer.getvalue())


def _coordinates(points: Points) -> tuple[list[float], list[float]]:
    return [timing.latency_ms for timing, _ in points], [predicted for _, predicted in points]
