"""Several costs at once: the metrics of all parts, each with its unit, as limits or as objectives of a search."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.cost import BoundCost, Cost, CostError, HardwareCost, Metric, Values
from shiftaddnas.hardware.distribution import Distribution
from shiftaddnas.hardware.layer import Layer

if TYPE_CHECKING:  # spaces are made of layers, so they import this package
    from shiftaddnas.spaces import Arch, Space, Term

W = TypeVar("W")
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class _Source:
    """Where a metric of the whole comes from: the part, and the metric's name there."""

    part: str
    metric: Metric


class CompositeCost(HardwareCost):
    """The metrics of several costs, those of the first part first.

    A metric that more than one part gives is called <part>_<metric>, in all of them.

    Args:
        name: for reports.
        parts: the costs by name; null leaves a part out.
        keep: of a part, the metrics to take; of parts that are not named, all.

    Raises:
        UserError: there is no part, `keep` names what is not there, or two metrics still have the same name.
    """

    def __init__(
        self,
        name: str,
        parts: Mapping[str, HardwareCost | None],
        *,
        keep: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.name = name
        self.parts = {part: cost for part, cost in parts.items() if cost is not None}
        if not self.parts:
            raise UserError("hardware.parts is empty; give at least one cost, by a name of your choice")
        self._sources = self._named(keep or {})
        self.metrics = tuple(replace(source.metric, name=own) for own, source in self._sources.items())

    def _named(self, keep: Mapping[str, Sequence[str]]) -> dict[str, _Source]:
        unknown = sorted(set(keep) - set(self.parts))
        if unknown:
            raise UserError(f"hardware.keep.{unknown[0]} is no part; parts: {', '.join(self.parts)}")
        kept = []
        for part, cost in self.parts.items():
            known = {metric.name: metric for metric in cost.metrics}
            for name in keep.get(part, known):
                if name not in known:
                    raise UserError(f"hardware.keep.{part} has {name}; metrics of that part: {', '.join(known)}")
                kept.append(_Source(part, known[name]))
        uses = Counter(source.metric.name for source in kept)
        names = [
            source.metric.name if uses[source.metric.name] == 1 else f"{source.part}_{source.metric.name}"
            for source in kept
        ]
        twice = [name for name, num in Counter(names).items() if num > 1]
        if twice or not names:
            what = f"gives {twice[0]} twice; rename a part" if twice else "keeps no metric; keep one"
            raise UserError(f"hardware.parts={', '.join(self.parts)} {what}, or change hardware.keep")
        return dict(zip(names, kept, strict=True))

    def bind(self, space: "Space[Any, W]", workload: W) -> BoundCost:
        bound = {}
        for part, cost in self.parts.items():
            try:
                bound[part] = cost.bind(space, workload)
            except UserError as error:
                raise UserError(f"hardware.parts.{part}: {error}") from error
        return _BoundComposite(self, space, bound, self._sources)


class _BoundComposite(BoundCost):
    """The bound parts; where one fails on an arch, the arch has no cost."""

    def __init__(
        self,
        model: CompositeCost,
        space: "Space[Any, Any]",
        parts: Mapping[str, BoundCost],
        sources: Mapping[str, _Source],
    ) -> None:
        super().__init__(model.name, model.metrics)
        self._space = space
        self._parts = parts
        self._sources = sources

    def estimate(self, arch: "Arch") -> Cost:
        given = {}
        for part, bound in self._parts.items():
            with self._named(part):
                given[part] = bound(arch).values
        return Cost(Values({own: given[source.part][source.metric.name] for own, source in self._sources.items()}))

    def breakdown(self, arch: "Arch") -> Cost:
        """The values of each layer are those of the parts that work by layers."""
        given = {}
        for part, bound in self._parts.items():
            with self._named(part):
                layers = bound.breakdown(arch).layers
            if layers:
                given[part] = layers
        layers_of: list[tuple[Layer, Values]] = []
        for rows in zip(*given.values(), strict=True):
            values = {part: row[1] for part, row in zip(given, rows, strict=True)}
            named = {
                own: values[source.part][source.metric.name]
                for own, source in self._sources.items()
                if source.part in values
            }
            layers_of.append((rows[0][0], Values(named)))
        return Cost(self(arch).values, tuple(layers_of))

    def batch(self, archs: Sequence["Arch"]) -> Rows:
        archs = self._space.coded(archs)  # once for all parts
        columns: dict[tuple[str, str], Rows] = {}
        failed = np.zeros(len(archs), dtype=np.bool_)
        for part, bound in self._parts.items():
            rows = bound.batch(archs)
            failed |= np.isnan(rows).any(axis=1)
            columns |= {(part, metric.name): rows[:, column] for column, metric in enumerate(bound.metrics)}
        rows = np.stack([columns[source.part, source.metric.name] for source in self._sources.values()], axis=1)
        rows[failed] = np.nan
        return rows

    def extremes(self) -> dict[str, tuple[float, float]]:
        known = {}
        for part, bound in self._parts.items():
            with self._named(part):
                known[part] = bound.extremes()
        return {
            own: known[source.part][source.metric.name]
            for own, source in self._sources.items()
            if source.metric.name in known[source.part]
        }

    def distribution(self, metric: str) -> Distribution | None:
        source = self._sources[metric]
        with self._named(source.part):
            return self._parts[source.part].distribution(source.metric.name)

    def by_term(self, metric: str) -> "dict[Term, float] | None":
        source = self._sources[metric]
        return self._parts[source.part].by_term(source.metric.name)

    @contextmanager
    def _named(self, part: str) -> Iterator[None]:
        try:
            yield
        except CostError as error:
            raise CostError(f"part {part} of hardware cost {self.name}: {error}") from error
