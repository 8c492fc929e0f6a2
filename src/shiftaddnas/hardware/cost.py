"""The interface of hardware cost models: metrics, costs, and a model bound to a space and a workload.

A plug-in either prices layers (`LayerModel`; everything else follows) or binds itself (`HardwareCost`). Whatever goes
wrong in a plug-in becomes a `CostError` here, in one place. The models themselves live in the other files.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

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
    """What an arch or a list of layers costs, and, where the model works by layers, each layer's part of it."""

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
        with _blamed(self.name, subject := f"arch {arch.id}"):
            cost = self.estimate(arch)
            return Cost(_checked(self.name, subject, self.metrics, cost.values), cost.layers)

    def batch(self, archs: Sequence["Arch"]) -> NDArray[np.float64]:
        """The costs of many archs, one row each, one column a metric."""
        rows = [tuple(self(arch).values.values()) for arch in archs]
        return np.array(rows, dtype=np.float64).reshape(len(archs), len(self.metrics))

    def extremes(self) -> dict[str, tuple[float, float]]:
        """The exact least and greatest value over all archs of the space, for the additive metrics (up to rounding)."""
        return {}


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
        return _total(self.metrics, [(layer, self._checked_price(layer)) for layer in layers])

    def bind(self, space: "Space[Any, W]", workload: W) -> BoundCost:
        return _LayerSum(self, space, workload)

    def _checked_price(self, layer: Layer) -> Values:
        with _blamed(self.name, subject := f"layer {layer.name} ({layer})"):
            return _checked(self.name, subject, self.metrics, self.price(layer))


class _LayerSum(BoundCost):
    """A layer model over a space: each distinct term is lowered once, each distinct layer priced once."""

    def __init__(self, model: LayerModel, space: "Space[Any, W]", workload: W) -> None:
        super().__init__(model.name, model.metrics)
        assert all(metric.additive for metric in model.metrics), f"{model.name} has a metric that is not additive"
        self._model = model
        self._space = space
        self._workload = workload
        self._prices: dict[Layer, Values] = {}
        self._terms: dict[Term, tuple[tuple[Layer, Values], ...]] = {}

    def estimate(self, arch: "Arch") -> Cost:
        return _total(self.metrics, [priced for term in self._space.terms(arch) for priced in self._term(term)])

    def extremes(self) -> dict[str, tuple[float, float]]:
        totals = {term: _total(self.metrics, self._term(term)).values for term in self._space.all_terms()}
        return {
            metric.name: self._space.extremes({term: values[metric.name] for term, values in totals.items()})
            for metric in self.metrics
        }

    def _term(self, term: "Term") -> tuple[tuple[Layer, Values], ...]:
        if term not in self._terms:
            layers = self._space.layers(term, self._workload)
            self._terms[term] = tuple((layer, self._price(layer)) for layer in layers)
        return self._terms[term]

    def _price(self, layer: Layer) -> Values:
        unnamed = replace(layer, name="")
        if unnamed not in self._prices:
            self._prices[unnamed] = self._model._checked_price(layer)
        return self._prices[unnamed]


def _total(metrics: tuple[Metric, ...], layers: Sequence[tuple[Layer, Values]]) -> Cost:
    # fsum rounds once, so the order in which layers are added up does not matter
    sums = {metric.name: math.fsum(values[metric.name] for _, values in layers) for metric in metrics}
    return Cost(Values(sums), tuple(layers))


@contextmanager
def _blamed(model: str, subject: str) -> Iterator[None]:
    """Whatever a model raises becomes a CostError that names the model and what it was asked to price."""
    try:
        yield
    except CostError:
        raise
    except Exception as error:
        raise CostError(f"hardware cost {model} failed on {subject}: {type(error).__name__}: {error}") from error


def _checked(model: str, subject: str, metrics: tuple[Metric, ...], given: Mapping[str, float]) -> Values:
    """The values in the order of the metrics; a CostError unless just these are given, finite and not negative."""
    values = {metric.name: float(given[metric.name]) for metric in metrics if metric.name in given}
    if set(values) != set(given) or len(values) < len(metrics):
        names = sorted(metric.name for metric in metrics)
        raise CostError(f"hardware cost {model} gives {sorted(given)} for {subject}, but its metrics are {names}")
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise CostError(f"hardware cost {model} gives {name}={value} for {subject}: not a finite number >= 0")
    return Values(values)
