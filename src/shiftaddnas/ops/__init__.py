"""Operators that multiply, shift or add: functions, layers, and what supernets mix. Usable on its own."""

from shiftaddnas.ops.adder import adder_conv2d, adder_linear
from shiftaddnas.ops.backend import force_adder_backend
from shiftaddnas.ops.distributions import Distribution, Gaussian, Laplacian
from shiftaddnas.ops.modules import AdderConv2d, AdderLinear, ShiftConv2d, ShiftLinear
from shiftaddnas.ops.operators import OPERATORS, Add, Conv, KernelOperator, KernelShape, Shift, ShiftForm, fan_in
from shiftaddnas.ops.pair import IntPair
from shiftaddnas.ops.shift import power_of_two, power_of_two_from_exponent

__all__ = [
    "OPERATORS",
    "Add",
    "AdderConv2d",
    "AdderLinear",
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
    "ShiftLinear",
    "adder_conv2d",
    "adder_linear",
    "fan_in",
    "force_adder_backend",
    "power_of_two",
    "power_of_two_from_exponent",
]
