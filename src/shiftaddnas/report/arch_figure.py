"""An arch as a drawing: its blocks from top to bottom, a column for each map size, and bars for what each costs."""

from pathlib import Path
from typing import TYPE_CHECKING

from shiftaddnas.report import palette
from shiftaddnas.report.arch_blocks import Block, Plan
from shiftaddnas.report.numbers import cost_title
from shiftaddnas.report.picture import write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Polygon

ROW = 0.34
LETTER, MIN_COLUMN = 0.074, 1.4
"""Inches for a block, for a letter in one, and for a map size at least."""
HALF_WIDTH, HALF_HEIGHT, SLANT = 0.44, 0.36, 0.07
"""Of a block, in columns and rows."""


def write_arch_figure(path: Path, title: str, drawn: Plan) -> None:
    """Draw an arch as PNG, and as SVG beside it."""
    column = max(MIN_COLUMN, LETTER * max(len(_label(block)) for block in drawn.blocks))
    width, num_rows = column * max(1, len(drawn.sizes)), len(drawn.blocks)

    def draw(figure: "Figure") -> None:
        network, bars = figure.subplots(1, 2, sharey=True, width_ratios=(width, 2.6))
        _network(network, drawn)
        _bars(bars, drawn)
        network.set_ylim(num_rows - 0.4, -0.6)
        figure.suptitle(title, fontsize=10)

    size = (0.4 + width + 2.6, 1.5 + ROW * num_rows)
    write_picture(path, size, draw, svg=True)


def _network(axes: "Axes", drawn: Plan) -> None:
    columns = _columns(drawn)
    for row, (block, column) in enumerate(zip(drawn.blocks, columns, strict=True)):
        if row:
            _arrow(axes, (columns[row - 1], row - 1), (column, row))
        axes.add_patch(_outline(block, column, row))
        ink = "white" if _color(block) in palette.DARK else palette.INK
        axes.text(column, row, _label(block), ha="center", va="center", fontsize=8, color=ink)
    axes.set_xlim(-0.5, max(columns) + 0.5)
    axes.set_xticks(range(len(drawn.sizes)), drawn.sizes, fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _label(block: Block) -> str:
    return f"{block.name}  {block.channels[0]}\N{RIGHTWARDS ARROW}{block.channels[1]}"


def _arrow(axes: "Axes", start: tuple[int, int], end: tuple[int, int]) -> None:
    """From a block's foot to the next one's head, or around the corner where that is in another column."""
    straight = start[0] == end[0]
    begin = (start[0], start[1] + HALF_HEIGHT) if straight else (start[0] + HALF_WIDTH, start[1])
    axes.annotate(
        "",
        (end[0], end[1] - HALF_HEIGHT),
        begin,
        arrowprops={
            "arrowstyle": "-|>,head_width=0.15,head_length=0.3",
            "connectionstyle": "arc3" if straight else "angle,angleA=0,angleB=90",
            "color": palette.INK,
            "linewidth": 0.9,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _columns(drawn: Plan) -> list[int]:
    """The column of each block: that of its map size; what works on no map stays where the block before it is."""
    sizes, columns = drawn.sizes, [0]
    for block in drawn.blocks:
        columns.append(sizes.index(block.size) if block.size else columns[-1])
    return columns[1:]


def _outline(block: Block, x: float, y: float) -> "Polygon":
    """A box for what multiplies, rounder for attention; a parallelogram for shifts, a hexagon for additions."""
    from matplotlib.patches import Polygon

    left, right, top, bottom = x - HALF_WIDTH, x + HALF_WIDTH, y - HALF_HEIGHT, y + HALF_HEIGHT
    corners = {
        "box": [(left, top), (right, top), (right, bottom), (left, bottom)],
        "shift": [(left + SLANT, top), (right, top), (right - SLANT, bottom), (left, bottom)],
        "add": [
            (left + SLANT, top),
            (right - SLANT, top),
            (right, y),
            (right - SLANT, bottom),
            (left + SLANT, bottom),
            (left, y),
        ],
        "attention": [
            (left + SLANT / 2, top),
            (right - SLANT / 2, top),
            (right, top + 0.2),
            (right, bottom - 0.2),
            (right - SLANT / 2, bottom),
            (left + SLANT / 2, bottom),
            (left, bottom - 0.2),
            (left, top + 0.2),
        ],
    }
    return Polygon(
        corners.get(_family(block) or "box", corners["box"]),
        facecolor=_color(block),
        edgecolor=palette.INK,
        linewidth=0.8,
    )


def _family(block: Block) -> str | None:
    """The operator family that a block looks like: by its operator's name, else by its arithmetic."""
    named = palette.operator_family(block.name) if block.chosen else None
    return named or (None if block.arithmetic == "mult" else block.arithmetic)


def _color(block: Block) -> str:
    family = _family(block)
    if family is None:
        return palette.OTHER_OPERATOR if block.chosen else palette.FIXED
    return palette.OPERATORS[family]


def _bars(axes: "Axes", drawn: Plan) -> None:
    shares = [drawn.share(block) for block in drawn.blocks]
    colors = [_color(block) for block in drawn.blocks]
    bars = axes.barh(range(len(shares)), shares, height=0.7, color=colors, edgecolor=palette.INK, linewidth=0.5)
    axes.bar_label(bars, [f"{share:.1f} %" for share in shares], padding=3, fontsize=8)
    axes.set_xlim(0, 1.25 * max(shares) or 1)
    axes.set_xlabel(f"share of {cost_title(drawn.metric)[0]} (%)", fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(visible=False, axis="y")
