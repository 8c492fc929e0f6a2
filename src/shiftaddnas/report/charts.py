"""The plots of the page: those of figures.py, to hover over and zoom into."""

from typing import Any

from shiftaddnas.report import palette
from shiftaddnas.report.figures import OTHER_COSTS, axis_titles, is_wide, operation_shares
from shiftaddnas.report.numbers import cost_title, cost_value, metric_value
from shiftaddnas.report.search_run import OPERATIONS, SearchRun
from shiftaddnas.search import Record


def charts(run: SearchRun) -> list[tuple[str, str]]:
    """Headings, and the HTML of the plot below each; the page must hold plotly's script."""
    plots = {"Scores and costs": _pareto(run), "Search progress": _progress(run), "Operations": _operations(run)}
    return [
        (heading, figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"chart-{index}"))
        for index, (heading, figure) in enumerate(plots.items())
    ]


def _figure(x_title: str, y_title: str) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.update_layout(
        template="plotly_white",
        height=440,
        margin={"l": 70, "r": 20, "t": 20, "b": 60},
        legend={"orientation": "h", "y": 1.08},
        xaxis_title=x_title,
        yaxis_title=y_title,
    )
    return figure


def _hover(run: SearchRun, record: Record) -> str:
    lines = [
        f"<b>{record.label}</b>",
        f"{record.arch_id}, {record.origin} of generation {record.generation}",
        f"{run.score} {metric_value(run.score, run.unit, record.score)}",
    ]
    for name, value in record.costs.items():
        title, unit = cost_title(name)
        lines.append(f"{title} {cost_value(name, value)} {unit}".rstrip())
    return "<br>".join(lines)


def _points(run: SearchRun, records: list[Record], *, over: str) -> dict[str, Any]:
    scored = [(record, record.score) for record in records if record.score is not None]
    return {
        "x": [record.index + 1 if over == "index" else record.costs[over] for record, _ in scored],
        "y": [run.shown(score) for _, score in scored],
        "text": [_hover(run, record) for record, _ in scored],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _pareto(run: SearchRun) -> Any:
    figure = _figure(*axis_titles(run))
    records = [record for record, _ in run.scored]
    figure.add_scatter(
        **_points(run, records, over=run.objective),
        mode="markers",
        name="candidates",
        marker={"color": palette.CANDIDATE, "size": 6, "opacity": 0.6},
    )
    beside = [record for record in run.front if record not in run.outline]
    if beside:
        figure.add_scatter(
            **_points(run, beside, over=run.objective),
            mode="markers",
            name=OTHER_COSTS,
            marker={"color": palette.FRONT, "size": 7, "symbol": "circle-open"},
        )
    figure.add_scatter(
        **_points(run, run.outline, over=run.objective),
        mode="lines+markers",
        name="Pareto front",
        line={"color": palette.FRONT, "shape": "hv"},
        marker={"size": 7},
    )
    winner, *baselines = run.networks
    found = [record for record in records if record.arch_id == winner.arch_id]
    figure.add_scatter(
        **_points(run, found, over=run.objective),
        mode="markers",
        name="winner",
        marker={"color": palette.WINNER, "size": 18, "symbol": "star", "line": {"color": palette.INK, "width": 1}},
    )
    for baseline in baselines:
        color, _, symbol = palette.BASELINES.get(baseline.role, palette.OTHER_BASELINE)
        price = baseline.costs[run.objective]
        if baseline.score is not None:
            mark = {"color": color, "size": 11, "symbol": symbol}
            at = {"x": [price], "y": [run.shown(baseline.score)]}
            figure.add_scatter(**at, mode="markers", name=baseline.role, marker=mark)
        else:
            dash = "dash" if baseline.role == "all-multiplication" else "dot"
            figure.add_vline(price, line={"color": color, "dash": dash}, name=baseline.role, showlegend=True)
    if is_wide([record.costs[run.objective] for record in records]):
        figure.update_xaxes(type="log")
    figure.update_xaxes(exponentformat="power")
    return figure


def _progress(run: SearchRun) -> Any:
    figure = _figure("archs evaluated", axis_titles(run)[1])
    records = [record for record, _ in run.scored]
    for origin in dict.fromkeys(record.origin for record in records):
        color, _, symbol = palette.ORIGINS.get(origin, palette.OTHER_ORIGIN)
        figure.add_scatter(
            **_points(run, [record for record in records if record.origin == origin], over="index"),
            mode="markers",
            name=origin,
            marker={"color": color, "symbol": symbol, "size": 7, "opacity": 0.8},
        )
    figure.add_scatter(
        x=[record.index + 1 for record in records],
        y=[run.shown(score) for score in run.best_so_far],
        mode="lines",
        name="best so far",
        line={"color": palette.INK, "shape": "hv"},
        hoverinfo="skip",
    )
    return figure


def _operations(run: SearchRun) -> Any:
    title, _ = cost_title(run.objective)
    figure = _figure(f"archs of the front, by {title}", "share of operations (%)")
    for name, shares in operation_shares(run).items():
        figure.add_bar(
            x=list(range(1, len(shares) + 1)),
            y=shares,
            name=OPERATIONS[name],
            marker_color=palette.OPERATIONS[name],
            text=[_hover(run, record) for record in run.front],
            textposition="none",
            hovertemplate="%{y:.1f} %<br>%{text}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(barmode="stack", yaxis_range=[0, 100], bargap=0.15)
    return figure
