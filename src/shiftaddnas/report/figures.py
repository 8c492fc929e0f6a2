"""The figures of a search as PNG files, ready for a paper or a slide."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftaddnas.report import palette
from shiftaddnas.report.numbers import cost_column, cost_title
from shiftaddnas.report.picture import write_picture
from shiftaddnas.report.search_run import OPERATIONS, SearchRun
from shiftaddnas.search import Record
from shiftaddnas.tracking import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE_RANGE = 10
OTHER_COSTS = "on the front by other costs"


def write_figures(folder: RunFolder) -> list[Path]:
    """Draw the search of a run folder into its `figures`.

    Raises:
        UserError: the folder holds no finished search.
    """
    run = SearchRun.read(folder)
    plots: dict[str, Callable[[SearchRun, Axes], None]] = {
        "pareto": _pareto,
        "progress": _progress,
        "operations": _operations,
    }
    for name, draw in plots.items():
        write_picture(folder.figures / f"{name}.png", (6.4, 4.0), partial(_alone, run, draw))
    return [folder.figures / f"{name}.png" for name in plots]


def _alone(run: SearchRun, draw: "Callable[[SearchRun, Axes], None]", figure: "Figure") -> None:
    draw(run, figure.add_subplot())


def is_wide(values: list[float]) -> bool:
    """Whether a logarithmic axis shows them better."""
    return min(values) > 0 and max(values) > WIDE_RANGE * min(values)


def axis_titles(run: SearchRun) -> tuple[str, str]:
    """Of the objective cost and of the supernet's score, with units."""
    cost, unit = cost_title(run.objective)
    score = f"supernet {run.score.replace('_', ' ')}"
    return (
        f"{cost} ({unit})" if unit else cost,
        f"{score} ({run.metric_unit})" if run.metric_unit else score,
    )


def _pareto(run: SearchRun, axes: "Axes") -> None:
    cost, score = axis_titles(run)
    energies = [record.costs[run.objective] for record, _ in run.scored]
    scores = [run.shown(score) for _, score in run.scored]
    axes.scatter(energies, scores, s=14, color=palette.CANDIDATE, alpha=0.6, linewidths=0, label="candidates")
    beside = [record for record in run.front if record not in run.outline]
    if beside:
        xs, ys = zip(*_points(run, beside), strict=True)
        axes.plot(xs, ys, "o", color=palette.FRONT, markersize=4, fillstyle="none", label=OTHER_COSTS)
    costs, heights = zip(*_points(run, run.outline), strict=True)
    # Steps bound what the front dominates; between two archs there is no third.
    line: dict[str, Any] = {"color": palette.FRONT, "drawstyle": "steps-post", "linewidth": 1.4, "markersize": 4}
    axes.plot(costs, heights, "-o", label="Pareto front", **line)
    winner, *baselines = run.networks
    if winner.score is not None:
        at = winner.costs[run.objective], run.shown(winner.score)
        axes.plot(*at, "*", color=palette.WINNER, markersize=16, markeredgecolor=palette.INK, label="winner")
    for baseline in baselines:
        color, marker, _ = palette.BASELINES.get(baseline.role, palette.OTHER_BASELINE)
        price = baseline.costs[run.objective]
        if baseline.score is not None:
            axes.plot(price, run.shown(baseline.score), marker, color=color, markersize=8, label=baseline.role)
        else:
            dashes = "--" if baseline.role == "all-multiplication" else ":"
            axes.axvline(price, color=color, linestyle=dashes, linewidth=1.4, label=f"{baseline.role} (cost only)")
    if is_wide(energies):
        axes.set_xscale("log")
    axes.set(xlabel=cost, ylabel=score, title=f"{len(run.scored)} archs evaluated, {len(run.front)} on the front")
    axes.legend(loc="best", fontsize=8)


def _points(run: SearchRun, records: list[Record]) -> list[tuple[float, float]]:
    """Where records are among scores over costs."""
    return [(one.costs[run.objective], run.shown(one.score)) for one in records if one.score is not None]


def _progress(run: SearchRun, axes: "Axes") -> None:
    evaluations = [record.index + 1 for record, _ in run.scored]
    for origin in dict.fromkeys(record.origin for record in run.records):
        color, marker, _ = palette.ORIGINS.get(origin, palette.OTHER_ORIGIN)
        points = [(record.index + 1, run.shown(score)) for record, score in run.scored if record.origin == origin]
        if points:
            xs, ys = zip(*points, strict=True)
            axes.scatter(xs, ys, s=16, color=color, marker=marker, alpha=0.8, label=origin)
    bests = [run.shown(score) for score in run.best_so_far]
    axes.step(evaluations, bests, where="post", color=palette.INK, linewidth=1.4, label="best so far")
    axes.set(xlabel="archs evaluated", ylabel=axis_titles(run)[1], title="Search progress")
    axes.legend(loc="best", fontsize=8)


def _operations(run: SearchRun, axes: "Axes") -> None:
    shares = operation_shares(run)
    positions = range(len(run.front))
    bottom = [0.0] * len(run.front)
    for name, title in OPERATIONS.items():
        axes.bar(positions, shares[name], bottom=bottom, width=0.85, color=palette.OPERATIONS[name], label=title)
        bottom = [low + share for low, share in zip(bottom, shares[name], strict=True)]
    title, unit = cost_title(run.objective)
    step = max(1, len(run.front) // 8)
    ticks = list(positions)[::step]
    costs = cost_column(run.objective, [run.front[index].costs[run.objective] for index in ticks])
    axes.set_xticks(ticks, costs, fontsize=8)
    axes.set(
        xlabel=f"archs of the front, by {title} ({unit})" if unit else f"archs of the front, by {title}",
        ylabel="share of operations (%)",
        ylim=(0, 100),
        title="What the archs of the front compute with",
    )
    axes.grid(visible=False)
    axes.figure.legend(loc="outside lower center", ncols=3, fontsize=8)


def operation_shares(run: SearchRun) -> dict[str, list[float]]:
    """For each kind of operation, its share in percent of the operations of each arch of the front."""
    shares: dict[str, list[float]] = {name: [] for name in OPERATIONS}
    for record in run.front:
        counts = {name: record.costs.get(name, 0.0) for name in OPERATIONS}
        total = sum(counts.values())
        for name, number in counts.items():
            shares[name].append(100 * number / total if total else 0.0)
    return shares
