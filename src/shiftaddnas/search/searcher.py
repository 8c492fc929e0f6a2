"""The interface of search algorithms: they propose archs, and are told how good those were.

A searcher knows no torch, no task and no hardware. It is resumed by replay: the same searcher, run again and told the
recorded results, proposes the same archs again.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shiftaddnas.search.feasibility import Feasibility
from shiftaddnas.spaces import Arch, Space

Origin = Literal["random", "mutation", "crossover"]


@dataclass(frozen=True)
class Proposal:
    """An arch to evaluate, and how the searcher came by it; generations are counted from 0."""

    arch: Arch
    origin: Origin
    generation: int


@dataclass(frozen=True)
class Result:
    """What became of a proposal: the objective, to be minimised (None: it failed), and the costs by metric name."""

    arch: Arch
    objective: float | None
    costs: Mapping[str, float]


class Searcher(ABC):
    """An algorithm over a space. What it proposes depends only on its arguments, its generator and what it was told."""

    def __init__(self, space: Space[Any, Any], feasible: Feasibility) -> None:
        self.space = space
        self.feasible = feasible

    @property
    @abstractmethod
    def num_evaluations(self) -> int:
        """How many archs it will propose at most."""

    @abstractmethod
    def ask(self, n: int) -> list[Proposal]:
        """At most n new proposals, at least one unless the search is finished. All that were asked for before and
        not yet told must be told first when the algorithm needs them to go on.
        """

    @abstractmethod
    def tell(self, results: Sequence[Result]) -> None:
        """Report results of proposals, in any order."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What the searcher has done so far, as JSON-like data for logs and reports."""
