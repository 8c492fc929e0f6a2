"""How trainings went, epoch by epoch, from `metrics.csv`: losses, and the validation metrics of what was probed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shiftaddnas.report import palette
from shiftaddnas.report.numbers import is_share
from shiftaddnas.report.picture import write_picture
from shiftaddnas.tracking.metrics_csv import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = Mapping[int, float]
"""Values by epoch."""
TRAINING, LOSS = "train/loss", "val/loss"


@dataclass(frozen=True)
class Stage:
    """One training. `plots` are its losses and its metrics, by name, each with its curves by name."""

    name: str
    plots: Mapping[str, Mapping[str, Curve]]

    @property
    def num_epochs(self) -> int:
        return 1 + max(epoch for curves in self.plots.values() for curve in curves.values() for epoch in curve)


def read_stages(path: Path) -> list[Stage]:
    """The trainings of a metrics file in the order in which they began; none if there is no file."""
    _, rows = read_metrics(path)
    names = dict.fromkeys(row["stage"] for row in rows)
    stages = [Stage(name, _plots([row for row in rows if row["stage"] == name])) for name in names]
    return [stage for stage in stages if stage.plots]


def _plots(rows: Sequence[Mapping[str, str]]) -> dict[str, dict[str, Curve]]:
    values: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["epoch"]:
            for column, value in row.items():
                if value and column.startswith(("val/", TRAINING)):
                    values.setdefault(column, {})[int(row["epoch"])] = float(value)
    # Every probe has a loss: what stands behind it tells the probes apart, in the names of the other metrics too. What
    # no other metric has is no probe but belongs to the metric, such as the bits of loss_bits.
    losses = [column.removeprefix(LOSS) for column in values if column.startswith(LOSS)]
    shared = [one for one in losses if any(name.endswith(one) for name in values if name not in (TRAINING, LOSS + one))]
    probes = shared or losses
    plots: dict[str, dict[str, Curve]] = {}
    for column, curve in values.items():
        if column == TRAINING:
            plots.setdefault("loss", {})["training"] = curve
            continue
        name = column.removeprefix("val/")
        probe = max((probe for probe in probes if name.endswith(probe)), key=len, default="")
        plots.setdefault(name.removesuffix(probe), {})[probe.strip("_") or "validation"] = curve
    return plots


def write_training_figure(path: Path, stages: Sequence[Stage]) -> None:
    """Draw a row for each training, with a plot for its losses and one for each of its metrics."""
    num_columns = max(len(stage.plots) for stage in stages)

    def draw(figure: "Figure") -> None:
        for row, stage in enumerate(stages):
            for column, (name, curves) in enumerate(stage.plots.items()):
                axes = figure.add_subplot(len(stages), num_columns, row * num_columns + column + 1)
                _draw(axes, name, curves)
                axes.set_xlim(0, 1.02 * stage.num_epochs)
                if column == 0:
                    axes.set_title(stage.name, fontsize=10, loc="left")
                if row == len(stages) - 1:
                    axes.set_xlabel("epoch")

    write_picture(path, (3.8 * num_columns, 0.3 + 2.5 * len(stages)), draw)


def _draw(axes: "Axes", name: str, curves: Mapping[str, Curve]) -> None:
    from matplotlib.ticker import MaxNLocator

    share = is_share(name, "")
    for title, curve in curves.items():
        color, marker = _look(title, list(curves))
        heights = [100 * value if share else value for value in curve.values()]
        # Epochs are counted from 0 in the file; a curve of one epoch must be seen, too.
        epochs = [epoch + 1 for epoch in curve]
        every = max(1, len(epochs) // 8)
        axes.plot(
            epochs, heights, marker=marker, markevery=every, color=color, markersize=4, linewidth=1.3, label=title
        )
    axes.set_ylabel(f"{name.replace('_', ' ')} (%)" if share else name.replace("_", " "), fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8)
    axes.legend(loc="best", fontsize=8)


def _look(title: str, titles: Sequence[str]) -> tuple[str, str]:
    """Colour and marker of a curve, the same in all plots of a training."""
    if title == "training":
        return palette.INK, ""
    others = [one for one in titles if one != "training"]
    return palette.SERIES[others.index(title) % len(palette.SERIES)]
