"""`report.html` of a study: its tables, a plot for each sharing scheme, and where it all came from, on one page."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from shiftaddnas.files import write_atomically
from shiftaddnas.ranking.correlation import KINDS
from shiftaddnas.ranking.figures import Scatter, scatter_html, write_scatter
from shiftaddnas.ranking.results import StudyResults, write_rows
from shiftaddnas.ranking.summary import TITLES, archs_of, facts, shown, spread
from shiftaddnas.report.page import STYLE
from shiftaddnas.tracking import RunFolder

Row = tuple[Sequence[str], Mapping[str, Any]]


def write_study(folder: RunFolder, study: StudyResults, results: Mapping[str, Any]) -> None:
    """Write ranking.csv, the figures and the page of a study; where there is no supernet yet, the page alone.

    Args:
        results: as results.json has them.
    """
    metric = results["metric"]
    scatters = study.scatters(results["quality"], metric["name"], metric["unit"])
    if study.scored:
        write_rows(folder.ranking, study.rows())
    for scatter in scatters:
        write_scatter(folder.figures, scatter)
    write_page(folder.report, results, scatters, {"Config": folder.config, "Manifest": folder.manifest})


def write_page(
    path: Path, results: Mapping[str, Any], scatters: Sequence[Scatter], details: Mapping[str, Path]
) -> None:
    """Write the page; it holds plotly's script, so that it opens from disk without a network.

    Args:
        scatters: to plot.
        details: files to show whole, by what they are.
    """
    from plotly.offline import get_plotlyjs

    title = f"Ranking study on space {results['space']['name']}"
    body = [f"<h1>{escape(title)}</h1>", f'<p class="facts">{escape(facts(results))}</p>']
    for subset in results["ceiling"]:
        rows: list[Row] = [
            ((scheme["sharing"], str(scheme["num_supernets"]), spread(results, scheme)), scheme["agreement"][subset])
            for scheme in results["schemes"]
        ]
        rows.append(((f"trained alone, {results['other_part']} part", "", ""), results["ceiling"][subset]))
        body.append(f"<h2>How well scores rank {escape(archs_of(subset))}</h2>")
        body.append(_table(("scores", "supernets", "mean ± spread"), rows))
    if results["differences"]:
        rows = [
            ((f"{one['first']} less {one['second']}", subset), estimates)
            for one in results["differences"]
            for subset, estimates in one["agreement"].items()
        ]
        body += ["<h2>Differences, over the same resamples</h2>", _table(("schemes", "archs"), rows)]
    for index, scatter in enumerate(scatters):
        body += [f"<h2>{escape(scatter.title)}</h2>", scatter_html(scatter, f"scatter-{index}")]
    if results["supernets"]:
        rows = [
            ((one["supernet"], one["sharing"], str(one["seed"]), spread(results, one)), one["agreement"]["all"])
            for one in results["supernets"]
        ]
        body += ["<h2>Each supernet, all archs</h2>", _table(("supernet", "sharing", "seed", "mean ± spread"), rows)]
    body.append("<h2>Where it came from</h2>")
    for name, file in details.items():
        text = file.read_text(encoding="utf-8") if file.exists() else "missing"
        body.append(f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>")
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<script>{get_plotlyjs()}</script></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )
    write_atomically(path, page)


def _table(headings: Sequence[str], rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in (*headings, *(TITLES[kind] for kind in KINDS)))
    lines = []
    for cells, estimates in rows:
        values = (*cells, *(shown(estimates[kind]) for kind in KINDS))
        lines.append("<tr>" + "".join(f"<td>{escape(value)}</td>" for value in values) + "</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
