"""Arithmetic energy: what the multiplications, additions and shifts of a network cost, without any memory traffic.

The default cost model. It treats memory as equal for all operators by leaving it out; a model of an accelerator
prices it.
"""

import math
from collections.abc import Mapping
from typing import Literal, get_args

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.cost import LayerModel, Metric
from shiftaddnas.hardware.layer import Arithmetic, Layer

Counting = Literal["full", "released"]

PJ_PER_MJ = 1e9
CYCLES_PER_MS_PER_MHZ = 1e3

# Operations of one tap, a pair of an input value and a kernel value: a product is accumulated, an L1 distance is a
# subtraction and an accumulation, a shifted value is accumulated. The released ShiftAddNAS code counts one operation.
OPERATIONS: dict[Counting, dict[Arithmetic, dict[Arithmetic, int]]] = {
    "full": {"mult": {"mult": 1, "add": 1}, "add": {"add": 2}, "shift": {"shift": 1, "add": 1}},
    "released": {"mult": {"mult": 1}, "add": {"add": 1}, "shift": {"shift": 1}},
}


class OpEnergy(LayerModel):
    """Energy, time and counts of the operations of a network, from the energy of one operation of each kind.

    Args:
        name: of the preset, for reports.
        energies_pj: energy of one multiplication, addition and shift.
        lanes: how many operations of each kind the hardware does in a cycle. The kinds run side by side, so a layer
            takes as long as its slowest kind; layers run one after another.
        clock_mhz: cycles per microsecond.
        counting: "full" counts every operation of a tap, "released" one of the layer's kind as the released
            ShiftAddNAS code does.
        source: where the energies come from, for reports.

    The number format is that of the energies: the bits of a layer do not change its price.

    Raises:
        UserError: a kind is missing or unknown, or a value is out of range.
    """

    metrics = (
        Metric("energy_mj", "mJ"),
        Metric("latency_ms", "ms"),
        Metric("num_params", ""),
        Metric("num_macs", ""),
        Metric("num_mults", ""),
        Metric("num_adds", ""),
        Metric("num_shifts", ""),
    )

    def __init__(
        self,
        name: str,
        energies_pj: Mapping[str, float],
        *,
        lanes: Mapping[str, float],
        clock_mhz: float,
        counting: Counting = "full",
        source: str = "",
    ) -> None:
        if counting not in OPERATIONS:
            raise UserError(f"hardware.counting={counting} is unknown; allowed: {', '.join(OPERATIONS)}")
        self.name = name
        self.energies_pj = _by_kind("energies_pj", energies_pj)
        self.lanes = _by_kind("lanes", lanes)
        self.clock_mhz = _positive("clock_mhz", clock_mhz)
        self.counting: Counting = counting
        self.source = source

    def price(self, layer: Layer) -> dict[str, float]:
        operations = OPERATIONS[self.counting][layer.arithmetic]
        counts = {kind: layer.num_taps * num for kind, num in operations.items()}
        num_cycles = max(count / self.lanes[kind] for kind, count in counts.items())
        return {
            "energy_mj": sum(count * self.energies_pj[kind] for kind, count in counts.items()) / PJ_PER_MJ,
            "latency_ms": num_cycles / (self.clock_mhz * CYCLES_PER_MS_PER_MHZ),
            "num_params": layer.num_params,
            "num_macs": layer.num_taps,
            "num_mults": counts.get("mult", 0),
            "num_adds": counts.get("add", 0),
            "num_shifts": counts.get("shift", 0),
        }


def _by_kind(setting: str, values: Mapping[str, float]) -> dict[Arithmetic, float]:
    kinds: tuple[Arithmetic, ...] = get_args(Arithmetic)
    if set(values) != set(kinds):
        raise UserError(f"hardware.{setting} has {sorted(values)}; give a number for each of {', '.join(kinds)}")
    return {kind: _positive(f"{setting}.{kind}", values[kind]) for kind in kinds}


def _positive(setting: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise UserError(f"hardware.{setting}={value} is not allowed; give a number above 0")
    return float(value)
