"""Operators that multiply, shift or add: functions, layers, and what supernets mix. Usable on its own."""

from shiftaddnas.ops.adder import adder_conv2d
from shiftaddnas.ops.distributions import Distribution, Gaussian, Laplacian
from shiftaddnas.ops.modules import AdderConv2d, ShiftConv2d
from shiftaddnas.ops.operators import OPERATORS, Add, Conv, KernelOperator, KernelShape, Shift, ShiftForm, fan_in
from shiftaddnas.ops.pair import IntPair
from shiftaddnas.ops.shift import power_of_two, power_of_two_from_exponent

__all__ = [
    "OPERATORS",
    "Add",
    "AdderConv2d",
    "Conv",
    "Distribution",
    "Gaussian",
    "IntPair",
    "KernelOperator",
    "KernelShape",
    "Laplacian",
    "Shift",
    "ShiftConv2d",
    "ShiftForm",
    "adder_conv2d",
    "fan_in",
    "power_of_two",
    "power_of_two_from_exponent",
]
