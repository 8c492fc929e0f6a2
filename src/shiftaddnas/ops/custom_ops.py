"""The adder layer as custom operators of PyTorch, which are opaque to `torch.compile` and `torch.export`: float32.

`shiftaddnas.ops.native` implements them on the CPU, `shiftaddnas.ops.triton_kernels` on GPUs.
"""

import torch
from torch import Tensor

from shiftaddnas.ops.geometry import Geometry

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


@torch.library.register_fake("shiftaddnas::adder_outputs")  # type: ignore[untyped-decorator]
def empty_outputs(x: Tensor, weight: Tensor, axes: list[int], groups: int) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0], axes[1], axes[7])


@torch.library.register_fake("shiftaddnas::adder_input_gradient")  # type: ignore[untyped-decorator]
def _empty_input_gradient(x: Tensor, weight: Tensor, grad: Tensor, axes: list[int], groups: int) -> Tensor:
    return x.new_empty(x.shape)
