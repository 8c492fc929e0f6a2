"""Pictures of scores over quality: PNG files for a paper or a slide, and plots of a page to hover over."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftaddnas.ranking.correlation import Floats
from shiftaddnas.report.picture import write_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of the palette of Okabe and Ito, which colour-blind readers can tell apart: colour, matplotlib marker, plotly symbol.
MARKS = (
    ("#0072B2", "o", "circle"),
    ("#D55E00", "^", "triangle-up"),
    ("#009E73", "s", "square"),
    ("#CC79A7", "D", "diamond"),
    ("#E69F00", "v", "triangle-down"),
    ("#56B4E9", "P", "cross"),
)


@dataclass(frozen=True)
class Scatter:
    """Points in one or more series over common x.

    Args:
        axes: titles of the horizontal and the vertical one.
        points: what each point is, (N).
        x: (N).
        series: names, and y of each, (N).
    """

    title: str
    axes: tuple[str, str]
    points: Sequence[str]
    x: Floats
    series: Sequence[tuple[str, Floats]]

    @property
    def file_name(self) -> str:
        return re.sub(r"[^\w.=-]+", "_", f"scatter {self.title.rpartition(': ')[0]}") + ".png"


def write_scatter(folder: Path, scatter: Scatter) -> Path:
    """Draw a PNG file into the folder."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for index, (name, y) in enumerate(scatter.series):
            color, marker, _ = MARKS[index % len(MARKS)]
            axes.scatter(scatter.x, y, s=18, color=color, marker=marker, alpha=0.7, linewidths=0, label=name)
        axes.set(xlabel=scatter.axes[0], ylabel=scatter.axes[1], title=scatter.title)
        if len(scatter.series) > 1:
            axes.legend(loc="best", fontsize=8)

    path = folder / scatter.file_name
    write_picture(path, (5.2, 4.4), draw)
    return path


def scatter_html(scatter: Scatter, name: str) -> str:
    """The same as HTML; the page must hold plotly's script, and no other plot of this name."""
    import plotly.graph_objects as go

    figure: Any = go.Figure()
    for index, (title, y) in enumerate(scatter.series):
        color, _, symbol = MARKS[index % len(MARKS)]
        figure.add_scatter(
            x=scatter.x,
            y=y,
            mode="markers",
            name=title,
            text=list(scatter.points),
            hovertemplate="%{text}<br>%{x:.4g}, %{y:.4g}<extra>%{fullData.name}</extra>",
            marker={"color": color, "symbol": symbol, "size": 8, "opacity": 0.75},
        )
    figure.update_layout(
        template="plotly_white",
        height=460,
        margin={"l": 70, "r": 20, "t": 20, "b": 60},
        legend={"orientation": "h", "y": 1.08},
        showlegend=True,
        xaxis_title=scatter.axes[0],
        yaxis_title=scatter.axes[1],
    )
    return str(figure.to_html(full_html=False, include_plotlyjs=False, div_id=name))
