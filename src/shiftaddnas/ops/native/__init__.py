"""Adder layers by C kernels that are compiled on first use, as `torch.library` operators: float32 on the CPU.

The operators are opaque to `torch.compile`, and run on `torch.get_num_threads()` threads of PyTorch's own OpenMP.
"""

from shiftaddnas.ops.native.compiler import UnavailableError
from shiftaddnas.ops.native.kernels import input_gradient, load_library, outputs, weight_gradient

__all__ = ["UnavailableError", "input_gradient", "load_library", "outputs", "weight_gradient"]
