"""What the tables of the studies in docs/results have in common: run folders and Markdown."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

SEARCHERS = {"EvolutionSearcher": "evolution", "RandomSearcher": "random search"}
Results = Mapping[str, Any]


def results_below(folder: Path) -> list[tuple[Path, Results]]:
    """The run folders at any depth below a folder, with their results."""
    return [
        (path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.rglob("results.json"))
    ]


def config_of(folder: Path) -> dict[str, Any]:
    """The resolved settings of a run folder."""
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return config


def searcher_of(folder: Path) -> str:
    """What searched in the run folder of a search, in words."""
    return SEARCHERS[config_of(folder)["search"]["_target_"].rpartition(".")[2]]


def mean_and_range(values: Iterable[float], digits: int) -> str:
    """The mean and, of several values, the least and the greatest."""
    found = list(values)
    mean = f"{statistics.fmean(found):,.{digits}f}"
    return mean if min(found) == max(found) else f"{mean} ({min(found):,.{digits}f} to {max(found):,.{digits}f})"


def table(title: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    print(f"| {' | '.join(title)} |\n|{'---|' + '--:|' * (len(title) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()
