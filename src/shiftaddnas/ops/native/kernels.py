"""The compiled kernels as operators of PyTorch: outputs and both gradients of adder layers, float32 on the CPU."""

import ctypes
from functools import cache

import torch
from torch import Tensor

from shiftaddnas.ops.geometry import Geometry
from shiftaddnas.ops.native.compiler import compiled_library

# The shapes beside the tensors': `Geometry.axes` and groups.
torch.library.define("shiftaddnas::adder_outputs", "(Tensor x, Tensor weight, SymInt[] axes, int groups) -> Tensor")
torch.library.define(
    "shiftaddnas::adder_input_gradient", "(Tensor x, Tensor weight, Tensor grad, SymInt[] axes, int groups) -> Tensor"
)


def outputs(x_BCHW: Tensor, weight_FCRS: Tensor, geometry: Geometry) -> Tensor:
    """-sum |x - w| over the taps of each filter."""
    y_BFHW: Tensor = torch.ops.shiftaddnas.adder_outputs.default(x_BCHW, weight_FCRS, geometry.axes, geometry.groups)
    return y_BFHW


def input_gradient(x_BCHW: Tensor, weight_FCRS: Tensor, grad_BFHW: Tensor, geometry: Geometry) -> Tensor:
    """Sum over the filters, and the taps that read the input, of clamp(w - x, -1, 1) g."""
    grad_x_BCHW: Tensor = torch.ops.shiftaddnas.adder_input_gradient.default(
        x_BCHW, weight_FCRS, grad_BFHW, geometry.axes, geometry.groups
    )
    return grad_x_BCHW


def weight_gradient(x_BCHW: Tensor, weight_FCRS: Tensor, grad_BFHW: Tensor, geometry: Geometry) -> Tensor:
    """Sum over the positions of (x - w) g: the kernel gradient of a convolution, g^T X, less diag(g^T 1) w."""
    if geometry.is_linear:
        product_FCRS: Tensor = (grad_BFHW.flatten(1).t() @ x_BCHW.flatten(1)).view_as(weight_FCRS)
    else:
        product_FCRS = torch.ops.aten.convolution_backward(
            grad_BFHW,
            x_BCHW,
            weight_FCRS,
            None,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            False,
            (0, 0),
            geometry.groups,
            (False, True, False),
        )[1]
    sums_F111 = grad_BFHW.sum((0, 2, 3)).view(-1, 1, 1, 1)
    return torch.addcmul(product_FCRS, sums_F111, weight_FCRS, value=-1)


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
    y: Tensor = _empty_outputs(x, weight, axes, groups)
    _call("adder_outputs", [x.shape[0], x.shape[1], weight.shape[0], groups, *axes], x, weight, y)
    return y


@torch.library.register_fake("shiftaddnas::adder_outputs")  # type: ignore[untyped-decorator]
def _empty_outputs(x: Tensor, weight: Tensor, axes: list[int], groups: int) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0], axes[1], axes[7])


@torch.library.impl("shiftaddnas::adder_input_gradient", "cpu")
def _input_gradient(x: Tensor, weight: Tensor, grad: Tensor, axes: list[int], groups: int) -> Tensor:
    # Zeros: with a stride there may be inputs that no tap reads.
    grad_x = x.new_zeros(x.shape)
    _call("adder_input_gradients", [x.shape[0], x.shape[1], weight.shape[0], groups, *axes], x, weight, grad, grad_x)
    return grad_x


@torch.library.register_fake("shiftaddnas::adder_input_gradient")  # type: ignore[untyped-decorator]
def _empty_input_gradient(x: Tensor, weight: Tensor, grad: Tensor, axes: list[int], groups: int) -> Tensor:
    return x.new_empty(x.shape)


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
