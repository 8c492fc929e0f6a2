"""The compiled kernels: what the custom operators of adder layers do on the CPU."""

import ctypes
from functools import cache

import torch
from torch import Tensor

from shiftaddnas.ops.custom_ops import empty_outputs
from shiftaddnas.ops.native.compiler import compiled_library


@cache
def load_library() -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """The library, and how the OpenMP of PyTorch runs a function on several threads (NULL: it is another OpenMP).

    Its own OpenMP: a second one would keep threads of its own, which compete with the first's for the cores.

    Raises:
        UnavailableError: the kernels cannot be compiled or loaded.
    """
    library = compiled_library()
    parallel = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)
    return library, ctypes.cast(parallel, ctypes.c_void_p) if parallel else ctypes.c_void_p()


@torch.library.impl("shiftaddnas::adder_outputs", "cpu")
def _outputs(x: Tensor, weight: Tensor, axes: list[int], groups: int) -> Tensor:
    y: Tensor = empty_outputs(x, weight, axes, groups)
    if not y.numel():
        return y
    _call("adder_outputs", [x.shape[0], x.shape[1], weight.shape[0], groups, *axes], x, weight, y)
    return y


@torch.library.impl("shiftaddnas::adder_input_gradient", "cpu")
def _input_gradient(x: Tensor, weight: Tensor, grad: Tensor, axes: list[int], groups: int) -> Tensor:
    # Zeros: with a stride there may be inputs that no tap reads.
    grad_x = x.new_zeros(x.shape)
    if not x.numel():
        return grad_x
    _call("adder_input_gradients", [x.shape[0], x.shape[1], weight.shape[0], groups, *axes], x, weight, grad, grad_x)
    return grad_x


def _call(name: str, geometry: list[int], *tensors: Tensor) -> None:
    library, parallel = load_library()
    dense = [tensor.contiguous() for tensor in tensors]
    failed = library[name](
        (ctypes.c_int64 * len(geometry))(*geometry),
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in dense),
        ctypes.c_int64(torch.get_num_threads()),
        parallel,
    )
    if failed:
        raise MemoryError("an adder layer could not allocate its working memory")
