"""`shiftaddnas rank table=...`: how well the columns of a table rank its rows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from shiftaddnas.cli.app import plain_config
from shiftaddnas.cli.output import output_folder

if TYPE_CHECKING:
    from shiftaddnas.ranking import Comparison, ScoreTable


def run(config: DictConfig) -> None:
    """Compare each two columns; print it, and write it where `output` says."""
    from rich.console import Console

    from shiftaddnas.cli.build import build
    from shiftaddnas.ranking import agreement_table, as_plain, compare, read_table
    from shiftaddnas.tracking import child_generator

    settings = plain_config(config)
    output = None if settings["output"] is None else output_folder(settings["output"])
    table = read_table(Path(settings["table"]).expanduser(), settings["columns"], settings["within"])
    statistics = build(settings["statistics"], "statistics")
    rng = child_generator(settings["seed"], "rank", "table")
    found = compare(table, settings["maximize"], statistics, rng)
    rows = [
        ((one.first, one.second, subset if one.group == "all" else one.group, str(one.num_in(subset))), estimates)
        for one in found
        for subset, estimates in as_plain(one.agreement).items()
    ]
    console = Console()
    title = f"how well the second column ranks by the first; intervals of {statistics.confidence:.0%}"
    console.print(agreement_table(title, ("first", "second", "archs", "number"), rows))
    if output is not None:
        _write(output, table, found, settings)
        console.print(f"files: {output}", soft_wrap=True, highlight=False)


def _write(output: Path, table: "ScoreTable", found: "list[Comparison]", settings: dict[str, Any]) -> None:
    from shiftaddnas.files import write_atomically
    from shiftaddnas.ranking import Scatter, agreement_rows, as_plain, write_rows, write_scatter

    rows = []
    for one in found:
        identity = {"first": one.first, "second": one.second, "group": one.group}
        rows += [row | {"num_archs": one.num_in(row["subset"])} for row in agreement_rows(identity, one.agreement)]
    write_rows(output / "ranking.csv", rows)
    comparisons = [
        {"first": one.first, "second": one.second, "group": one.group, "agreement": as_plain(one.agreement)}
        for one in found
    ]
    results = {"kind": "table", "num_archs": len(table.names), "comparisons": comparisons, "settings": settings}
    write_atomically(output / "results.json", json.dumps(results, indent=2) + "\n")
    for one in found:
        if one.group == "all":
            tau = one.agreement["all"]["kendall_tau"].value
            x, y = table.columns[one.first], table.columns[one.second]
            title = f"{one.first} {one.second}: Kendall's tau {tau:.3f}"
            write_scatter(output, Scatter(title, (one.first, one.second), table.names, x, [(one.second, y)]))
