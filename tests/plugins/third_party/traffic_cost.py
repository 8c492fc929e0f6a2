"""Hardware costs that a package of its own adds to shiftaddnas, and a sharing scheme beside them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import Layer, LayerModel, Metric
from shiftaddnas.ops import KernelOperator, KernelShape
from shiftaddnas.sharing import Independent, SlotKernels, WeightSharing

PJ_PER_MJ = 1e9


class TrafficEnergy(LayerModel):
    """Energy of the arithmetic, and of moving each input, kernel and output value once between memory and chip."""

    metrics = (Metric("energy_mj", "mJ"), Metric("compute_mj", "mJ"), Metric("dram_mj", "mJ"), Metric("num_words", ""))

    def __init__(self, name: str, *, word_pj: float = 20.0, tap_pj: Mapping[str, float] | None = None) -> None:
        if word_pj < 0:
            raise UserError(f"hardware.word_pj={word_pj} is not allowed; give a number of at least 0")
        self.name = name
        self.word_pj = word_pj
        # ShiftAddNet (NeurIPS 2020), Table 1, every operation of a tap
        self.tap_pj = dict(tap_pj or {"mult": 4.6, "add": 1.8, "shift": 1.03})

    def price(self, layer: Layer) -> dict[str, float]:
        inputs = layer.N * layer.C * layer.H * layer.W
        kernels = layer.M * (layer.C // layer.groups) * layer.R * layer.S
        outputs = layer.N * layer.M * layer.E * layer.F
        num_words = layer.repeat * (inputs + kernels + outputs)
        compute = layer.num_taps * self.tap_pj[layer.arithmetic] / PJ_PER_MJ
        dram = num_words * self.word_pj / PJ_PER_MJ
        return {"energy_mj": compute + dram, "compute_mj": compute, "dram_mj": dram, "num_words": num_words}


class MultiplicationsOnly(LayerModel):
    """A chip without adder layers: it cannot price them, and says so."""

    metrics = (Metric("energy_mj", "mJ"),)

    def __init__(self, name: str, mult_pj: float = 4.6) -> None:
        self.name = name
        self.mult_pj = mult_pj

    def price(self, layer: Layer) -> dict[str, float]:
        if layer.arithmetic == "add":
            raise NotImplementedError("this chip has no adder layers")
        return {"energy_mj": layer.num_taps * self.mult_pj / PJ_PER_MJ}


class ImmeasurableShifts(LayerModel):
    """A chip whose shift layers have no price: a value that is not a number."""

    metrics = (Metric("energy_mj", "mJ"),)

    def __init__(self, name: str) -> None:
        self.name = name

    def price(self, layer: Layer) -> dict[str, float]:
        return {"energy_mj": math.nan if layer.arithmetic == "shift" else layer.num_taps / PJ_PER_MJ}


@dataclass(frozen=True)
class Scaled(WeightSharing):
    """Kernels of their own for each operator, which start at this share of their usual scale."""

    scale: float = 1.0

    name = "scaled"

    @property
    def divergence_weight(self) -> float:
        return 0.0

    def slot(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None = None,
    ) -> SlotKernels:
        slot = Independent().slot(operators, shapes, generator)
        with torch.no_grad():
            for parameter in slot.parameters():
                parameter.mul_(self.scale)
        return slot
