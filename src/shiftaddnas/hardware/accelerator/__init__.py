"""A row-stationary accelerator with a search over tilings, as a cost model (docs/accelerator.md)."""

from shiftaddnas.hardware.accelerator.array import AccessEnergy, Array
from shiftaddnas.hardware.accelerator.model import AcceleratorModel, LayerAnalysis
from shiftaddnas.hardware.accelerator.rules import Lowering, Rule
from shiftaddnas.hardware.accelerator.tiling import Tiling, TilingSearch

__all__ = ["AcceleratorModel", "AccessEnergy", "Array", "LayerAnalysis", "Lowering", "Rule", "Tiling", "TilingSearch"]
