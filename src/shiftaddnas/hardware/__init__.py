"""What a network costs on hardware: layers, the interface of cost models, and the models themselves."""

from shiftaddnas.hardware.cost import BoundCost, Cost, CostError, HardwareCost, LayerModel, Metric, Values
from shiftaddnas.hardware.layer import Arithmetic, Layer
from shiftaddnas.hardware.op_energy import OpEnergy

__all__ = [
    "Arithmetic",
    "BoundCost",
    "Cost",
    "CostError",
    "HardwareCost",
    "Layer",
    "LayerModel",
    "Metric",
    "OpEnergy",
    "Values",
]
