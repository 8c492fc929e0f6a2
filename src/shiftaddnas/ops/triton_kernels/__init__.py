"""Adder layers by Triton kernels: float32 on GPUs, or on the CPU in Triton's interpreter.

Triton is imported at the first launch, so that this package can be imported where there is none.
"""

from shiftaddnas.ops.custom_ops import weight_gradient
from shiftaddnas.ops.triton_kernels.launch import input_gradient, outputs, why_unavailable

__all__ = ["input_gradient", "outputs", "weight_gradient", "why_unavailable"]
