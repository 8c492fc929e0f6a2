"""Operators that multiply, shift or add: functions, layers, and what supernets mix. Usable on its own."""

from shiftaddnas.ops.adder import adder_conv2d, adder_linear
from shiftaddnas.ops.backend import force_adder_backend
from shiftaddnas.ops.distributions import Distribution, Gaussian, Laplacian
from shiftaddnas.ops.modules import AdderConv2d, AdderLinear, QuantizedLayer, ShiftConv2d, ShiftLinear
from shiftaddnas.ops.operators import OPERATORS, Add, Conv, KernelOperator, KernelShape, Shift, ShiftForm, fan_in
from shiftaddnas.ops.pair import IntPair
from shiftaddnas.ops.quantize import (
    FIX8,
    FIX16,
    FakeQuantize,
    Precision,
    fake_quantize,
    fake_quantize_per_row,
    fake_quantize_per_tensor,
    quantize_gradient,
)
from shiftaddnas.ops.sequence import Lightweight1d, SequencePadding, lightweight1d
from shiftaddnas.ops.shift import fixed_point, power_of_two, power_of_two_from_exponent

__all__ = [
    "FIX8",
    "FIX16",
    "OPERATORS",
    "Add",
    "AdderConv2d",
    "AdderLinear",
    "Conv",
    "Distribution",
    "FakeQuantize",
    "Gaussian",
    "IntPair",
    "KernelOperator",
    "KernelShape",
    "Laplacian",
    "Lightweight1d",
    "Precision",
    "QuantizedLayer",
    "SequencePadding",
    "Shift",
    "ShiftConv2d",
    "ShiftForm",
    "ShiftLinear",
    "adder_conv2d",
    "adder_linear",
    "fake_quantize",
    "fake_quantize_per_row",
    "fake_quantize_per_tensor",
    "fan_in",
    "fixed_point",
    "force_adder_backend",
    "lightweight1d",
    "power_of_two",
    "power_of_two_from_exponent",
    "quantize_gradient",
]
