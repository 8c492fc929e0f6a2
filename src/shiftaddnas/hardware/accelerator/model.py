"""The accelerator as a cost model: each layer is lowered, tiled as well as the array allows, and priced."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.accelerator.array import AccessEnergy, Array, check_number
from shiftaddnas.hardware.accelerator.rules import Lowering, Rule
from shiftaddnas.hardware.accelerator.tiling import Objective, Tiling, TilingSearch, num_cycles
from shiftaddnas.hardware.accelerator.traffic import (
    PJ_PER_MJ,
    Levels,
    input_energy,
    output_energy,
    unit_energy,
    weight_energy,
)
from shiftaddnas.hardware.cost import LayerModel, Metric
from shiftaddnas.hardware.layer import Arithmetic, Layer
from shiftaddnas.hardware.op_energy import OPERATIONS, Counting

CYCLES_PER_MS_PER_MHZ = 1e3


@dataclass(frozen=True)
class LayerAnalysis:
    """Where the energy of a layer goes: by level of the memory, by operand, and the tiling behind it.

    compute_mj and the energies of the levels add up to energy_mj, and so do compute_mj and those of the operands.
    """

    tiling: Tiling
    energy_mj: float
    latency_ms: float
    compute_mj: float
    dram_mj: float
    dram_buffer_mj: float
    buffer_mj: float
    noc_mj: float
    rf_mj: float
    input_mj: float
    weight_mj: float
    output_mj: float


class AcceleratorModel(LayerModel):
    """Energy and time of a network on a row-stationary accelerator (Eyeriss, ISCA 2016), layer after layer.

    Args:
        name: of the preset, for reports.
        array: sizes of the accelerator.
        access_pj: energy of one access to a 16-bit word at each level of the memory.
        energies_pj: energy of one multiplication, addition and shift.
        rules: how the data of layers of each arithmetic is stored and computed.
        lowering: how layers become dense computations.
        tiling: which tilings are tried, and which is taken.
        counting: "full" counts every operation of a tap, "released" one of the layer's kind.
        role_rules: rules of layers with these roles, whatever their arithmetic.
        source: where the numbers come from, for reports.

    Computing and moving data overlap, and memory is as fast as the array: latency is cycles of the array alone. The
    bits of a layer do not change its price: the number format is that of the rules.

    Raises:
        UserError: a setting is unknown, missing or out of range; in pricing, a layer has no valid tiling.
    """

    metrics = (
        Metric("energy_mj", "mJ"),
        Metric("latency_ms", "ms"),
        Metric("compute_mj", "mJ"),
        Metric("dram_mj", "mJ"),  # with the way to the buffer
        Metric("buffer_mj", "mJ"),
        Metric("noc_mj", "mJ"),
        Metric("rf_mj", "mJ"),
        Metric("num_params", ""),
        Metric("num_macs", ""),
        Metric("num_mults", ""),
        Metric("num_adds", ""),
        Metric("num_shifts", ""),
    )

    def __init__(
        self,
        name: str,
        array: Array,
        *,
        access_pj: AccessEnergy,
        energies_pj: Mapping[str, float],
        rules: Mapping[str, Rule],
        lowering: Lowering,
        tiling: TilingSearch,
        counting: Counting = "full",
        role_rules: Mapping[str, Rule] | None = None,
        source: str = "",
    ) -> None:
        array.check()
        access_pj.check()
        if counting not in OPERATIONS:
            raise UserError(f"hardware.counting={counting} is unknown; allowed: {', '.join(OPERATIONS)}")
        if tiling.objective not in get_args(Objective):
            raise UserError(
                f"hardware.tiling.objective={tiling.objective} is unknown; allowed: {', '.join(get_args(Objective))}"
            )
        _check_kinds("energies_pj", energies_pj)
        for kind, energy in energies_pj.items():
            check_number(f"energies_pj.{kind}", energy)
        _check_kinds("rules", rules)
        for kind, rule in rules.items():
            rule.check(f"rules.{kind}")
        for role, rule in (role_rules or {}).items():
            rule.check(f"role_rules.{role}")
        self.name = name
        self.array = array
        self.access_pj = access_pj
        self.energies_pj = dict(energies_pj)
        self.rules = dict(rules)
        self.lowering = lowering
        self.tiling = tiling
        self.counting: Counting = counting
        self.role_rules = dict(role_rules or {})
        self.source = source

    def price(self, layer: Layer) -> dict[str, float]:
        analysis = self.analyse(layer)
        counts = {kind: layer.num_taps * number for kind, number in OPERATIONS[self.counting][layer.arithmetic].items()}
        return {
            "energy_mj": analysis.energy_mj,
            "latency_ms": analysis.latency_ms,
            "compute_mj": analysis.compute_mj,
            "dram_mj": analysis.dram_mj + analysis.dram_buffer_mj,
            "buffer_mj": analysis.buffer_mj,
            "noc_mj": analysis.noc_mj,
            "rf_mj": analysis.rf_mj,
            "num_params": layer.num_params,
            "num_macs": layer.num_taps,
            "num_mults": counts.get("mult", 0),
            "num_adds": counts.get("add", 0),
            "num_shifts": counts.get("shift", 0),
        }

    def analyse(self, layer: Layer) -> LayerAnalysis:
        """The best tiling of a layer and the parts of its energy.

        Raises:
            UserError: the layer has no valid tiling.
        """
        rule = self.role_rules.get(layer.role, self.rules[layer.arithmetic])
        unit = unit_energy(self.access_pj, rule, weights_are_activations=layer.second_operand == "activation")
        shape = self.lowering.shape(layer)
        operations = OPERATIONS[self.counting][layer.arithmetic]
        tap_pj = sum(number * self.energies_pj[kind] for kind, number in operations.items())
        compute = shape.num_taps * tap_pj / PJ_PER_MJ

        try:
            tiling = self.tiling.best(shape, self.array, unit, compute)
        except UserError as error:
            raise UserError(f"layer {layer.name} on {self.name}: {error}") from None
        operands = (
            input_energy(shape, unit, tiling.M0, tiling.M1, tiling.M2, tiling.M3),
            weight_energy(shape, unit, tiling.N3, tiling.E3),
            output_energy(shape, unit, tiling.C0, tiling.C1, tiling.C2),
        )
        times = shape.copies * layer.steps
        inputs, weights, outputs = (float(sum(operand)) * times for operand in operands)
        levels = Levels(*(float(sum(level)) * times for level in zip(*operands, strict=True)))
        compute *= times
        cycles = num_cycles(shape, tiling.M1, tiling.C1, tiling.E3, tiling.copies1) * layer.steps
        return LayerAnalysis(
            tiling=tiling,
            energy_mj=compute + inputs + weights + outputs,
            latency_ms=cycles / rule.speedup / (self.array.clock_mhz * CYCLES_PER_MS_PER_MHZ),
            compute_mj=compute,
            dram_mj=levels.dram,
            dram_buffer_mj=levels.dram_buffer,
            buffer_mj=levels.buffer,
            noc_mj=levels.noc,
            rf_mj=levels.rf,
            input_mj=inputs,
            weight_mj=weights,
            output_mj=outputs,
        )


def _check_kinds(setting: str, values: Mapping[str, object]) -> None:
    kinds = get_args(Arithmetic)
    if set(values) != set(kinds):
        raise UserError(f"hardware.{setting} has {', '.join(sorted(values))}; it needs just {', '.join(kinds)}")
