"""The tables of docs/results/fashion_mnist.md, from the run folders of the study.

`python benchmarks/fashion_mnist.py STUDY SUPERNETS SEARCHES UNIFORM PICTURE` prints Markdown and draws PICTURE, of the
networks' energy and accuracy. STUDY is the folder that `shiftaddnas rank` made; the others hold run folders, at any
depth: of supernets, of searches, and of networks of one operator.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from study import SEARCHERS, Results, mean_and_range, results_below, searcher_of, table

from shiftaddnas.report.palette import INK, SERIES
from shiftaddnas.report.picture import write_picture

SCHEMES = ("independent", "shared", "quantile", "heterogeneous")
UNIFORM = {"C": "all-conv", "S": "all-shift", "A": "all-add"}
LOWEST = 81.0  # of the picture, in percent
Found = dict[tuple[str, str], list[Results]]


def interval(value: Mapping[str, float]) -> str:
    return f"{value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


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


def found_networks(searches: Path) -> Found:
    """The results of the searches, by scheme and searcher."""
    found: Found = defaultdict(list)
    for folder, results in results_below(searches):
        found[results["sharing"], searcher_of(folder)].append(results)
    return found


def networks(found: Found, alone: Mapping[str, list[Results]]) -> None:
    """What the searches found, beside networks of one operator."""
    rows = []
    for scheme in SCHEMES:
        for searcher in SEARCHERS.values():
            if runs := found[scheme, searcher]:
                rows.append(_row(f"{scheme}, {searcher}", [run["winner"] for run in runs]))
    for role in ("all_multiplication", "all_cheap"):
        title = f"{role.replace('_', '-')}, of the winners' shapes"
        rows.append(_row(title, [run["baselines"][role] for runs in found.values() for run in runs]))
    rows += [_row(label, runs) for label, runs in alone.items()]
    table(["network", "runs", "test accuracy (%)", "energy (mJ)", "score in the supernet (%)"], rows)


def _row(title: str, entries: Sequence[Results]) -> list[str]:
    accuracy = mean_and_range((100 * entry["test"]["accuracy"] for entry in entries), 2)
    energy = mean_and_range((entry["costs"]["energy_mj"] for entry in entries), 3)
    scores = [100 * entry["score"] for entry in entries if "score" in entry]
    return [title, str(len(entries)), accuracy, energy, mean_and_range(scores, 2) if scores else ""]


def draw(path: Path, found: Found, alone: Mapping[str, list[Results]]) -> None:
    """A picture of the same networks: energy and test accuracy."""

    def scatter(axes: Any, entries: Sequence[Results], color: str, marker: str, label: str, **style: Any) -> None:
        x = [entry["costs"]["energy_mj"] for entry in entries]
        y = [100 * entry["test"]["accuracy"] for entry in entries]
        where = " (below)" if max(y) < LOWEST else ""
        axes.scatter(x, y, c=color, marker=marker, label=label + where, **style)

    def figure(figure: Any) -> None:
        axes = figure.add_subplot()
        for scheme, (color, _) in zip(SCHEMES, SERIES, strict=False):
            for searcher, marker in zip(SEARCHERS.values(), "o^", strict=True):
                winners = [run["winner"] for run in found[scheme, searcher]]
                scatter(axes, winners, color, marker, f"{scheme}, {searcher}", s=36)
        for (label, runs), marker in zip(alone.items(), "sDv", strict=True):
            scatter(axes, runs, INK, marker, label, s=24)
        axes.set_ylim(bottom=LOWEST)
        axes.set_xlabel("energy (mJ)")
        axes.set_ylabel("test accuracy, trained alone (%)")
        figure.legend(loc="outside right upper", fontsize=8)

    write_picture(path, (7.5, 4.5), figure)


def main(study: str, supernets: str, searches: str, uniform: str, picture: str) -> None:
    by_scheme: dict[str, list[Results]] = defaultdict(list)
    for _, supernet in results_below(Path(supernets)):
        by_scheme[supernet["sharing"]].append(supernet)
    ranking(json.loads((Path(study) / "results.json").read_text(encoding="utf-8")), by_scheme)
    alone: dict[str, list[Results]] = defaultdict(list)
    for _, results in results_below(Path(uniform)):
        alone[UNIFORM[results["label"][0]]].append(results)
    found = found_networks(Path(searches))
    networks(found, alone)
    draw(Path(picture), found, alone)


if __name__ == "__main__":
    main(*sys.argv[1:])
