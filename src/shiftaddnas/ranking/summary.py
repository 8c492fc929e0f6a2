"""What a study or a table gave, as tables to print."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from shiftaddnas.ranking.statistics import ALL
from shiftaddnas.report.numbers import metric_value
from shiftaddnas.tracking import RunFolder

TITLES = {"kendall_tau": "Kendall's tau", "spearman": "Spearman", "pearson": "Pearson"}
Row = tuple[Sequence[str], Mapping[str, Any]]


def print_study(folder: RunFolder, console: Console) -> None:
    """Print the results of a finished study from its run folder."""
    results = json.loads(folder.results.read_text(encoding="utf-8"))
    console.print(facts(results), soft_wrap=True, highlight=False)
    for subset in results["ceiling"]:
        rows: list[Row] = [
            ((scheme["sharing"], str(scheme["num_supernets"]), spread(results, scheme)), scheme["agreement"][subset])
            for scheme in results["schemes"]
        ]
        rows.append(((f"alone, {results['other_part']} part", "", ""), results["ceiling"][subset]))
        title = f"how well scores rank {archs_of(subset)}"
        console.print(agreement_table(title, ("scores", "nets", "mean ± spread"), rows))
    if results["differences"]:
        rows = [
            ((f"{one['first']} - {one['second']}", subset), estimates)
            for one in results["differences"]
            for subset, estimates in one["agreement"].items()
        ]
        console.print(agreement_table("differences, over the same resamples", ("schemes", "archs"), rows))
    console.print(f"run folder {folder.path}", soft_wrap=True, highlight=False)


def agreement_table(title: str, headings: Sequence[str], rows: Sequence[Row]) -> Table:
    """A table of rows: cells of their own, then estimates, in plain form; Kendall's tau has its interval with it."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for heading in (*headings, *TITLES.values()):
        table.add_column(heading)
    for cells, estimates in rows:
        others = ({"value": estimates[kind]["value"], "low": None, "high": None} for kind in ("spearman", "pearson"))
        table.add_row(*cells, shown(estimates["kendall_tau"]), *map(shown, others))
    return table


def facts(results: Mapping[str, Any]) -> str:
    """What was compared, in a line."""
    metric, alone = results["metric"], results["standalone"]
    low, mean, high = (metric_value(metric["name"], metric["unit"], alone[name]) for name in ("min", "mean", "max"))
    return (
        f"{results['num_archs']} archs of space {results['space']['name']}, each trained alone: {results['quality']} "
        f"{metric['name']} {low} to {high}, mean {mean}; {len(results['supernets'])} supernets; intervals of "
        f"{results['asked']['statistics']['confidence']:.0%}"
    )


def archs_of(subset: str) -> str:
    return "all archs" if subset == ALL else f"the {subset}"


def spread(results: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """The mean and the standard deviation over archs of the scores of a supernet or a scheme."""
    name, unit = results["metric"]["name"], results["metric"]["unit"]
    return " ± ".join(metric_value(name, unit, one[f"score_{which}"]) for which in ("mean", "std"))


def shown(estimate: Mapping[str, float | None]) -> str:
    """An estimate in plain form with its interval; a dash where it is not defined."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.2f}, {high:.2f}]"
