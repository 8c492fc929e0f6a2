"""`report.html`: all of a search on one page, with plots to hover over, read from the run folder.

The page holds plotly's script itself, nearly 5 MB, so that it opens from disk without a network and is still whole
when it is mailed or copied alone. A script beside it would take the same space in every run folder.
"""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from shiftaddnas.files import write_atomically
from shiftaddnas.report.charts import charts
from shiftaddnas.report.figures import write_figures
from shiftaddnas.report.numbers import cost_column, cost_title, count, duration, metric_value
from shiftaddnas.report.search_run import SearchRun
from shiftaddnas.report.summary import shown_costs, verdicts
from shiftaddnas.tracking import RunFolder

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #202124; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.2rem; margin-top: 2.5rem }
p.facts { color: #5f6368; margin-top: .3rem }
div.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e8eaed; white-space: nowrap }
th:first-child, td:first-child { text-align: left } tr.winner { font-weight: 600; background: #fdf1e7 }
pre { background: #f8f9fa; padding: .8rem; overflow-x: auto; font-size: .85rem }
summary { cursor: pointer } img { max-width: 100% }
"""


PICTURES = {
    "The winner, layer by layer": "arch",
    "Trainings": "training",
    "Weights of the supernet": "weights_supernet",
    "Weights of the supernet, by layer": "weights_supernet_layers",
    "Weights of the winner": "weights_winner",
    "Weights of the winner, by layer": "weights_winner_layers",
}


def write_report(folder: RunFolder) -> list[Path]:
    """Write the figures and the page of a finished search; the figures.

    Raises:
        UserError: the folder holds no finished search.
    """
    figures = write_figures(folder)
    write_page(folder)
    return figures


def write_page(folder: RunFolder) -> Path:
    """Write `report.html`.

    Raises:
        UserError: the folder holds no finished search.
    """
    from plotly.offline import get_plotlyjs

    run = SearchRun.read(folder)
    results = run.results
    space = results["space"]
    title = f"Search on {results['task']}"
    times = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in results["seconds"].items())
    facts = (
        f"{results['evaluated']} of {space['size']:,} archs of space {space['name']}; sharing {results['sharing']} "
        f"({count(results['supernet']['num_params'])} parameters); "
        f"hardware {results['hardware']}; limits: {results['limits'] or 'none'}; seed {results['seed']}; "
        f"{results['date']}; {times}"
    )
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="facts">{escape(facts)}</p>',
        "<h2>Trained on their own</h2>",
        _networks(run),
        *(f"<p>{escape(sentence)}</p>" for sentence in verdicts(run)),
        *(f"<h2>{escape(heading)}</h2>{chart}" for heading, chart in charts(run)),
        "<h2>Pareto front</h2>",
        _front(run),
        *_pictures(folder),
        "<h2>Commands</h2>",
        f"<p>This run:</p>{_pre(results['command'])}",
        f"<p>Train the winner again, on its own:</p>{_pre(results['retrain_command'])}",
        "<h2>Where it came from</h2>",
        _details("Config", folder.config),
        _details("Manifest", folder.manifest),
    ]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<script>{get_plotlyjs()}</script></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )
    write_atomically(folder.report, page)
    return folder.report


def _pictures(folder: RunFolder) -> Iterator[str]:
    """The drawings of the winner, the trainings and the weights, inside the page, as far as there are files."""
    for heading, name in PICTURES.items():
        path = folder.figures / f"{name}.png"
        if path.is_file():
            data = base64.b64encode(path.read_bytes()).decode()
            yield f"<h2>{heading}</h2>"
            yield f'<div class="wide"><img alt="{heading}" src="data:image/png;base64,{data}"></div>'


def _networks(run: SearchRun) -> str:
    costs = shown_costs([network.costs for network in run.networks], run.objectives)
    columns = [cost_column(name, [network.costs.get(name) for network in run.networks]) for name in costs]
    rows = [
        [
            network.role,
            network.label,
            metric_value(run.metric, run.unit, network.test),
            *(metric_value(name, "", network.final[name]) for name in run.final),
            *values,
        ]
        for network, *values in zip(run.networks, *columns, strict=True)
    ]
    headings = ["network", "arch", f"test {run.metric}", *run.final, *map(_heading, costs)]
    return _table(headings, rows, winner=0)


def _front(run: SearchRun) -> str:
    costs = shown_costs([record.costs for record in run.front], run.objectives)
    columns = [cost_column(name, [record.costs.get(name) for record in run.front]) for name in costs]
    rows = [
        [record.label, record.arch_id, metric_value(run.score, run.unit, record.score), *values]
        for record, *values in zip(run.front, *columns, strict=True)
    ]
    ids = [record.arch_id for record in run.front]
    winner = run.networks[0].arch_id
    headings = ["arch", "id", f"supernet {run.score}", *map(_heading, costs)]
    return _table(headings, rows, winner=ids.index(winner) if winner in ids else None)


def _heading(name: str) -> str:
    title, unit = cost_title(name)
    return f"{title} ({unit})" if unit else title


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], winner: int | None) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = []
    for index, row in enumerate(rows):
        mark = ' class="winner"' if index == winner else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _details(title: str, file: Path) -> str:
    text = file.read_text(encoding="utf-8") if file.exists() else "missing"
    return f"<details><summary>{title} ({escape(file.name)})</summary>{_pre(text)}</details>"


def _pre(text: Any) -> str:
    return f"<pre>{escape(str(text))}</pre>"
