"""What a network takes up: the bytes of its parameters, and of the inputs and outputs of its largest layer."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.cost import BoundCost, Cost, HardwareCost, LayerModel, Metric, Values
from shiftaddnas.hardware.layer import Arithmetic, Layer

if TYPE_CHECKING:  # spaces are made of layers, so they import this package
    from shiftaddnas.spaces import Arch, Space

W = TypeVar("W")
BYTE = 8
FLOAT_BITS = 32


class ModelSize(LayerModel):
    """Bytes of a network as it is deployed: each kernel value at the bits of its arithmetic, beside it one float a
    filter, the bias into which its normalisation is folded. Parameters of products between activations are floats.

    Args:
        name: for reports.
        weight_bits: of a kernel value of each kind of layer; a power of two with its sign takes 5 (DeepShift).

    Raises:
        UserError: a kind is missing or unknown, or has no bits.
    """

    metrics = (Metric("model_size_bytes", "B"),)

    def __init__(self, name: str, weight_bits: Mapping[str, float]) -> None:
        kinds = get_args(Arithmetic)
        if set(weight_bits) != set(kinds) or not all(0 < bits < math.inf for bits in weight_bits.values()):
            raise UserError(f"hardware.weight_bits={dict(weight_bits)}; give bits above 0 for {', '.join(kinds)}")
        self.name = name
        self.weight_bits = dict(weight_bits)

    def price(self, layer: Layer) -> dict[str, float]:
        if layer.second_operand == "activation":
            return {"model_size_bytes": layer.num_params * FLOAT_BITS / BYTE}
        kernel = layer.M * (layer.C // layer.groups) * layer.R * layer.S
        bits = kernel * self.weight_bits[layer.arithmetic] + layer.M * FLOAT_BITS
        return {"model_size_bytes": layer.repeat * bits / BYTE}


class PeakMemory(HardwareCost):
    """Bytes that the activations of the layer with the most of them take up: its inputs and outputs together.

    Layers run one after another; what a branch around them keeps meanwhile is not counted.

    Args:
        name: for reports.
        act_bits: of an activation.

    Raises:
        UserError: activations have no bits.
    """

    metrics = (Metric("peak_memory_bytes", "B", additive=False),)

    def __init__(self, name: str, act_bits: float) -> None:
        if not 0 < act_bits < math.inf:
            raise UserError(f"hardware.act_bits={act_bits}; give bits above 0")
        self.name = name
        self.act_bits = act_bits

    def bind(self, space: "Space[Any, W]", workload: W) -> BoundCost:
        return _BoundPeak(self, space, workload)

    def bytes_of(self, layer: Layer) -> float:
        """The inputs and outputs of one layer."""
        values = layer.N * layer.C * layer.H * layer.W + layer.N * layer.M * layer.E * layer.F
        if layer.second_operand == "activation":
            values += layer.C * layer.M
        return layer.repeat * values * self.act_bits / BYTE


class _BoundPeak(BoundCost):
    def __init__(self, model: PeakMemory, space: "Space[Any, W]", workload: W) -> None:
        super().__init__(model.name, model.metrics)
        self._model = model
        self._space = space
        self._workload = workload

    def estimate(self, arch: "Arch") -> Cost:
        peak = self._peaks[self._space.automaton.path(arch)].max()
        return Cost(Values({"peak_memory_bytes": float(peak)}))

    def batch(self, archs: "Sequence[Arch]") -> NDArray[np.float64]:
        peaks: NDArray[np.float64] = self._peaks[self._space.automaton.paths(archs)].max(axis=1, keepdims=True)
        return peaks

    def extremes(self) -> dict[str, tuple[float, float]]:
        automaton, peaks = self._space.automaton, self._peaks.tolist()
        least = [0.0] * (automaton.end + 1)
        for state in automaton.backwards():
            least[state] = min(max(peaks[edge], least[automaton.target[edge]]) for edge in automaton.edges_from(state))
        return {"peak_memory_bytes": (least[0], max(peaks))}

    @cached_property
    def _peaks(self) -> NDArray[np.float64]:
        """Of each edge of the space, and 0 for no edge."""
        automaton = self._space.automaton
        terms = [self._space.layers(term, self._workload) for term in automaton.terms]
        peaks = [max((self._model.bytes_of(layer) for layer in layers), default=0.0) for layers in terms]
        edges = [max((peaks[number] for number in numbers), default=0.0) for numbers in automaton.edge_terms]
        return np.array([*edges, 0.0])
