"""A finished search as read from its run folder: what tables, figures and the page are made from."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shiftaddnas.errors import UserError
from shiftaddnas.report.numbers import is_share
from shiftaddnas.report.pareto import front_of
from shiftaddnas.search import Record, read_records
from shiftaddnas.tracking import RunFolder

ROLES = {"winner": "winner", "all_multiplication": "all-multiplication", "all_cheap": "all-cheap"}
OPERATIONS = {"num_mults": "multiplications", "num_adds": "additions", "num_shifts": "shifts"}


def read_results(folder: RunFolder) -> dict[str, Any]:
    """The content of results.json.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        content = json.loads(folder.results.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder.path} holds no {folder.results.name}: give the folder of a finished run, or run its command again"
        ) from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{folder.results} is damaged: start over with fresh=true")
    return content


@dataclass(frozen=True)
class Network:
    """One of the networks that were trained on their own: the winner or a baseline.

    `score` is the supernet's; a baseline has one where the search came by it. `final` are the task's final scores.
    """

    role: str
    arch_id: str
    label: str
    score: float | None
    test: float | None
    final: dict[str, float]
    costs: dict[str, float]


@dataclass(frozen=True)
class SearchRun:
    """The records of a search and its results."""

    folder: RunFolder
    results: dict[str, Any]
    records: list[Record]

    @classmethod
    def read(cls, folder: RunFolder) -> "SearchRun":
        """Raises a UserError where the folder holds no finished search."""
        results = read_results(folder)
        if "winner" not in results or not folder.search_log.exists():
            raise UserError(f"{folder.path} holds no search: give the folder of a search.py run")
        return cls(folder, results, read_records(folder.search_log))

    @property
    def final(self) -> list[str]:
        """The task's final scores that every network has."""
        names = self.results["metric"].get("final", [])
        return [name for name in names if all(name in network.final for network in self.networks)]

    @property
    def objective(self) -> str:
        """The cost that figures show the score over, the first of `objectives`."""
        return str(self.results["objective"])

    @property
    def objectives(self) -> list[str]:
        """The costs of the front, beside the score."""
        return [str(name) for name in self.results.get("objectives", [self.objective])]

    @property
    def metric(self) -> str:
        return str(self.results["metric"]["name"])

    @property
    def score(self) -> str:
        """What archs were scored by: the metric, unless another was asked for."""
        return str(self.results.get("score", self.metric))

    @property
    def unit(self) -> str:
        return str(self.results["metric"]["unit"])

    @property
    def maximize(self) -> bool:
        return bool(self.results["metric"]["maximize"])

    @property
    def metric_unit(self) -> str:
        """The unit in which figures show the metric."""
        return "%" if is_share(self.metric, self.unit) else self.unit

    def shown(self, score: float) -> float:
        """A value of the metric in `metric_unit`."""
        return 100 * score if is_share(self.metric, self.unit) else score

    @cached_property
    def front(self) -> list[Record]:
        """The archs that no other one beats in the score and all `objectives`."""
        return front_of(self.records, objectives=self.objectives, maximize=self.maximize)

    @cached_property
    def outline(self) -> list[Record]:
        """Those of the front that no other one beats in the score and `objective` alone."""
        return front_of(self.front, objectives=[self.objective], maximize=self.maximize)

    @cached_property
    def scored(self) -> list[tuple[Record, float]]:
        """The candidates that have a score, with it."""
        return [(record, record.score) for record in self.records if record.score is not None]

    @cached_property
    def best_so_far(self) -> list[float]:
        """The best score after each of the `scored` candidates."""
        better = max if self.maximize else min
        bests: list[float] = []
        for _, score in self.scored:
            bests.append(better(bests[-1], score) if bests else score)
        return bests

    @cached_property
    def networks(self) -> list[Network]:
        """The winner, then the baselines."""
        scores = {record.arch_id: score for record, score in self.scored}
        final = self.results["metric"].get("final", [])
        entries = {"winner": self.results["winner"], **self.results.get("baselines", {})}
        return [
            Network(
                role=ROLES.get(role, role.replace("_", " ")),
                arch_id=entry["arch_id"],
                label=entry["label"],
                score=scores.get(entry["arch_id"]),
                test=entry["test"].get(self.metric),
                final={name: entry["test"][name] for name in final if name in entry["test"]},
                costs=entry["costs"],
            )
            for role, entry in entries.items()
        ]
