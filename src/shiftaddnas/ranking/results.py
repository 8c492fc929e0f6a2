"""What a study or a table gave, as plain data for results.json and as rows for ranking.csv."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shiftaddnas.files import write_atomically
from shiftaddnas.ranking.correlation import Floats
from shiftaddnas.ranking.figures import Scatter
from shiftaddnas.ranking.statistics import ALL, Agreement, Analysis, Scored
from shiftaddnas.ranking.supernets import SupernetFile
from shiftaddnas.report.numbers import is_share


@dataclass(frozen=True)
class StudyResults:
    """A study, measured and analysed.

    Args:
        labels: of the archs.
        quality: of each arch trained alone, (N).
        ceiling: how well the archs' own scores on the other of validation and test part rank them.
        files: of the supernets.
        scored: what they gave the archs, in the same order.
    """

    labels: Sequence[str]
    quality: Floats
    ceiling: Agreement
    files: Sequence[SupernetFile]
    scored: Sequence[Scored]
    analysis: Analysis

    def as_plain(self) -> dict[str, Any]:
        supernets = [
            {
                "supernet": str(file.path),
                "checkpoint": file.digest,
                "sharing": one.scheme,
                "seed": one.seed,
                "score_mean": float(one.scores.mean()),
                "score_std": float(one.scores.std()),
                "agreement": as_plain(found),
            }
            for file, one, found in zip(self.files, self.scored, self.analysis.supernets, strict=True)
        ]
        schemes = [
            {"sharing": scheme, **self._scores(scheme), "agreement": as_plain(found)}
            for scheme, found in self.analysis.schemes.items()
        ]
        differences = [
            {"first": first, "second": second, "agreement": as_plain(found)}
            for (first, second), found in self.analysis.differences.items()
        ]
        quality = {name: float(getattr(self.quality, name)()) for name in ("mean", "std", "min", "max")}
        return {
            "num_archs": len(self.quality),
            "standalone": quality,
            "ceiling": as_plain(self.ceiling),
            "schemes": schemes,
            "differences": differences,
            "supernets": supernets,
        }

    def scalars(self) -> dict[str, float]:
        """Each scheme's correlations by scheme, subset and kind."""
        return {
            f"{scheme}/{subset}/{kind}": estimate.value
            for scheme, found in self.analysis.schemes.items()
            for subset, estimates in found.items()
            for kind, estimate in estimates.items()
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each scheme or supernet and each subset of archs; of a scheme's mean, the supernet is empty."""
        rows: list[dict[str, Any]] = []
        for scheme, found in self.analysis.schemes.items():
            identity = {"sharing": scheme, "supernet": "", "seed": "", **self._scores(scheme)}
            rows += agreement_rows(identity, found)
        for file, one, found in zip(self.files, self.scored, self.analysis.supernets, strict=True):
            scores = {"num_supernets": 1, "score_mean": float(one.scores.mean()), "score_std": float(one.scores.std())}
            seed = "" if one.seed is None else one.seed
            rows += agreement_rows({"sharing": one.scheme, "supernet": str(file.path), "seed": seed, **scores}, found)
        return rows

    def scatters(self, part: str, metric: str, unit: str) -> list[Scatter]:
        """For each scheme, the scores of its supernets over the quality, which is the metric on this part."""
        in_percent = is_share(metric, unit)
        scale = 100 if in_percent else 1
        ending = " (%)" if in_percent else f" ({unit})" if unit else ""
        axes = (f"{part} {metric}, trained alone{ending}", f"supernet {metric}{ending}")
        drawn = []
        for scheme, found in self.analysis.schemes.items():
            series = [
                (str(file.path.parent) if one.seed is None else f"seed {one.seed}", one.scores * scale)
                for file, one in zip(self.files, self.scored, strict=True)
                if one.scheme == scheme
            ]
            title = f"{scheme}: Kendall's tau {found[ALL]['kendall_tau'].value:.3f}"
            drawn.append(Scatter(title, axes, self.labels, self.quality * scale, series))
        return drawn

    def _scores(self, scheme: str) -> dict[str, Any]:
        """Of a scheme's supernets: their number, and the mean of the means and of the deviations of their scores."""
        scores = [one.scores for one in self.scored if one.scheme == scheme]
        return {
            "num_supernets": len(scores),
            "score_mean": float(np.mean([values.mean() for values in scores])),
            "score_std": float(np.mean([values.std() for values in scores])),
        }


def as_plain(agreement: Agreement) -> dict[str, dict[str, dict[str, float | None]]]:
    """Nested mappings of numbers; what is not defined is None."""
    return {
        subset: {
            kind: {"value": _known(found.value), "low": _known(found.low), "high": _known(found.high)}
            for kind, found in estimates.items()
        }
        for subset, estimates in agreement.items()
    }


def agreement_rows(identity: Mapping[str, Any], agreement: Agreement) -> Iterator[dict[str, Any]]:
    """A row for each subset of archs, whose first columns say what ranks them."""
    for subset, estimates in agreement.items():
        row = {**identity, "subset": subset}
        for kind, found in estimates.items():
            row |= {kind: found.value, f"{kind}_low": found.low, f"{kind}_high": found.high}
        yield row


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns as CSV; a number that is not defined is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        undefined = {name for name, value in row.items() if isinstance(value, float) and math.isnan(value)}
        writer.writerow({name: "" if name in undefined else value for name, value in row.items()})
    write_atomically(path, text.getvalue())


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
