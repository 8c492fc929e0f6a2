"""Adder layers by C kernels that are compiled on first use: float32 on the CPU.

They run on `torch.get_num_threads()` threads of PyTorch's own OpenMP.
"""

from shiftaddnas.ops.custom_ops import input_gradient, outputs, weight_gradient
from shiftaddnas.ops.native.compiler import UnavailableError
from shiftaddnas.ops.native.kernels import load_library

__all__ = ["UnavailableError", "input_gradient", "load_library", "outputs", "weight_gradient"]
