"""The tables of docs/results/fashion_mnist.md, from the run folders of the study.

`python benchmarks/fashion_mnist.py STUDY SUPERNETS SEARCHES UNIFORM` prints Markdown. STUDY is the folder that
`shiftaddnas rank` made; the others hold run folders, at any depth: of supernets, of searches, and of networks of one
operator.
"""

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

SCHEMES = ("independent", "shared", "quantile", "heterogeneous")
SEARCHERS = {"EvolutionSearcher": "evolution", "RandomSearcher": "random"}
Results = Mapping[str, Any]


def results_below(folder: Path) -> list[tuple[Path, Results]]:
    return [(path.parent, json.loads(path.read_text())) for path in sorted(folder.rglob("results.json"))]


def percent(values: Iterable[float]) -> str:
    """The mean, and the least and the greatest, in percent."""
    shares = [100 * value for value in values]
    return f"{statistics.fmean(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"


def interval(value: Mapping[str, float]) -> str:
    return f"{value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def table(title: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"| {' | '.join(title)} |\n|{'---|' + '--:|' * (len(title) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def ranking(study: Results, supernets: Mapping[str, list[Results]]) -> None:
    """How well each scheme's supernets rank the archs that were trained alone, and by how much schemes differ."""
    subsets = list(study["ceiling"])
    rows = []
    for scheme in sorted(study["schemes"], key=lambda one: SCHEMES.index(one["sharing"])):
        size = supernets[scheme["sharing"]][0]["num_params"]
        mean = f"{100 * scheme['score_mean']:.1f} %, {100 * scheme['score_std']:.1f}"
        taus = [interval(scheme["agreement"][subset]["kendall_tau"]) for subset in subsets]
        rho = interval(scheme["agreement"]["all"]["spearman"])
        rows.append([scheme["sharing"], f"{size:,}", mean, *taus, rho])
    ceiling = [interval(study["ceiling"][subset]["kendall_tau"]) for subset in subsets]
    rows.append(["alone, other part", "", "", *ceiling, interval(study["ceiling"]["all"]["spearman"])])
    table(
        ["sharing", "parameters", "scores: mean, spread", *(f"tau, {subset}" for subset in subsets), "Spearman, all"],
        rows,
    )
    table(
        ["difference of tau", *subsets],
        [
            [
                f"{pair['first']} - {pair['second']}",
                *(interval(pair["agreement"][subset]["kendall_tau"]) for subset in subsets),
            ]
            for pair in study["differences"]
        ],
    )


def networks(searches: list[tuple[Path, Results]], uniform: list[Results]) -> None:
    """What the searches found, beside networks of one operator."""
    found: dict[tuple[str, str], list[Results]] = defaultdict(list)
    for folder, search in searches:
        searcher = yaml.safe_load((folder / "config.yaml").read_text())["search"]["_target_"]
        found[search["sharing"], SEARCHERS[searcher.rpartition(".")[2]]].append(search)
    rows = []
    for scheme in SCHEMES:
        for searcher in SEARCHERS.values():
            runs = found[scheme, searcher]
            if runs:
                rows.append(_row(f"{scheme}, {searcher}", [run["winner"] for run in runs], runs))
    for role, title in (("all_multiplication", "all-multiplication"), ("all_cheap", "all-cheap")):
        runs = [run for group in found.values() for run in group if role in run["baselines"]]
        rows.append(_row(f"{title}, of the winners' shapes", [run["baselines"][role] for run in runs], None))
    alone: dict[str, list[Results]] = defaultdict(list)
    for run in uniform:
        alone[run["label"]].append(run)
    rows += [_row(label, runs, None) for label, runs in alone.items()]
    table(["network", "runs", "test accuracy (%)", "energy (mJ)", "supernet score (%)"], rows)


def _row(title: str, entries: Sequence[Results], searches: Sequence[Results] | None) -> list[str]:
    energies = [entry["costs"]["energy_mj"] for entry in entries]
    energy = f"{statistics.fmean(energies):.3f} ({min(energies):.3f} to {max(energies):.3f})"
    scores = "" if searches is None else percent(search["winner"]["score"] for search in searches)
    return [title, str(len(entries)), percent(entry["test"]["accuracy"] for entry in entries), energy, scores]


def main(study: str, supernets: str, searches: str, uniform: str) -> None:
    by_scheme: dict[str, list[Results]] = defaultdict(list)
    for _, supernet in results_below(Path(supernets)):
        by_scheme[supernet["sharing"]].append(supernet)
    ranking(json.loads((Path(study) / "results.json").read_text()), by_scheme)
    networks(results_below(Path(searches)), [results for _, results in results_below(Path(uniform))])


if __name__ == "__main__":
    main(*sys.argv[1:])
