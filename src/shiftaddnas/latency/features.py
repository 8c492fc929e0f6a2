"""What a latency predictor sees of an arch: a row of numbers, made by a function that has a name.

The functions here read the decision graph alone, so they work for every space. A task adds one of its own, for instance
the 94 numbers of HAT (ACL 2020) for translation, by putting it into `FEATURES` when it is imported.
"""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.latency_table import computations
from shiftaddnas.spaces import Arch, Space


class Features(ABC):
    """The features of the archs of one space.

    Attributes:
        columns: what each number is, in order.
    """

    columns: tuple[str, ...]

    @abstractmethod
    def __call__(self, arch: Arch) -> NDArray[np.float64]:
        """The features of an arch, one for each column."""


class TermCounts(Features):
    """How often an arch has each term of its space.

    A term is what a decision adds to the network in its context (a block at its level, entered as it is there), so what
    is additive over layers is linear in these.
    """

    def __init__(self, space: Space[Any, Any]) -> None:
        self._space = space
        self._terms = sorted(space.all_terms(), key=repr)
        self.columns = tuple(map(repr, self._terms))

    def __call__(self, arch: Arch) -> NDArray[np.float64]:
        counts = Counter(self._space.terms(arch))
        return np.array([counts[term] for term in self._terms], dtype=np.float64)


class DecisionOneHots(Features):
    """For each decision of the space and each of its options, in the graph's order, whether the arch takes it."""

    def __init__(self, space: Space[Any, Any]) -> None:
        self._pairs = tuple(dict.fromkeys(space.automaton.decisions))
        self.columns = tuple(f"{name}={option}" for name, option in self._pairs)

    def __call__(self, arch: Arch) -> NDArray[np.float64]:
        taken = set(arch.decisions)
        return np.array([pair in taken for pair in self._pairs], dtype=np.float64)


FEATURES: dict[str, Callable[[Space[Any, Any]], Features]] = {"terms": TermCounts, "decisions": DecisionOneHots}
"""Feature functions by name. The name goes into the predictor's file."""


def features_of(name: str, space: Space[Any, Any], setting: str) -> Features:
    """The features of this name, for a space.

    Raises:
        UserError: there are none of this name; `setting` is what the user set it with.
    """
    if name not in FEATURES:
        raise UserError(f"{setting}: there are no features {name}; allowed: {', '.join(FEATURES)}")
    return FEATURES[name](space)


def fingerprint(space: Space[Any, Any], workload: Any) -> str:
    """Of all that the networks of a space compute under a workload: equal where their latencies are comparable."""
    layers = "\n".join(map(repr, computations(space, workload)))
    return hashlib.sha256(f"{space.name}\n{layers}".encode()).hexdigest()[:16]
