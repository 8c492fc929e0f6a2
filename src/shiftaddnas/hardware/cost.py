"""The interface of hardware cost models: metrics, costs, and a model bound to a space and a workload.

A plug-in either prices layers (`LayerModel`; everything else follows) or binds itself (`HardwareCost`). Whatever goes
wrong in a plug-in becomes a `CostError` here, in one place. The models themselves live in the other files.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.hardware.distribution import Distribution
from shiftaddnas.hardware.edge_prices import EdgePrices
from shiftaddnas.hardware.exact import whole
from shiftaddnas.hardware.layer import Layer

if TYPE_CHECKING:  # spaces are made of layers, so they import this package
    from shiftaddnas.spaces import Arch, Space, Term

W = TypeVar("W")


class CostError(RuntimeError):
    """A cost model failed on a layer or an arch. The message names the model and what it was asked to price."""


@dataclass(frozen=True)
class Metric:
    """A quantity with its unit ("" for a count). A metric is additive when an arch costs the sum of its layers."""

    name: str
    unit: str
    additive: bool = True


class Values(Mapping[str, float]):
    """Numbers by metric name: an immutable mapping that can be pickled."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Values({self._values})"


@dataclass(frozen=True)
class Cost:
    """What an arch or a list of layers costs, and, where it was broken down by layers, each layer's part of it."""

    values: Values
    layers: tuple[tuple[Layer, Values], ...] = ()


class BoundCost(ABC):
    """A cost model of the archs of one space under one workload: pure, deterministic and picklable."""

    def __init__(self, name: str, metrics: tuple[Metric, ...]) -> None:
        self.name = name
        self.metrics = metrics

    @abstractmethod
    def estimate(self, arch: "Arch") -> Cost:
        """What the model says of an arch, in its metrics. Callers use `__call__`, which checks it."""

    def __call__(self, arch: "Arch") -> Cost:
        """The cost of an arch.

        Raises:
            CostError: the model failed, or its values are not finite numbers of its metrics.
        """
        with _blamed(self.name, arch):
            cost = self.estimate(arch)
            return Cost(_checked(self.name, arch, self.metrics, cost.values), cost.layers)

    def breakdown(self, arch: "Arch") -> Cost:
        """The cost of an arch with each layer's part of it, where the model works by layers; a CostError as above."""
        return self(arch)

    def batch(self, archs: Sequence["Arch"]) -> NDArray[np.float64]:
        """The costs of many archs, one row each, one column a metric; a row of NaN where the model fails."""
        rows = np.full((len(archs), len(self.metrics)), np.nan)
        for row, arch in zip(rows, archs, strict=True):
            with suppress(CostError):
                row[:] = tuple(self(arch).values.values())
        return rows

    # The whole space; a CostError where the model fails on some term of it

    def extremes(self) -> dict[str, tuple[float, float]]:
        """The exact least and greatest value over all archs of the space, for the metrics where they are known."""
        return {}

    def distribution(self, metric: str) -> Distribution | None:
        """How a metric is distributed over all archs of the space; None if it is not additive."""
        return None

    def by_term(self, metric: str) -> "dict[Term, float] | None":
        """What each term of the space adds to a metric, infinite where the model fails on it; None if not additive."""
        return None


class HardwareCost(ABC):
    """A cost model, before it knows what it prices."""

    name: str
    metrics: tuple[Metric, ...]

    @abstractmethod
    def bind(self, space: "Space[Any, W]", workload: W) -> BoundCost:
        """The model for the archs of a space under a workload."""


class LayerModel(HardwareCost):
    """A cost model whose metrics are all additive over layers: it prices a layer, the rest is given."""

    @abstractmethod
    def price(self, layer: Layer) -> Mapping[str, float]:
        """The value of each metric for one layer. It may depend on all of the layer but its name."""

    def estimate(self, layers: Iterable[Layer]) -> Cost:
        """The cost of a network given as its layers.

        Raises:
            CostError: the model failed on a layer, or its values are not finite numbers of its metrics.
        """
        known: dict[Layer, Values] = {}
        return _total(self.metrics, tuple((layer, self._price(layer, known)) for layer in layers))

    def bind(self, space: "Space[Any, W]", workload: W) -> BoundCost:
        return _LayerSum(self, space, workload)

    def _price(self, layer: Layer, known: dict[Layer, Values]) -> Values:
        """The checked price; each distinct layer is priced once."""
        unnamed = replace(layer, name="")
        if unnamed not in known:
            with _blamed(self.name, layer):
                known[unnamed] = _checked(self.name, layer, self.metrics, self.price(layer))
        return known[unnamed]


class _LayerSum(BoundCost):
    """A layer model over a space: each distinct term is lowered once, each distinct layer priced once."""

    def __init__(self, model: LayerModel, space: "Space[Any, W]", workload: W) -> None:
        super().__init__(model.name, model.metrics)
        assert all(metric.additive for metric in model.metrics), f"{model.name} has a metric that is not additive"
        self._model = model
        self._space = space
        self._workload = workload
        self._names = [metric.name for metric in model.metrics]

    def estimate(self, arch: "Arch") -> Cost:
        total = self._prices.total(self._space.automaton.path(arch))
        if any(map(math.isnan, total)):
            return self.breakdown(arch)  # which says what has no price
        return Cost(Values(dict(zip(self._names, total, strict=True))))

    def breakdown(self, arch: "Arch") -> Cost:
        layers: list[tuple[Layer, Values]] = []
        with _blamed(self.name, arch):
            automaton = self._space.automaton
            for edge in automaton.path(arch):
                for number in automaton.edge_terms[edge]:
                    layers += self._priced(number)
        return Cost(self(arch).values, tuple(layers))

    def batch(self, archs: Sequence["Arch"]) -> NDArray[np.float64]:
        return self._prices.totals(self._space.automaton.paths(archs))

    def extremes(self) -> dict[str, tuple[float, float]]:
        self._refuse_gaps()
        return {name: self._prices.extremes(column) for column, name in enumerate(self._names)}

    def distribution(self, metric: str) -> Distribution | None:
        self._refuse_gaps()
        return self._prices.distribution(self._names.index(metric))

    def by_term(self, metric: str) -> "dict[Term, float] | None":
        return {
            term: math.inf if isinstance(layers, CostError) else math.fsum(values[metric] for _, values in layers)
            for term, layers in zip(self._space.automaton.terms, self._terms, strict=True)
        }

    @cached_property
    def _terms(self) -> list[tuple[tuple[Layer, Values], ...] | CostError]:
        """Of each term of the space, its priced layers, or why they have no price."""
        known: dict[Layer, Values] = {}
        terms: list[tuple[tuple[Layer, Values], ...] | CostError] = []
        for term in self._space.automaton.terms:
            layers = self._space.layers(term, self._workload)
            try:
                terms.append(tuple((layer, self._model._price(layer, known)) for layer in layers))
            except CostError as error:
                terms.append(error)
        return terms

    @cached_property
    def _prices(self) -> EdgePrices:
        with _blamed(self.name, f"space {self._space.name}"):
            sums = [
                None
                if isinstance(layers, CostError)
                else [sum(whole(values[name]) for _, values in layers) for name in self._names]
                for layers in self._terms
            ]
            return EdgePrices(self._space.automaton, sums, len(self._names))

    def _priced(self, number: int) -> tuple[tuple[Layer, Values], ...]:
        layers = self._terms[number]
        if isinstance(layers, CostError):
            raise CostError(str(layers)) from layers.__cause__
        return layers

    def _refuse_gaps(self) -> None:
        for number in range(len(self._terms)):
            self._priced(number)


def _total(metrics: tuple[Metric, ...], layers: tuple[tuple[Layer, Values], ...]) -> Cost:
    # fsum rounds once, so the order in which layers are added up does not matter
    sums = {metric.name: math.fsum(values[metric.name] for _, values in layers) for metric in metrics}
    return Cost(Values(sums), layers)


@contextmanager
def _blamed(model: str, subject: "str | Layer | Arch") -> Iterator[None]:
    """Whatever a model raises becomes a CostError that names the model and what it was asked to price."""
    try:
        yield
    except CostError:
        raise
    except Exception as error:
        raise CostError(
            f"hardware cost {model} failed on {_words(subject)}: {type(error).__name__}: {error}"
        ) from error


def _words(subject: "str | Layer | Arch") -> str:
    if isinstance(subject, Layer):
        return f"layer {subject.name} ({subject})"
    return subject if isinstance(subject, str) else f"arch {subject.id}"


def _checked(model: str, subject: "Layer | Arch", metrics: tuple[Metric, ...], given: Mapping[str, float]) -> Values:
    """The values in the order of the metrics; a CostError unless just these are given, finite and not negative."""
    values = {metric.name: float(given[metric.name]) for metric in metrics if metric.name in given}
    if set(values) != set(given) or len(values) < len(metrics):
        names = sorted(metric.name for metric in metrics)
        raise CostError(
            f"hardware cost {model} gives {sorted(given)} for {_words(subject)}, but its metrics are {names}"
        )
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise CostError(
                f"hardware cost {model} gives {name}={value} for {_words(subject)}: not a finite number >= 0"
            )
    return Values(values)
