"""How a figure becomes a file: one style for all, PNG (and SVG) without a display, whole or not there."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftaddnas.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E8EAED",
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.use_mathtext": True,
    "legend.edgecolor": "none",
    "figure.dpi": 160,
    # Equal pictures are equal files.
    "svg.hashsalt": "shiftaddnas",
}


def write_picture(
    path: Path, size: tuple[float, float], draw: "Callable[[Figure], None]", *, svg: bool = False
) -> None:
    """Draw a figure of so many inches into a PNG file and, where asked for, an SVG file beside it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        # Without pyplot there is neither a display nor a global figure.
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        _save(figure, path, format="png")
        if svg:
            _save(figure, path.with_suffix(".svg"), format="svg", metadata={"Date": None})


def _save(figure: "Figure", path: Path, **options: Any) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    write_atomically(path, buffer.getvalue())
