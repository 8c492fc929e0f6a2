"""What a network costs on hardware: layers, the interface of cost models, and the models themselves."""

from shiftaddnas.hardware.accelerator import AcceleratorModel
from shiftaddnas.hardware.by_bits import CostByBits
from shiftaddnas.hardware.composite import CompositeCost
from shiftaddnas.hardware.cost import BoundCost, Cost, CostError, HardwareCost, LayerModel, Metric, Values
from shiftaddnas.hardware.distribution import Distribution
from shiftaddnas.hardware.latency_table import LatencyTable
from shiftaddnas.hardware.layer import Arithmetic, Layer
from shiftaddnas.hardware.memory import ModelSize, PeakMemory
from shiftaddnas.hardware.op_energy import OpEnergy

__all__ = [
    "AcceleratorModel",
    "Arithmetic",
    "BoundCost",
    "CompositeCost",
    "Cost",
    "CostByBits",
    "CostError",
    "Distribution",
    "HardwareCost",
    "LatencyTable",
    "Layer",
    "LayerModel",
    "Metric",
    "ModelSize",
    "OpEnergy",
    "PeakMemory",
    "Values",
]
