"""The blocks of an arch, read from its space alone: what each computes, at which map size and width, at which cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shiftaddnas.hardware import Arithmetic, BoundCost, Layer
from shiftaddnas.spaces import Arch, Space

TAPS = "num_taps"
"""What shares are of where the hardware has no price for a layer."""
LAST = ("head", "output")
"""The roles of what runs last, though a space may state it with an earlier decision."""


@dataclass(frozen=True)
class Block:
    """What one decision adds to a network, or one term of a decision that adds several.

    Attributes:
        name: the operator that was chosen; of parts without a choice, their role.
        chosen: whether there was a choice.
        arithmetic: of most of its operations.
        size: the output's map, such as "8x8", or its rows, such as "30 rows"; "" for a vector.
        channels: of input and output.
        cost: its part of the metric.
    """

    name: str
    chosen: bool
    arithmetic: Arithmetic
    size: str
    channels: tuple[int, int]
    cost: float


@dataclass(frozen=True)
class Plan:
    """The blocks of an arch in the order of the data, with the metric that their costs are of."""

    blocks: tuple[Block, ...]
    metric: str

    @property
    def sizes(self) -> list[str]:
        """The distinct output sizes, in the order of the data."""
        return list(dict.fromkeys(block.size for block in self.blocks if block.size))

    def share(self, block: Block) -> float:
        """Its part of the whole cost in percent."""
        whole = sum(one.cost for one in self.blocks)
        return 100 * block.cost / whole if whole else 0.0


def plan(space: Space[Any, Any], arch: Arch, workload: Any, cost: BoundCost) -> Plan:
    """The blocks of an arch, priced in the first metric that the hardware has for layers, else in taps.

    Raises:
        CostError: the hardware fails on the arch.
    """
    priced = cost.breakdown(arch).layers
    names = priced[0][1] if priced else {}
    metric = next((metric.name for metric in cost.metrics if metric.name in names), TAPS)
    prices = iter([values.get(metric, 0.0) for _, values in priced])
    blocks: list[Block] = []
    last: list[Block] = []
    for state, _, choice in space.walk(arch):
        terms = [space.layers(term, workload) for term in space.decision_terms(state, choice)]
        for layers in filter(None, terms):
            value = sum(layer.num_taps if metric == TAPS else next(prices) for layer in layers)
            chosen = isinstance(choice, str) and len(terms) == 1
            name = str(choice) if chosen else layers[0].role
            block = _block(name, chosen, layers, value)
            (last if layers[0].role in LAST else blocks).append(block)
    return Plan((*blocks, *last), metric)


def _block(name: str, chosen: bool, layers: tuple[Layer, ...], cost: float) -> Block:
    # The last layers may be of a side branch that works on one vector, such as squeeze-and-excitation.
    output = next((layer for layer in reversed(layers) if _size(layer)), layers[-1])
    return Block(name, chosen, _main_arithmetic(layers), _size(output), (layers[0].C, output.M), cost)


def _main_arithmetic(layers: Iterable[Layer]) -> Arithmetic:
    taps: dict[Arithmetic, int] = {"mult": 0, "add": 0, "shift": 0}
    for layer in layers:
        taps[layer.arithmetic] += layer.num_taps
    return max(taps, key=lambda arithmetic: taps[arithmetic])


def _size(layer: Layer) -> str:
    if layer.op == "conv2d":
        return f"{layer.E}x{layer.F}"
    return f"{layer.N} rows" if layer.N * layer.repeat * layer.steps > 1 else ""
