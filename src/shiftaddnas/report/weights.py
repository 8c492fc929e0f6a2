"""How the weights of operators are distributed: by operator and by layer, with the best Gaussian and Laplacian.

Kernels of different fan-in live at different scales, and a mixture of scales looks heavy-tailed whatever its parts
are. Every kernel is therefore taken in units of its own standard deviation, around its own mean.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

Kernel = tuple[str, str, NDArray[Any]]
"""The path of the module that holds it, the operator that computes with it, and its weights, flat."""
ORDER = ("conv", "attention", "linear", "add", "shift")


@dataclass(frozen=True)
class Fit:
    """A distribution of a family at its maximum likelihood, and that likelihood: log, in nats, mean of the weights."""

    family: str
    location: float
    scale: float
    log_likelihood: float

    def density(self, x: NDArray[Any]) -> NDArray[Any]:
        from scipy import stats

        densities: NDArray[Any] = _family(stats, self.family).pdf(x, self.location, self.scale)
        return densities


FAMILIES = ("Gaussian", "Laplacian")


def fits(weights: NDArray[Any]) -> tuple[Fit, ...]:
    """The best of each family: mean and standard deviation; median and mean distance from it."""
    from scipy import stats

    fitted = []
    for family in FAMILIES:
        location, scale = _family(stats, family).fit(weights)
        likelihood = _family(stats, family).logpdf(weights, location, scale).mean()
        fitted.append(Fit(family, float(location), float(scale), float(likelihood)))
    return tuple(fitted)


def _family(stats: Any, family: str) -> Any:
    return {"Gaussian": stats.norm, "Laplacian": stats.laplace}[family]


@dataclass(frozen=True)
class Panel:
    """The weights of one operator in a layer, or in the whole network.

    Attributes:
        layer: where; "" for the whole network.
        weights: in standard deviations of their kernels.
        stds: the least and the greatest standard deviation of the kernels.
    """

    layer: str
    operator: str
    weights: NDArray[Any]
    stds: tuple[float, float]
    fits: tuple[Fit, ...]

    @property
    def best(self) -> Fit:
        return max(self.fits, key=lambda fit: fit.log_likelihood)

    @property
    def order(self) -> tuple[int, str]:
        """Where its operator stands among the others."""
        return _order(self.operator)


def by_operator(kernels: Iterable[Kernel]) -> list[Panel]:
    """One panel an operator, of all its kernels."""
    return _panels([("", operator, weights) for _, operator, weights in kernels])


def by_layer(kernels: Iterable[Kernel]) -> list[Panel]:
    """One panel for each operator of each layer, layers in the order in which they come."""
    listed = list(kernels)
    layers = layer_names([path for path, _, _ in listed])
    return _panels([(layers[path], operator, weights) for path, operator, weights in listed])


def layer_names(paths: Sequence[str]) -> dict[str, str]:
    """The layer of each module: its path up to the first numbers in it, without what all paths begin with.

    fabric.layers.3.1.kernels.shared is layers.3.1; a path without a number is a layer of its own.
    """
    layers: dict[str, list[str]] = {}
    for path in paths:
        parts = path.split(".")
        first = next((at for at, part in enumerate(parts) if part.isdecimal()), len(parts) - 1)
        numbers = next((at for at in range(first, len(parts)) if not parts[at].isdecimal()), len(parts))
        layers[path] = parts[: max(numbers, first + 1)]
    common = 0
    # A name begins with a word, not with a number.
    for words in zip(
        *([part for part in layer if not part.isdecimal()][:-1] for layer in layers.values()), strict=False
    ):
        if len(set(words)) > 1:
            break
        common += 1
    return {path: ".".join(layer[common:]) for path, layer in layers.items()}


def _panels(kernels: Sequence[Kernel]) -> list[Panel]:
    layers = list(dict.fromkeys(layer for layer, _, _ in kernels))

    def position(kernel: Kernel) -> tuple[int, tuple[int, str]]:
        layer, operator, _ = kernel
        return layers.index(layer), _order(operator)

    panels = []
    for (layer, operator), group in groupby(sorted(kernels, key=position), key=lambda kernel: kernel[:2]):
        # A kernel whose weights are all equal has no shape, and one that diverged neither.
        arrays = [weights for _, _, weights in group if np.isfinite(weights).all() and np.ptp(weights) > 0]
        if arrays:
            stds = [float(weights.std()) for weights in arrays]
            pooled = np.concatenate([(one - one.mean()) / std for one, std in zip(arrays, stds, strict=True)])
            panels.append(Panel(layer, operator, pooled, (min(stds), max(stds)), fits(pooled)))
    return panels


def _order(operator: str) -> tuple[int, str]:
    return ORDER.index(operator) if operator in ORDER else len(ORDER), operator
